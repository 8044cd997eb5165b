//! The position of the store, and the writers that have advanced it.
//!
//! The writer reads the row of the store at the beginning of each transaction, and writes it at the end of each that
//! changes something. Next to the position, the row names the writers that have committed last, each with the position
//! of its last commit. A writer looks itself up there when it does not know whether its commit was applied.

use rusqlite::{Connection, Row, params};
use throughline_core::replication::{Epoch, ReplicationRole, ReplicationState};

use crate::{
    error::EngineError,
    record::{Checksum, number},
};

/// The number of writers that the row remembers. A writer is forgotten only after as many others have committed.
const REMEMBERED: usize = 64;

/// The row of the store.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Progress {
    pub(crate) position: i64,
    /// The last change that is no longer kept.
    pub(crate) kept_after: i64,
    fence_transaction_count: i64,
    epoch: i64,
    is_replica: bool,
    /// In the order of their last commits, the oldest first.
    writers: Vec<Mark>,
}

/// A writer and the position of its last commit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Mark {
    writer: i64,
    position: i64,
}

impl Progress {
    /// Selects the row of the store.
    pub(crate) const SELECT: &str = "SELECT position, kept_after, fence_transaction_count, checksum, writers, epoch, \
        is_replica FROM store WHERE id = 1";

    /// Decodes that row; `None` if its checksum does not match.
    pub(crate) fn of(row: &Row<'_>) -> rusqlite::Result<Option<Self>> {
        let (position, kept_after, fence_transaction_count) = (row.get(0)?, row.get(1)?, row.get(2)?);
        let checksum: i64 = row.get(3)?;
        let writers = decode(row.get_ref(4)?.as_blob()?);
        let (epoch, is_replica) = (row.get(5)?, row.get::<_, i64>(6)? != 0);
        let progress = writers.map(|writers| Self {
            position,
            kept_after,
            fence_transaction_count,
            epoch,
            is_replica,
            writers,
        });
        Ok(progress.filter(|progress| progress.checksum() == checksum))
    }

    pub(crate) fn read(connection: &Connection) -> Result<Self, EngineError> {
        let read = connection.prepare_cached(Self::SELECT)?.query_row([], Self::of)?;
        read.ok_or(EngineError::Damaged { subject: "the position of the store" })
    }

    /// Advances to the last change in `changes`. That is usually the position of the store. It is later if SQLite had
    /// ended a transaction and a statement committed a change by itself: that position must not be used again.
    pub(crate) fn catch_up(&mut self, connection: &Connection) -> rusqlite::Result<()> {
        let last: Option<i64> = connection
            .prepare_cached("SELECT max(position) FROM changes")?
            .query_row([], |row| row.get(0))?;
        self.position = self.position.max(last.unwrap_or_default());
        Ok(())
    }

    pub(crate) fn write(&self, connection: &Connection) -> rusqlite::Result<()> {
        connection
            .prepare_cached(
                "UPDATE store SET position = ?1, kept_after = ?2, fence_transaction_count = ?3, checksum = ?4, \
                 writers = ?5, epoch = ?6, is_replica = ?7 WHERE id = 1",
            )?
            .execute(params![
                self.position,
                self.kept_after,
                self.fence_transaction_count,
                self.checksum(),
                encode(&self.writers),
                self.epoch,
                self.is_replica,
            ])?;
        Ok(())
    }

    /// Returns the replication state of the store.
    pub(crate) fn replication_state(&self) -> ReplicationState {
        let role = if self.is_replica { ReplicationRole::Replica } else { ReplicationRole::Primary };
        ReplicationState { role, epoch: Epoch::new(u64::try_from(self.epoch).unwrap_or_default()) }
    }

    pub(crate) fn set_replication_state(&mut self, replication_state: ReplicationState) {
        (self.epoch, self.is_replica) =
            (number(replication_state.epoch.get()), !replication_state.is_primary());
    }

    /// Records that `writer` commits up to `position`.
    pub(super) fn advance(&mut self, writer: i64, position: i64) {
        self.writers.retain(|mark| mark.writer != writer);
        if self.writers.len() >= REMEMBERED {
            self.writers.remove(0);
        }
        self.writers.push(Mark { writer, position });
        self.position = position;
    }

