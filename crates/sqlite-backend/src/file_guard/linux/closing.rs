//! The removal of the WAL when the last store on a file closes.
//!
//! SQLite removes the WAL if it takes itself for the last user. It sees no second library in the process, and as it closes the
//! file it drops the locks of that library, which may be removing the WAL itself. So the store keeps its lock of the database until
//! its SQLite has closed the file: neither SQLite removes the WAL then. The store removes an empty one, if it is the
//! only user.

use std::{fs, io, path::Path};

use super::{
    files::{Files, descriptors},
    lock,
    registry::Shared,
};
use crate::file_status::{identity, length};

impl Shared {
    /// Removes an empty WAL and its index, if this is the last store on the file and nothing else has it open.
    pub(super) fn remove_wal(&self, wal: &Path, index: &Path) {
        self.if_last(|files| {
            // A connection of any process holds a lock on these bytes, as long as its process closes no descriptor of the file.
            if lock::exclude(&files.database, lock::SHARED).is_ok() {
                // From here on no connection can be opened.
                if is_alone(files) && is_empty(files, wal, index).unwrap_or_default() {
                    // In this order: a WAL without an index cannot be read without writing.
                    let removed = fs::remove_file(wal).and_then(|()| fs::remove_file(index));
                    if let Err(error) = removed {
                        tracing::debug!(target: "throughline_sqlite", %error, "an empty WAL was not removed");
                    }
                }
                drop(lock::share(&files.database, lock::SHARED));
            }
        });
    }
}

/// Returns whether no connection in this process, whose lock another library may have dropped, has the store open.
fn is_alone(files: &Files) -> bool {
    let own = [&files.database, &files.wal, &files.index];
    descriptors().is_some_and(|open| {
        own.iter().all(|own| open.iter().filter(|file| **file == own.identity).count() == 1)
    })
}

/// Returns whether the WAL of the store, which is at its path, is empty.
fn is_empty(files: &Files, wal: &Path, index: &Path) -> io::Result<bool> {
    Ok(length(&files.wal)? == 0 && files.opened() == (identity(wal)?, identity(index)?))
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use rusqlite::{Connection, config::DbConfig};

    use super::*;
    use crate::writer::with_suffix;

    struct Closing {
        _directory: tempfile::TempDir,
        path: PathBuf,
        connection: Connection,
        files: Shared,
    }

    /// A store whose WAL has been checkpointed.
    fn closing() -> Closing {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("f.db");
        let connection = Connection::open(&path).unwrap();
        connection
            .execute_batch(
                "PRAGMA journal_mode = WAL; CREATE TABLE t (b BLOB); PRAGMA wal_checkpoint(TRUNCATE)",
            )
            .unwrap();
        let files = Shared::of_open_file(&path);
        Closing { _directory: directory, path, connection, files }
    }

    impl Closing {
        /// Closes the connection, and returns whether SQLite and the store have left the WAL and its index.
        fn close(self) -> bool {
            let [wal, index] = ["-wal", "-shm"].map(|suffix| with_suffix(&self.path, suffix));
            self.connection.close().unwrap();
            assert!(wal.exists() && index.exists(), "SQLite removes nothing while the database is locked");
            self.files.remove_wal(&wal, &index);
            assert_eq!(wal.exists(), index.exists());
            wal.exists()
        }
    }

    #[test]
    fn the_last_store_removes_an_empty_wal() {
        assert!(!closing().close());
    }

    #[test]
    fn a_wal_with_commits_is_not_removed() {
        let closing = closing();
        closing.connection.execute("INSERT INTO t VALUES (1)", []).unwrap();
        assert!(closing.close());
    }

    #[test]
    fn a_wal_that_another_store_of_the_process_uses_is_not_removed() {
        let closing = closing();
        let _other = Shared::of_open_file(&closing.path);
        assert!(closing.close());
    }

    #[test]
    fn a_wal_that_a_connection_uses_is_not_removed() {
        let closing = closing();
        let other = Connection::open(&closing.path).unwrap();
        other.query_row("SELECT count(*) FROM t", [], |_| Ok(())).unwrap();
        // It does not remove the WAL either.
        other.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true).unwrap();
        assert!(closing.close());
    }

    /// The close of the store's SQLite drops the locks of a second library.
    #[test]
    fn a_wal_that_a_second_library_without_locks_has_open_is_not_removed() {
        for suffix in ["", "-wal", "-shm"] {
            let closing = closing();
            let _second = fs::File::open(with_suffix(&closing.path, suffix)).unwrap();
            assert!(closing.close(), "{suffix}");
        }
    }

    #[test]
    fn a_wal_at_the_path_that_is_not_that_of_the_store_is_not_removed() {
        let closing = closing();
        let wal = with_suffix(&closing.path, "-wal");
        fs::rename(&wal, with_suffix(&closing.path, "-moved")).unwrap();
        fs::write(&wal, "").unwrap();
        assert!(closing.close());
    }
}
