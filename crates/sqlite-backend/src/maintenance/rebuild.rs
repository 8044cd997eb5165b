//! Copies the rows of a store to a new file, in which SQLite builds every index from them.
//!
//! A damaged index hides rows that are still in their table. Here each table is read in the order of its own b-tree,
//! and no index is read. The file of the store does not change.

use std::path::{Path, PathBuf};

use rusqlite::{
    Connection, ErrorCode, OpenFlags, OptionalExtension, Row, Statement, ToSql, types::ToSqlOutput,
};
use throughline_core::{Effect, ErrorKind, PersistError, Result};

use super::{
    Source, Stop, Verification,
    backup::{Target, settle},
    failed,
    verify::{is_damage, verify_file},
};
use crate::{
    error::is_taken,
    metadata_index,
    open::{RECORD_REFERENCES, create_tables},
    replica::is_capture_trigger,
};

/// A new file with the rows of a store.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct RebuiltStore {
    /// The path that was given.
    pub path: PathBuf,
    /// The length of the file.
    pub bytes: u64,
    /// The verification of the new file. It names the rows that are damaged themselves.
    pub verification: Verification,
}

/// Copies the rows of the store at `source` to `path`. Blocks.
pub(super) fn rebuild(source: &Source, path: &Path, stop: &Stop) -> Result<RebuiltStore> {
    let target = Target::of(path)?;
    let unfinished = source.read(stop, |db| {
        let unfinished = target.unfinished()?;
        copy(db, &unfinished.file, stop)?;
        unfinished.copy_blobs(source.path(), stop)?;
        Ok(unfinished)
    })?;
    let verification = verify_file(&Source::new(unfinished.file.to_path_buf().into(), false), stop)?;
    let bytes = settle(source.path(), &unfinished.file)?;
    stop.check()?;
    target.name(unfinished)?;
    Ok(RebuiltStore { path: path.to_owned(), bytes, verification })
}

/// A table of the store.
struct Table {
    name: String,
    /// Whether the table is one index, of its primary key.
    is_index: bool,
}

impl Table {
    /// Returns the tables of a store, except those of the full-text index and the index of metadata: the store builds these
    /// again.
    fn all(of: &Connection) -> rusqlite::Result<Vec<Self>> {
        let mut statement = of.prepare(
            "SELECT name, wr FROM pragma_table_list WHERE schema = 'main' AND type = 'table' \
             AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\' AND name NOT LIKE 'search%' AND name <> 'metadata_values' \
             ORDER BY name",
        )?;
        let tables = statement.query_map([], |row| Ok(Self { name: row.get(0)?, is_index: row.get(1)? }))?;
        tables.collect()
    }

    /// Copies the rows. Of a table that is an index, it copies those before the first page that cannot be read, and
    /// returns `false` if there is one.
    fn copy(&self, source: &Connection, copy: &Connection) -> Result<bool> {
        let Self { name, is_index } = self;
        let unreadable = |error: rusqlite::Error| {
            if !is_damage(&error) {
                return failed(error);
            }
            let detail = format!(
                "the rebuild failed: the rows of the table `{name}` cannot be read ({error}): restore a backup"
            );
            PersistError::new(ErrorKind::Corrupt, detail).with_effect(Effect::NotApplied)
        };
        copy.execute(&format!("DELETE FROM {name}"), []).map_err(failed)?;
        // Neither the order nor the rows come from an index.
        let order = if *is_index { "" } else { "NOT INDEXED ORDER BY rowid" };
        let number = if *is_index { "0" } else { "rowid" };
        let mut read =
            source.prepare(&format!("SELECT {number}, * FROM {name} {order}")).map_err(unreadable)?;
        let columns = read.column_count() - 1;
        let parameters = vec!["?"; columns].join(", ");
        let verb = if *is_index { "INSERT OR IGNORE" } else { "INSERT" };
        let mut write = copy.prepare(&format!("{verb} INTO {name} VALUES ({parameters})")).map_err(failed)?;
        let mut rows = read.query([]).map_err(unreadable)?;
        loop {
            let row = match rows.next() {
                Ok(Some(row)) => row,
                Ok(None) => return Ok(true),
                Err(error) if *is_index && is_damage(&error) => return Ok(false),
                Err(error) => return Err(unreadable(error)),
            };
            for column in 0..columns {
                let value = row.get_ref(column + 1).map_err(failed)?;
                bind(&mut write, column, ToSqlOutput::Borrowed(value)).map_err(failed)?;
            }
            if let Err(error) = write.raw_execute() {
                if error.sqlite_error_code() != Some(ErrorCode::ConstraintViolation) {
                    return Err(failed(error));
                }
                let why = if is_taken(&error) {
                    "has the same key as an earlier row".to_owned()
                } else {
                    format!("is damaged ({error})")
                };
                let row = if *is_index { "a row".to_owned() } else { format!("the row {}", rowid(row)) };
                let detail =
                    format!("the rebuild failed: {row} of the table `{name}` {why}: restore a backup");
                return Err(PersistError::new(ErrorKind::Corrupt, detail).with_effect(Effect::NotApplied));
            }
        }
    }
}