    /// Counts a fence transaction, so that it has a change to commit.
    pub(super) const fn fence_transaction(&mut self) {
        self.fence_transaction_count = self.fence_transaction_count.wrapping_add(1);
    }

    /// Returns whether the row contains the commit of `writer` up to `position`; `None` if that is no longer known.
    pub(super) fn holds(&self, writer: i64, position: i64) -> Option<bool> {
        match self.writers.iter().find(|mark| mark.writer == writer) {
            Some(mark) => Some(mark.position == position),
            // The row would only have forgotten it after more writers.
            None if self.writers.len() < REMEMBERED => Some(false),
            None => (self.writers[0].position < position).then_some(false),
        }
    }

    fn checksum(&self) -> i64 {
        let sum = Checksum::new()
            .integer(self.position)
            .integer(self.kept_after)
            .integer(self.fence_transaction_count)
            .integer(self.epoch)
            .integer(self.is_replica.into());
        self.writers.iter().fold(sum, |sum, mark| sum.integer(mark.writer).integer(mark.position)).finish()
    }
}

fn encode(writers: &[Mark]) -> Vec<u8> {
    writers.iter().flat_map(|mark| [mark.writer, mark.position]).flat_map(i64::to_le_bytes).collect()
}

fn decode(bytes: &[u8]) -> Option<Vec<Mark>> {
    let (marks, rest) = bytes.as_chunks::<16>();
    let number = |bytes: &[u8]| Some(i64::from_le_bytes(bytes.try_into().ok()?));
    let mark = |mark: &[u8; 16]| Some(Mark { writer: number(&mark[..8])?, position: number(&mark[8..])? });
    if rest.is_empty() { marks.iter().map(mark).collect() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_applied_commit_is_distinguished_from_a_missing_one() {
        let mut progress = Progress::default();
        assert_eq!(progress.holds(7, 1), Some(false));
        progress.advance(7, 3);
        assert_eq!((progress.holds(7, 3), progress.holds(7, 5)), (Some(true), Some(false)));
        progress.advance(8, 4);
        progress.advance(7, 6);
        assert_eq!(
            (progress.holds(7, 6), progress.holds(8, 4), progress.position),
            (Some(true), Some(true), 6)
        );
        assert_eq!(progress.writers.len(), 2);
    }

    #[test]
    fn a_commit_that_may_be_forgotten_is_unknown() {
        let mut progress = Progress::default();
        progress.advance(-1, 1);
        for writer in 0..REMEMBERED as i64 {
            assert_eq!(progress.holds(-1, 1), Some(true));
            progress.advance(writer, writer + 2);
        }
        // All remembered writers committed after the position: the commit may have been there.
        assert_eq!(progress.holds(-1, 1), None);
        // A remembered writer committed before the position: the row would remember this one too.
        assert_eq!(progress.holds(-1, 3), Some(false));
        assert_eq!(progress.writers.len(), REMEMBERED);
    }

    #[test]
    fn progress_survives_a_round_trip_and_damage_is_detected() {
        let connection = Connection::open_in_memory().unwrap();
        connection.execute_batch(include_str!("../../migrations/0001_initial.sql")).unwrap();
        let mut progress = Progress::read(&connection).unwrap();
        assert_eq!(progress, Progress::default());
        progress.advance(7, 3);
        progress.advance(i64::MAX, 9);
        progress.fence_transaction();
        progress
            .set_replication_state(ReplicationState { role: ReplicationRole::Replica, epoch: Epoch::new(3) });
        progress.write(&connection).unwrap();
        assert_eq!(Progress::read(&connection).unwrap(), progress);
        for change in [
            "position = 8",
            "kept_after = 1",
            "fence_transaction_count = 0",
            "epoch = 4",
            "is_replica = 0",
            "writers = x''",
            "writers = CAST(writers || x'00' AS BLOB)",
            "checksum = 0",
        ] {
            progress.write(&connection).unwrap();
            connection.execute(&format!("UPDATE store SET {change}"), []).unwrap();
            assert!(matches!(Progress::read(&connection), Err(EngineError::Damaged { .. })), "{change}");
        }
    }
}
