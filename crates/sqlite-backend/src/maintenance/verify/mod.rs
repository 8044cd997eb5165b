//! Verifies everything in a store that can be verified.

mod aliases;
mod audit;
mod bookkeeping;
mod chunks;
mod consumers;
mod file;
mod messages;
mod metadata;
mod sessions;
mod walk;

use std::{
    collections::{HashMap, HashSet},
    fmt,
};

use rusqlite::{Connection, ErrorCode, Row};
use throughline_core::{MessageId, Result, TenantId, ThreadId};

use self::chunks::Reached;
use super::{Damage, Part, Source, Stop, Verification, failed};
use crate::record::Columns as _;

/// Verifies the store in a file. Blocks.
pub(super) fn verify_file(source: &Source, stop: &Stop) -> Result<Verification> {
    source.connect(stop, verify)
}

fn verify(connected: rusqlite::Result<Connection>) -> Result<Verification> {
    let mut found = Verification::default();
    let check = |found: &mut Verification| -> rusqlite::Result<()> {
        let db = connected?;
        db.execute_batch("BEGIN")?;
        Check::new(&db, found).run()
    };
    match check(&mut found) {
        Ok(()) => Ok(found),
        // The damage makes the whole file unreadable.
        Err(error) if is_damage(&error) => {
            found.damaged.push(Owner::default().damage(Part::File, error.to_string()));
            Ok(found)
        }
        Err(error) => Err(failed(error)),
    }
}

/// Returns whether SQLite failed because of the contents of the file. A missing table or column also counts as damage:
/// the file was opened as a store.
pub(super) fn is_damage(error: &rusqlite::Error) -> bool {
    let code = match error {
        rusqlite::Error::SqliteFailure(failure, _) => failure.code,
        rusqlite::Error::SqlInputError { error, .. } => error.code,
        _ => return false,
    };
    matches!(code, ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase | ErrorCode::Unknown)
}

/// A running verification, in the transaction of its connection.
struct Check<'a> {
    db: &'a Connection,
    found: &'a mut Verification,
    /// The position of the store, if its row is valid.
    position: Option<i64>,
    /// The number of tombstones of each thread, by its number.
    deleted: HashMap<i64, i64>,
    /// The counters of each thread, by its number.
    counted: HashMap<i64, Counted>,
    /// The threads with damaged messages, for which counters are unknown.
    uncounted: HashSet<i64>,
    /// Whether every message could be read.
    counts: bool,
    /// The reachable chunks of each message, by its number.
    chunks: HashMap<i64, Reached>,
}

impl<'a> Check<'a> {
    fn new(db: &'a Connection, found: &'a mut Verification) -> Self {
        Self {
            db,
            found,
            position: None,
            deleted: HashMap::new(),
            counted: HashMap::new(),
            uncounted: HashSet::new(),
            counts: true,
            chunks: HashMap::new(),
        }
    }

    fn run(&mut self) -> rusqlite::Result<()> {
        for part in [
            Self::pages,
            Self::triggers,
            Self::references,
            Self::store,
            Self::messages,
            Self::orphans,
            Self::obsolete_chunks,
            Self::stray_chunks,
            Self::indexed_metadata,
            Self::threads,
            Self::aliases,
            Self::changes,
            Self::keys,
            Self::cursors,
            Self::quarantine,
            Self::sessions,
            Self::audit,
        ] {
            if let Err(error) = part(self) {
                self.record_or_fail(error)?;
            }
        }
        Ok(())
    }

    /// Reports damage that SQLite met in the file, so that the verification continues. Returns other errors.
    fn record_or_fail(&mut self, error: rusqlite::Error) -> rusqlite::Result<()> {
        if !is_damage(&error) {
            return Err(error);
        }
        self.report(&Owner::default(), Part::File, error.to_string());
        Ok(())
    }

    fn report(&mut self, owner: &Owner, part: Part, description: impl Into<String>) {
        self.found.damaged.push(owner.damage(part, description));
    }
}

/// The counters of a thread, from its messages.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Counted {
    messages: u64,
    turns: u64,
    bytes: u64,
}

impl fmt::Display for Counted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { messages, turns, bytes } = self;
        write!(f, "{messages} messages, {turns} turns and {bytes} bytes")
    }
}

/// The owner of a row, as far as it can be read.
#[derive(Debug, Default)]
struct Owner {
    tenant: Option<TenantId>,
    thread: Option<ThreadId>,
    message: Option<MessageId>,
}

impl Owner {
    /// Reads the owner of a row with the tenant and the thread in the columns `at` and the next one.
    fn read(row: &Row<'_>, at: usize) -> Self {
        Self {
            tenant: text(row, at).and_then(|text| TenantId::new(text).ok()),
            thread: text(row, at + 1).and_then(|text| ThreadId::new(text).ok()),
            message: None,
        }
    }

    /// Reads the owner of a row without a thread, with the tenant in the column `at`.
    fn of_tenant(row: &Row<'_>, at: usize) -> Self {
        Self { tenant: text(row, at).and_then(|text| TenantId::new(text).ok()), ..Self::default() }
    }

    fn with_message(self, row: &Row<'_>, at: usize) -> Self {
        Self { message: text(row, at).and_then(|text| MessageId::new(text).ok()), ..self }
    }

    fn damage(&self, part: Part, description: impl Into<String>) -> Damage {
        let Self { tenant, thread, message } = self;
        Damage {
            part,
            tenant: tenant.clone(),
            thread: thread.clone(),
            message: message.clone(),
            reason: description.into(),
        }
    }
}

fn text<'a>(row: &'a Row<'_>, at: usize) -> Option<&'a str> {
    str::from_utf8(row.text(at)?).ok()
}
