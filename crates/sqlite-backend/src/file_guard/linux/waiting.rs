//! The announcement of a store that it waits for the writer lock.

#[cfg(test)]
use std::path::Path;
use std::sync::Arc;

use super::guard::FileGuard;
#[cfg(test)]
use super::registry::Shared;

/// A store that waits for the writer lock.
#[derive(Debug)]
#[must_use = "when it is dropped, the store no longer counts as waiting"]
pub(crate) struct Waiting(Arc<FileGuard>);

impl Drop for Waiting {
    fn drop(&mut self) {
        self.0.set_waiting(false);
    }
}

impl FileGuard {
    /// Announces to all stores on the file that this one waits for the writer lock, until the result is dropped.
    pub(crate) fn announce_wait(self: &Arc<Self>) -> Waiting {
        self.set_waiting(true);
        Waiting(Arc::clone(self))
    }

    fn set_waiting(&self, waits: bool) {
        if let Some(files) = self.files().as_ref() {
            files.set_waiting(waits);
        }
    }

    /// Returns whether a store waits for the writer lock, in this process or in another one.
    pub(crate) fn is_awaited(&self) -> bool {
        self.files().as_ref().is_some_and(|files| files.is_awaited())
    }
}

/// Returns whether a store of this process on the file at `path` waits for the writer lock.
#[cfg(test)]
pub(crate) fn is_awaited(path: &Path) -> bool {
    Shared::of(path).is_some_and(|files| files.is_awaited())
}

#[cfg(test)]
mod tests {
    use std::fs::File;

    use rusqlite::Connection;

    use super::*;
    use crate::{failpoint::Failpoints, file_guard::linux::lock, writer::with_suffix};

    #[test]
    fn a_store_that_waits_is_seen_by_the_others_until_it_no_longer_waits() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("f.db");
        let connection = Connection::open(&path).unwrap();
        connection.execute_batch("PRAGMA journal_mode = WAL; CREATE TABLE t (b BLOB)").unwrap();
        let guard = Arc::new(FileGuard::of_open_file(&path, Failpoints::none()));
        let open = || File::options().read(true).write(true).open(with_suffix(&path, "-shm")).unwrap();
        let is_seen = || [guard.is_awaited(), lock::is_held(&open(), lock::WAITING).unwrap()];

        assert_eq!(is_seen(), [false, false]);
        let first = guard.announce_wait();
        let second = guard.announce_wait();
        drop(first);
        assert_eq!(is_seen(), [true, true]);
        drop(second);
        assert_eq!(is_seen(), [false, false]);
        let other = open();
        lock::share(&other, lock::WAITING).unwrap();
        assert!(guard.is_awaited(), "a store of another process waits");
        // The announcements of several processes do not exclude each other.
        drop(guard.announce_wait());
        assert!(guard.is_awaited());
        drop(other);
        assert!(!guard.is_awaited());
    }
}
