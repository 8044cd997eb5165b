//! The index of metadata: the declared names, and the building of an index from stored messages.
//!
//! The table `metadata_names` has the names that any host of the store declared. Each writer adds the entries of all of
//! them in the commit of the message. A host that declares a name takes a position, so that every other writer finds the
//! name before its next commit.

mod step;

use std::time::Duration;

use rusqlite::{Connection, OptionalExtension, params};
use throughline_core::IndexedMetadata;

pub(crate) use self::step::INSERT;
use self::step::run;
use crate::{OpenError, error::EngineError, step_timer::StepTimer, writer::Progress};

/// How long the writer must be idle before it continues to build an index.
const IDLE: Duration = Duration::from_millis(5);

/// The longest time that it waits to be idle.
const MAX_DELAY: Duration = Duration::from_millis(500);

/// The declared names, each with its number.
#[derive(Debug, Default)]
pub(crate) struct MetadataNames {
    names: Vec<(String, i64)>,
    pub(crate) indexed: IndexedMetadata,
    /// Whether an index is to be built or removed.
    pub(crate) has_work: bool,
}

impl MetadataNames {
    /// Reads the names that hosts have declared.
    pub(crate) fn read(db: &Connection) -> rusqlite::Result<Self> {
        let mut statement = db.prepare_cached("SELECT name_pk, name, recovered FROM metadata_names")?;
        let mut rows = statement.query([])?;
        let mut read = Self::default();
        while let Some(row) = rows.next()? {
            read.has_work |= row.get::<_, Option<i64>>(2)?.is_some();
            if let Some(name) = row.get(1)? {
                read.names.push((name, row.get(0)?));
            }
        }
        // A damaged name cannot be found by.
        read.names.retain(|(name, _)| IndexedMetadata::new([name.as_str()]).is_ok());
        read.names.truncate(IndexedMetadata::MAX_NAMES);
        let names = read.names.iter().map(|(name, _)| name.as_str());
        read.indexed = IndexedMetadata::new(names).unwrap_or_default();
        Ok(read)
    }

    /// Returns the number of a name.
    pub(crate) fn number(&self, name: &str) -> Option<i64> {
        self.names.iter().find(|(of, _)| of == name).map(|(_, name_pk)| *name_pk)
    }
}

/// The index of a declared name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct NameState {
    pub(crate) name_pk: i64,
    pub(crate) is_complete: bool,
}

impl NameState {
    /// Returns the index of a name; `None` if the store does not keep it.
    pub(crate) fn of(db: &Connection, name: &str) -> rusqlite::Result<Option<Self>> {
        db.prepare_cached("SELECT name_pk, recovered IS NULL FROM metadata_names WHERE name = ?1")?
            .query_row([name], |row| Ok(Self { name_pk: row.get(0)?, is_complete: row.get(1)? }))
            .optional()
    }
}

/// Returns whether the store has other names than it will have after [`declare`].
pub(crate) fn is_declared(
    db: &Connection,
    (declared, dropped): (&IndexedMetadata, &IndexedMetadata),
) -> rusqlite::Result<bool> {
    if declared.is_empty() && dropped.is_empty() {
        return Ok(true);
    }
    let stored = MetadataNames::read(db)?.indexed;
    Ok(declared.iter().all(|name| stored.contains(name)) && !dropped.iter().any(|name| stored.contains(name)))
}

