//! The check of everything in the store that can be checked.

mod audit;
mod bookkeeping;
mod chunks;
mod consumers;
mod file;
mod messages;
mod names;
mod sessions;
mod walk;

use std::{
    collections::{HashMap, HashSet},
    fmt,
    path::Path,
};

use rusqlite::{Connection, ErrorCode, Row};
use throughline_core::{MessageId, Result, TenantId, ThreadId};

use self::chunks::Reached;
use super::{Damage, Part, Stop, Verification, connect, failed};
use crate::record::Columns as _;

/// Checks the store at `path`. Blocks.
pub(super) fn verify(path: &Path, stop: &Stop) -> Result<Verification> {
    let mut found = Verification::default();
    let mut check = || -> rusqlite::Result<()> {
        let db = connect(path, stop)?;
        db.execute_batch("BEGIN")?;
        Check::new(&db, &mut found).run()
    };
    match check() {
        Ok(()) => Ok(found),
        // Damage that leaves nothing of the file to look at.
        Err(error) if is_damage(&error) => {
            found.damaged.push(Owner::default().damage(Part::File, error.to_string()));
            Ok(found)
        }
        Err(error) => Err(failed(error)),
    }
}

/// Whether SQLite failed for what stands in the file. A table or a column that is missing is damage too: the file was
/// opened as a store.
fn is_damage(error: &rusqlite::Error) -> bool {
    let code = match error {
        rusqlite::Error::SqliteFailure(failure, _) => failure.code,
        rusqlite::Error::SqlInputError { error, .. } => error.code,
        _ => return false,
    };
    matches!(code, ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase | ErrorCode::Unknown)
}

/// A check at work, in the transaction of its connection.
struct Check<'a> {
    db: &'a Connection,
    found: &'a mut Verification,
    /// How far the store has come, if that can be believed.
    position: Option<i64>,
    /// How many rows of deleted messages a thread has, by its number.
    deleted: HashMap<i64, i64>,
    /// What there is of a thread, by its number.
    counted: HashMap<i64, Counted>,
    /// The threads of damaged messages, of which that cannot be told.
    uncounted: HashSet<i64>,
    /// Whether every message could be read that there is.
    counts: bool,
    /// What is kept of messages piece by piece, by their numbers.
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
            Self::stray_chunks,
            Self::threads,
            Self::names,
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

    /// Reports what SQLite met in the file, so that the rest is checked all the same.
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

/// What of a thread its entry counts.
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

/// Whose a row is, as far as that can be read.
#[derive(Debug, Default)]
struct Owner {
    tenant: Option<TenantId>,
    thread: Option<ThreadId>,
    message: Option<MessageId>,
}

impl Owner {
    /// Of a row with the tenant and the thread in the columns `at` and the next one.
    fn read(row: &Row<'_>, at: usize) -> Self {
        Self {
            tenant: text(row, at).and_then(|text| TenantId::new(text).ok()),
            thread: text(row, at + 1).and_then(|text| ThreadId::new(text).ok()),
            message: None,
        }
    }

    /// Of a row with the tenant in the column `at`, that is of no thread.
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
            what: description.into(),
        }
    }
}

fn text<'a>(row: &'a Row<'_>, at: usize) -> Option<&'a str> {
    str::from_utf8(row.text(at)?).ok()
}
