//! The lock that keeps other SQLite libraries out during a checkpoint.
//!
//! A second library in the process sees none of the locks that SQLite takes for a checkpoint. If it runs a checkpoint
//! at the same time, or writes while the WAL is truncated, it damages the file. So during a checkpoint the store makes
//! its own lock exclusive on the bytes of the `-shm` that count its users. A library that opens the `-shm` waits, as
//! while another process initializes it. The store then counts the libraries that have it open already, and does not
//! run the checkpoint if there is one.
//!
//! If another process has the store open, the store cannot take the exclusive lock, and the checkpoint runs without it.

use std::sync::Arc;

use super::guard::FileGuard;
use crate::error::EngineError;

/// The lock for a checkpoint: no other library opens the store until it is dropped.
#[derive(Debug)]
#[must_use = "when it is dropped, others can open the store"]
pub(crate) struct CheckpointLock(Arc<FileGuard>);

impl Drop for CheckpointLock {
    fn drop(&mut self) {
        if let Some(files) = self.0.files().as_ref() {
            files.end_checkpoint();
        }
    }
}

impl FileGuard {
    /// Takes the lock for a checkpoint. Returns `None` while a second library has the store open, while a read is under way
    /// whose mark it [may have moved](Self::may_have_moved_marks), and while a checkpoint would leave out pages that the file
    /// [may lack](Self::has_lost_copies).
    ///
    /// # Errors
    /// The WAL or the file is not what SQLite wrote.
    pub(crate) fn lock_for_checkpoint(self: &Arc<Self>) -> Result<Option<CheckpointLock>, EngineError> {
        if let Some(files) = self.files().as_ref() {
            files.begin_checkpoint();
        }
        let lock = CheckpointLock(Arc::clone(self));
        let may_run = self.may_checkpoint()? && !self.has_lost_copies();
        let are_marks_sound = || self.files().as_ref().is_none_or(|files| files.read_marks.are_sound());
        Ok((may_run && are_marks_sound()).then_some(lock))
    }
}

#[cfg(test)]
mod tests {
    use std::{fs::File, path::Path};

    use rusqlite::Connection;

    use super::*;
    use crate::{failpoint::Failpoints, file_guard::linux::lock, writer::with_suffix};

    fn guard(path: &Path) -> (Connection, Arc<FileGuard>) {
        let connection = Connection::open(path).unwrap();
        connection
            .execute_batch(
                "PRAGMA journal_mode = WAL; CREATE TABLE IF NOT EXISTS t (b BLOB); SELECT * FROM t",
            )
            .unwrap();
        (connection, Arc::new(FileGuard::of_open_file(path, Failpoints::none())))
    }

    #[test]
    fn the_wal_index_cannot_be_opened_during_a_checkpoint() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("f.db");
        let (connection, first) = guard(&path);
        let (_, second) = guard(&path);
        let index = File::options().read(true).write(true).open(with_suffix(&path, "-shm")).unwrap();
        // The descriptor of this test acts as one of a second library.
        assert!(first.lock_for_checkpoint().unwrap().is_none());
        let others_wait = || {
            let is_held = lock::share(&index, lock::USERS).is_err();
            lock::release(&index, lock::USERS).unwrap();
            is_held
        };
        assert!(!others_wait());
        {
            let files = first.files();
            let files = files.as_ref().unwrap();
            files.begin_checkpoint();
            assert!(others_wait());
            // Another store of the process ends its checkpoint, and a third one is opened.
            files.begin_checkpoint();
            files.end_checkpoint();
            files.lock().unwrap();
            assert!(others_wait());
            connection.execute_batch("PRAGMA wal_checkpoint(TRUNCATE)").unwrap();
            files.end_checkpoint();
        }
        assert!(!others_wait());
        assert!(lock::exclude(&index, lock::USERS).is_err(), "the store is a user again");
        drop(second);
    }

    #[test]
    fn a_checkpoint_runs_without_the_lock_while_another_process_has_the_index_open() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("f.db");
        let (connection, guard) = guard(&path);
        let files = guard.files();
        let files = files.as_ref().unwrap();
        let other = File::options().read(true).write(true).open(with_suffix(&path, "-shm")).unwrap();
        lock::share(&other, lock::USERS).unwrap();
        files.begin_checkpoint();
        connection.execute_batch("PRAGMA wal_checkpoint(TRUNCATE)").unwrap();
        assert!(lock::exclude(&other, lock::USERS).is_err());
        files.end_checkpoint();
        assert!(lock::exclude(&other, lock::USERS).is_err());
    }
}