/// Declares the names of a host that opens the store, and removes names that no host needs any more, in the open
/// transaction. The index of a new name is complete if the store has no message.
pub(crate) fn declare(
    db: &Connection,
    (declared, dropped): (&IndexedMetadata, &IndexedMetadata),
) -> Result<(), DeclareError> {
    for name in dropped.iter() {
        // The entries go in steps. Without a name, no writer adds one.
        db.execute("UPDATE metadata_names SET name = NULL, recovered = 0 WHERE name = ?1", [name])?;
    }
    let stored = MetadataNames::read(db)?.indexed;
    let new: Vec<&str> = declared.iter().filter(|name| !stored.contains(name)).collect();
    if stored.iter().count() + new.len() > IndexedMetadata::MAX_NAMES {
        return Err(DeclareError::TooMany { declared: declared.clone(), stored });
    }
    let has_messages: bool = db.query_row("SELECT EXISTS (SELECT 1 FROM messages)", [], |row| row.get(0))?;
    for name in new {
        db.execute(
            "INSERT INTO metadata_names (name, recovered) VALUES (?1, ?2)",
            params![name, has_messages.then_some(0)],
        )?;
    }
    // Every writer reads the names again after a commit of another one. At position 0 no writer has committed yet.
    let mut progress = Progress::read(db)?;
    progress.catch_up(db)?;
    if progress.position > 0 {
        progress.position += 1;
        progress.write(db)?;
    }
    Ok(())
}

/// Why names were not declared.
#[derive(Debug)]
pub(crate) enum DeclareError {
    Engine(EngineError),
    TooMany { declared: IndexedMetadata, stored: IndexedMetadata },
}

impl From<EngineError> for DeclareError {
    fn from(error: EngineError) -> Self {
        Self::Engine(error)
    }
}

impl From<rusqlite::Error> for DeclareError {
    fn from(error: rusqlite::Error) -> Self {
        Self::Engine(error.into())
    }
}

/// Returns the error for more names than a store can index.
pub(crate) fn too_many(declared: &IndexedMetadata, stored: &IndexedMetadata) -> OpenError {
    let max = IndexedMetadata::MAX_NAMES;
    let fault = format!(
        "declares {declared}, and hosts of the store have already declared {stored}: together more than {max}; drop one \
         with `drop_indexed_metadata`"
    );
    OpenError::Setting { name: "indexed_metadata", fault }
}

/// The writer's state of the work on indexes.
#[derive(Debug)]
pub(crate) struct MetadataWork {
    is_left: bool,
    steps: StepTimer,
}

impl MetadataWork {
    /// The first step finds out whether there is work.
    pub(crate) fn new() -> Self {
        Self { is_left: true, steps: StepTimer::new() }
    }

    /// Records that another host has left work.
    pub(crate) const fn found(&mut self) {
        self.is_left = true;
    }

    /// Returns how long the writer waits for a write before it continues.
    pub(crate) fn timeout(&self) -> Option<Duration> {
        self.is_left.then(|| self.steps.wait(IDLE))
    }

    /// Records that a step could not begin: another process writes.
    pub(crate) fn failed(&mut self) {
        self.steps.failed();
    }

    /// Returns whether the work has waited long enough, although the writer is busy.
    pub(crate) fn is_due(&self) -> bool {
        self.is_left && self.steps.is_due(MAX_DELAY)
    }

    /// Stops the work until the store is opened again, because the index is damaged.
    pub(crate) const fn disable(&mut self) {
        self.is_left = false;
    }

    /// Adds some messages to new indexes, or removes some entries, in the open transaction. Returns whether it wrote
    /// anything.
    pub(crate) fn run_step(&mut self, db: &Connection) -> rusqlite::Result<bool> {
        self.steps.begun();
        self.is_left = run(db)?;
        // A step that leaves no work has found none.
        Ok(self.is_left)
    }
}

/// Makes the store build every index again from its messages: in a copy without entries.
pub(crate) fn rebuild(db: &Connection) -> rusqlite::Result<()> {
    db.execute_batch(
        "DELETE FROM metadata_values; DELETE FROM metadata_names WHERE name IS NULL; \
                      UPDATE metadata_names SET recovered = 0",
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::open::create_tables;

    #[test]
    fn the_writer_waits_after_a_step_that_could_not_begin() {
        let db = Connection::open_in_memory().unwrap();
        create_tables(&db).unwrap();
        let mut work = MetadataWork::new();
        assert_eq!(work.timeout(), Some(IDLE));
        work.failed();
        assert!(work.timeout().unwrap() > IDLE);
        work.run_step(&db).unwrap();
        work.found();
        assert_eq!(work.timeout(), Some(IDLE));
    }
}
