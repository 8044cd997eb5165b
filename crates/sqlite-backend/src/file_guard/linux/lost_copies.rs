//! Makes SQLite copy all pages of the WAL into the file again, after a sync of the file failed.
//!
//! A checkpoint that a reader limits copies some pages of the WAL, and counts them in the wal-index, but does not sync
//! the file. A later checkpoint copies the other pages, and syncs the file for all of them. If that sync fails, the disk
//! may lack any of these pages, and the next sync does not report it again: the kernel considers them written. SQLite
//! does not take its count back. Its next checkpoint would copy only the other pages, sync them, and let the WAL be
//! overwritten. So the store sets the count to zero.
//!
//! SQLite increases the count under its checkpoint lock, and sets it to zero when it restarts the WAL. It never relies
//! on a count that is not too low.

use std::{io, os::unix::fs::FileExt as _, sync::atomic::Ordering};

use super::{files::Files, guard::FileGuard, index, lock};

impl FileGuard {
    /// Handles a failed sync of the file: the next checkpoint copies all pages of the WAL.
    pub(crate) fn sync_failed(&self) {
        self.has_lost_copies.store(true, Ordering::Relaxed);
        self.forget_lost_copies();
    }

    /// Returns whether the file may lack pages that SQLite counts as copied into it. Then the WAL must stay, and no
    /// checkpoint may run. Tries to set the count to zero first; another process that runs a checkpoint prevents it.
    pub(crate) fn has_lost_copies(&self) -> bool {
        self.forget_lost_copies();
        self.has_lost_copies.load(Ordering::Relaxed)
    }

    fn forget_lost_copies(&self) {
        if !self.has_lost_copies.load(Ordering::Relaxed) {
            return;
        }
        match self.files().as_ref().map(|files| files.forget_copies()) {
            Some(Ok(true)) => self.has_lost_copies.store(false, Ordering::Relaxed),
            Some(Err(error)) => {
                tracing::warn!(target: "throughline_sqlite", %error, "the wal-index cannot be changed after a failed sync");
            }
            Some(Ok(false)) | None => {}
        }
    }
}

impl Files {
    /// Sets the number of pages of the WAL that the file has to zero. Returns false while a checkpoint runs.
    fn forget_copies(&self) -> io::Result<bool> {
        // Stores of this process share the descriptor, and the kernel does not distinguish the locks of one open file.
        let _one_at_a_time = self.checkpoints();
        if lock::exclude(&self.index, lock::CHECKPOINT).is_err() {
            return Ok(false);
        }
        let written = self.index.write_all_at(&index::NO_COPIES, index::COPIES_AT);
        lock::release(&self.index, lock::CHECKPOINT)?;
        written.map(|()| true)
    }
}

#[cfg(test)]
mod tests {
    use std::{fs::File, path::Path, sync::Arc};

    use rusqlite::Connection;

    use super::*;
    use crate::{failpoint::Failpoints, writer::with_suffix};

    const PAGE: usize = 4096;

    /// Runs a checkpoint. Returns how many pages the WAL has, and how many of them the file has.
    fn checkpoint(connection: &Connection) -> (i64, i64) {
        connection
            .query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |row| Ok((row.get(1)?, row.get(2)?)))
            .unwrap()
    }

    fn pages(path: &Path) -> Vec<Vec<u8>> {
        std::fs::read(path).unwrap().chunks(PAGE).map(<[u8]>::to_vec).collect()
    }

    /// A file into which a checkpoint has copied some pages, behind a reader that has ended by now.
    struct HalfCopied {
        _directory: tempfile::TempDir,
        database: File,
        path: std::path::PathBuf,
        connection: Connection,
        guard: Arc<FileGuard>,
    }

    impl HalfCopied {
        fn new() -> Self {
            let directory = tempfile::tempdir().unwrap();
            let path = directory.path().join("f.db");
            let connection = Connection::open(&path).unwrap();
            connection
                .execute_batch(
                    "PRAGMA journal_mode = WAL; PRAGMA wal_autocheckpoint = 0; CREATE TABLE a (b BLOB); CREATE TABLE c (b BLOB);
                     INSERT INTO a VALUES (zeroblob(40000))",
                )
                .unwrap();
            // Without a close, which would drop the locks of SQLite.
            let database = File::options().read(true).write(true).open(&path).unwrap();
            let reader = Connection::open(&path).unwrap();
            reader.execute_batch("BEGIN; SELECT * FROM a").unwrap();
            connection.execute("INSERT INTO c VALUES (zeroblob(40000))", []).unwrap();
            let (in_wal, copied) = checkpoint(&connection);
            assert!(0 < copied && copied < in_wal, "{copied} of {in_wal}");
            reader.execute_batch("COMMIT").unwrap();
            let guard = Arc::new(FileGuard::of_open_file(&path, Failpoints::none()));
            Self { _directory: directory, database, path, connection, guard }
        }

        /// Overwrites all copied pages, as if the disk had not received them.
        fn lose_pages(&self) {
            self.database.write_all_at(&vec![0xff; pages(&self.path).len() * PAGE], 0).unwrap();
        }

        fn has_a_lost_page(&self) -> bool {
            pages(&self.path).contains(&vec![0xff; PAGE])
        }
    }

    #[test]
    fn sqlite_does_not_copy_a_page_again_that_it_counts_as_copied() {
        let file = HalfCopied::new();
        file.lose_pages();
        let (in_wal, copied) = checkpoint(&file.connection);
        assert_eq!(in_wal, copied);
        assert!(file.has_a_lost_page(), "the module is not needed any more");
    }

    #[test]
    fn all_pages_of_the_wal_are_copied_again_after_a_failed_sync() {
        let file = HalfCopied::new();
        file.lose_pages();
        file.guard.sync_failed();
        assert!(!file.guard.has_lost_copies());
        let (in_wal, copied) = checkpoint(&file.connection);
        assert_eq!(in_wal, copied);
        assert!(!file.has_a_lost_page());
        let check: String =
            file.connection.query_row("PRAGMA integrity_check", [], |row| row.get(0)).unwrap();
        assert_eq!(check, "ok");
    }

    #[test]
    fn no_checkpoint_runs_while_the_count_cannot_be_set_to_zero() {
        let file = HalfCopied::new();
        // As another process that runs a checkpoint.
        let other = File::options().read(true).write(true).open(with_suffix(&file.path, "-shm")).unwrap();
        lock::exclude(&other, lock::CHECKPOINT).unwrap();
        file.guard.sync_failed();
        assert!(file.guard.has_lost_copies());
        assert!(file.guard.lock_for_checkpoint().unwrap().is_none());
        lock::release(&other, lock::CHECKPOINT).unwrap();
        assert!(!file.guard.has_lost_copies());
    }
}
