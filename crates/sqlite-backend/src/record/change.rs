use rusqlite::{CachedStatement, Connection, params};
use throughline_core::{
    MessageId, Revision, Seq,
    changes::{ChangeKind, ChangedMessage},
    threads::Generation,
};

use super::{Columns, checksum_of, number};

/// A change event, as a row of `changes` holds it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ChangeRow<'a> {
    pub(crate) position: i64,
    pub(crate) thread_pk: i64,
    pub(crate) kind: i64,
    pub(crate) at: i64,
    pub(crate) seq: Option<i64>,
    /// The revision of a message, or the generation of a thread.
    pub(crate) number: Option<i64>,
    pub(crate) message_id: Option<&'a str>,
}

/// The columns of a change, as `f`, in the order in which [`ChangeRow::read`] expects them.
macro_rules! change_columns {
    () => {
        "f.position, f.thread_pk, f.kind, f.at, f.seq, f.number, f.message_id, f.checksum"
    };
}
pub(crate) use change_columns;

/// The number of these columns.
pub(crate) const CHANGE_COLUMNS: usize = 8;

// These numbers are in files: they never change, and are never used again.
const ADDED: i64 = 1;
const RESERVED: i64 = 2;
const WRITTEN: i64 = 3;
const FINISHED: i64 = 4;
const ABANDONED: i64 = 5;
const EDITED: i64 = 6;
const PATCHED: i64 = 7;
const DELETED: i64 = 8;
const THREAD_CREATED: i64 = 20;
const THREAD_CHANGED: i64 = 21;
const THREAD_PUBLISHED: i64 = 22;
const THREAD_CLEARED: i64 = 23;
const THREAD_PRUNED: i64 = 24;
const THREAD_DELETED: i64 = 25;

impl<'a> ChangeRow<'a> {
    pub(crate) fn new(position: i64, thread_pk: i64, at: i64, change_kind: &'a ChangeKind) -> Option<Self> {
        let (kind, seq, figure, message_id) = match change_kind {
            ChangeKind::Added(message) => of(ADDED, message),
            ChangeKind::Reserved(message) => of(RESERVED, message),
            ChangeKind::Written(message) => of(WRITTEN, message),
            ChangeKind::Finished(message) => of(FINISHED, message),
            ChangeKind::Abandoned(message) => of(ABANDONED, message),
            ChangeKind::Edited(message) => of(EDITED, message),
            ChangeKind::Patched(message) => of(PATCHED, message),
            ChangeKind::Deleted(message) => of(DELETED, message),
            ChangeKind::ThreadCreated => (THREAD_CREATED, None, None, None),
            ChangeKind::ThreadChanged => (THREAD_CHANGED, None, None, None),
            ChangeKind::ThreadPublished => (THREAD_PUBLISHED, None, None, None),
            ChangeKind::ThreadCleared { generation, through } => {
                (THREAD_CLEARED, Some(number(through.get())), Some(number(generation.get())), None)
            }
            ChangeKind::ThreadPruned { through } => (THREAD_PRUNED, Some(number(through.get())), None, None),
            ChangeKind::ThreadDeleted => (THREAD_DELETED, None, None, None),
            // Never written: a reader returns it for a row that it cannot read.
            _ => return None,
        };
        Some(Self { position, thread_pk, kind, at, seq, number: figure, message_id })
    }

    /// Prepares the statement of [`insert`](Self::insert).
    pub(crate) fn statement(db: &Connection) -> rusqlite::Result<CachedStatement<'_>> {
        db.prepare_cached(
            "INSERT INTO changes (position, thread_pk, kind, at, seq, number, message_id, checksum) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
        )
    }

    pub(crate) fn insert(&self, statement: &mut CachedStatement<'_>) -> rusqlite::Result<()> {
        statement.execute(params![
            self.position,
            self.thread_pk,
            self.kind,
            self.at,
            self.seq,
            self.number,
            self.message_id,
            self.checksum(),
        ])?;
        Ok(())
    }

    /// Reads the columns of [`change_columns!`] from `at` on; `None` if their checksum does not match.
    pub(crate) fn read(row: &'a impl Columns, at: usize) -> Option<Self> {
        let change = Self {
            position: row.integer(at)?,
            thread_pk: row.integer(at + 1)?,
            kind: row.integer(at + 2)?,
            at: row.integer(at + 3)?,
            seq: row.integer(at + 4),
            number: row.integer(at + 5),
            message_id: row.optional_str(at + 6)?,
        };
        (change.checksum() == row.integer(at + 7)?).then_some(change)
    }

    /// Returns the change kind, or `Unreadable` with the reason.
    pub(crate) fn kind(&self) -> ChangeKind {
        let change = match self.kind {
            ADDED => self.message().map(ChangeKind::Added),
            RESERVED => self.message().map(ChangeKind::Reserved),
            WRITTEN => self.message().map(ChangeKind::Written),
            FINISHED => self.message().map(ChangeKind::Finished),
            ABANDONED => self.message().map(ChangeKind::Abandoned),
            EDITED => self.message().map(ChangeKind::Edited),
            PATCHED => self.message().map(ChangeKind::Patched),
            DELETED => self.message().map(ChangeKind::Deleted),
            THREAD_CREATED => Some(ChangeKind::ThreadCreated),
            THREAD_CHANGED => Some(ChangeKind::ThreadChanged),
            THREAD_PUBLISHED => Some(ChangeKind::ThreadPublished),
            THREAD_CLEARED => self.cleared(),
            THREAD_PRUNED => self.through().map(|through| ChangeKind::ThreadPruned { through }),
            THREAD_DELETED => Some(ChangeKind::ThreadDeleted),
            kind => return unreadable(format!("this version does not know its kind {kind}")),
        };
        change.unwrap_or_else(|| unreadable("its subject cannot be read".to_owned()))
    }

    fn message(&self) -> Option<ChangedMessage> {
        Some(ChangedMessage {
            id: MessageId::new(self.message_id?).ok()?,
            seq: self.through()?,
            revision: Revision::new(u64::try_from(self.number?).ok()?),
        })
    }

    fn cleared(&self) -> Option<ChangeKind> {
        let generation = Generation::new(u64::try_from(self.number?).ok()?);
        Some(ChangeKind::ThreadCleared { generation, through: self.through()? })
    }

    fn through(&self) -> Option<Seq> {
        Some(Seq::new(u64::try_from(self.seq?).ok()?))
    }

    fn checksum(&self) -> i64 {
        checksum_of!(; Self { position, thread_pk, kind, at, seq, number, message_id } = *self)
    }
}

fn of(kind: i64, message: &ChangedMessage) -> (i64, Option<i64>, Option<i64>, Option<&str>) {
    let (seq, revision) = (number(message.seq.get()), number(message.revision.get()));
    (kind, Some(seq), Some(revision), Some(message.id.as_str()))
}

/// Returns the change kind of a row that cannot be read.
pub(crate) fn unreadable(why: String) -> ChangeKind {
    ChangeKind::Unreadable { why }
}
