use rusqlite::{Connection, params};
use throughline_core::threads::Generation;

use super::{Columns, checksum_of};

/// The head of a thread: the row of `threads`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Head {
    /// The greatest sequence number of a deleted message.
    pub(crate) deleted_seq: i64,
    /// The last sequence number that a clear or a deletion of the thread removed.
    pub(crate) floor: i64,
    pub(crate) generation: i64,
    /// The time of the last change of a removed message, or the creation time of the thread.
    pub(crate) gone_at: i64,
    /// The last sequence number of a deleted prompt of the user.
    pub(crate) gone_question: i64,
    pub(crate) deleted: bool,
    /// Whether the file still holds messages up to the floor.
    pub(crate) purgeable: bool,
    /// The first sequence number of the last segment of the thread, or 0.
    pub(crate) last_segment: i64,
}

/// The columns of a head, as `t`, in the order in which [`Head::read`] expects them.
macro_rules! head_columns {
    () => {
        "t.thread_pk, t.deleted_seq, t.floor, t.generation, t.gone_at, t.gone_question, t.deleted, t.purgeable, \
         t.last_segment, t.checksum"
    };
}
pub(crate) use head_columns;
/// The number of these columns.
pub(crate) const HEAD_COLUMNS: usize = 10;

impl Head {
    /// Returns the head of a new thread that was created at this time.
    pub(crate) const fn new(created_at: i64) -> Self {
        Self {
            deleted_seq: 0,
            floor: 0,
            generation: 1,
            gone_at: created_at,
            gone_question: 0,
            deleted: false,
            purgeable: false,
            last_segment: 0,
        }
    }

    /// Reads the columns of [`head_columns!`] from `at` on: the number of the thread and its head. `None` if their
    /// checksum does not match.
    pub(crate) fn read(row: &impl Columns, at: usize, tenant: &str, thread: &str) -> Option<(i64, Self)> {
        let head = Self {
            deleted_seq: row.integer(at + 1)?,
            floor: row.integer(at + 2)?,
            generation: row.integer(at + 3)?,
            gone_at: row.integer(at + 4)?,
            gone_question: row.integer(at + 5)?,
            deleted: flag(row, at + 6)?,
            purgeable: flag(row, at + 7)?,
            last_segment: row.integer(at + 8)?,
        };
        (head.checksum(tenant, thread) == row.integer(at + 9)?).then_some((row.integer(at)?, head))
    }

    pub(crate) fn insert(&self, db: &Connection, tenant: &str, thread: &str) -> rusqlite::Result<i64> {
        db.prepare_cached(
            "INSERT INTO threads (tenant, thread, deleted_seq, floor, generation, gone_at, gone_question, deleted, purgeable, \
             last_segment, checksum) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)",
        )?
        .execute(params![
            tenant,
            thread,
            self.deleted_seq,
            self.floor,
            self.generation,
            self.gone_at,
            self.gone_question,
            self.deleted,
            self.purgeable,
            self.last_segment,
            self.checksum(tenant, thread),
        ])?;
        Ok(db.last_insert_rowid())
    }

    pub(crate) fn update(
        &self,
        db: &Connection,
        thread_pk: i64,
        tenant: &str,
        thread: &str,
    ) -> rusqlite::Result<()> {
        db.prepare_cached(
            "UPDATE threads SET deleted_seq = ?2, floor = ?3, generation = ?4, gone_at = ?5, gone_question = ?6, \
             deleted = ?7, last_segment = ?8, checksum = ?9 WHERE thread_pk = ?1",
        )?
        .execute(params![
            thread_pk,
            self.deleted_seq,
            self.floor,
            self.generation,
            self.gone_at,
            self.gone_question,
            self.deleted,
            self.last_segment,
            self.checksum(tenant, thread),
        ])?;
        Ok(())
    }

    /// Writes whether there is something to purge. In a separate statement, because it also writes a partial index.
    pub(crate) fn write_purgeable(&self, db: &Connection, thread_pk: i64) -> rusqlite::Result<()> {
        db.prepare_cached("UPDATE threads SET purgeable = ?2 WHERE thread_pk = ?1")?
            .execute(params![thread_pk, self.purgeable])?;
        Ok(())
    }

    pub(crate) fn generation(&self) -> Generation {
        Generation::new(u64::try_from(self.generation).unwrap_or_default())
    }

    fn checksum(&self, tenant: &str, thread: &str) -> i64 {
        checksum_of!(tenant, thread; Self {
            deleted_seq, floor, generation, gone_at, gone_question, deleted, purgeable, last_segment
        } = *self)
    }
}

/// Reads a column that is 0 or 1.
pub(super) fn flag(row: &impl Columns, at: usize) -> Option<bool> {
    match row.integer(at)? {
        0 => Some(false),
        1 => Some(true),
        _ => None,
    }
}