/// The number of a row that was read.
fn rowid(row: &Row<'_>) -> i64 {
    row.get(0).unwrap_or_default()
}

fn bind(write: &mut Statement<'_>, column: usize, value: impl ToSql) -> rusqlite::Result<()> {
    write.raw_bind_parameter(column + 1, value)
}

/// Copies all rows of one snapshot.
fn copy(source: &Connection, unfinished: &Path, stop: &Stop) -> Result<()> {
    source.execute_batch("BEGIN").map_err(failed)?;
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let copy = Connection::open_with_flags(unfinished, flags).map_err(failed)?;
    let page_size: i64 = source.pragma_query_value(None, "page_size", |row| row.get(0)).map_err(failed)?;
    // The file is synced or deleted as a whole.
    copy.execute_batch(&format!(
        "PRAGMA page_size = {page_size}; {RECORD_REFERENCES}; PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF; \
         PRAGMA mmap_size = 0; PRAGMA foreign_keys = OFF; BEGIN"
    ))
    .map_err(failed)?;
    create_tables(&copy).map_err(failed)?;
    let triggers = remove_triggers(&copy).map_err(failed)?;
    for table in Table::all(&copy).map_err(failed)? {
        stop.check()?;
        let is_complete = table.copy(source, &copy)?;
        if !is_complete && table.name == "labels" {
            complete_labels(&copy).map_err(failed)?;
        }
    }
    metadata_index::rebuild(&copy).map_err(failed)?;
    copy_last_number(source, &copy).map_err(failed)?;
    for sql in triggers.into_iter().chain(capture_triggers(source).map_err(failed)?) {
        copy.execute_batch(&sql).map_err(failed)?;
    }
    copy.execute_batch("COMMIT").map_err(failed)?;
    copy.close().map_err(|(_, error)| failed(error))
}

/// Removes the triggers, which would refuse the rows, and returns the SQL that creates them.
fn remove_triggers(copy: &Connection) -> rusqlite::Result<Vec<String>> {
    let mut statement = copy.prepare("SELECT name, sql FROM sqlite_schema WHERE type = 'trigger'")?;
    let triggers = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
    let triggers = triggers.collect::<rusqlite::Result<Vec<(String, String)>>>()?;
    for (name, _) in &triggers {
        copy.execute_batch(&format!("DROP TRIGGER {name}"))?;
    }
    Ok(triggers.into_iter().map(|(_, sql)| sql).collect())
}

/// Returns the SQL of the triggers that exist while a mirror copies the store.
fn capture_triggers(source: &Connection) -> rusqlite::Result<Vec<String>> {
    let mut statement = source.prepare("SELECT sql FROM sqlite_schema WHERE type = 'trigger'")?;
    let found = statement.query_map([], |row| row.get(0))?.collect::<rusqlite::Result<Vec<String>>>()?;
    Ok(found.into_iter().filter(|sql| is_capture_trigger(sql)).collect())
}

/// The numbers of `touched` are never reused, even if the table is empty.
fn copy_last_number(source: &Connection, copy: &Connection) -> rusqlite::Result<()> {
    let last: Option<i64> = source
        .query_row("SELECT seq FROM sqlite_sequence WHERE name = 'touched'", [], |row| row.get(0))
        .optional()?;
    copy.execute("DELETE FROM sqlite_sequence WHERE name = 'touched'", [])?;
    if let Some(last) = last {
        copy.execute("INSERT INTO sqlite_sequence (name, seq) VALUES ('touched', ?1)", [last])?;
    }
    Ok(())
}

/// Adds the labels that the summaries of the threads have and the index of labels lost.
fn complete_labels(copy: &Connection) -> rusqlite::Result<()> {
    copy.execute_batch(
        "INSERT OR IGNORE INTO labels (tenant, name, value, thread_pk) \
             SELECT c.tenant, l.key, l.value, c.thread_pk FROM catalog c, json_each(c.labels) l \
             WHERE json_valid(c.labels); \
         INSERT OR IGNORE INTO labels (tenant, name, value, thread_pk) \
             SELECT tenant, '', owner, thread_pk FROM catalog WHERE owner IS NOT NULL",
    )
}
