//! Takes the write lock, and answers writes that time out while they wait for it.

use std::{
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use rusqlite::Connection;
use throughline_core::{Effect, ErrorKind, PersistError};

use super::{
    file_identity::FileIdentity, lock_yield, lost::checkpoint_into_file, transaction::execute, worker::Worker,
};
use crate::{
    OpenError, connection,
    error::{EngineError, Phase},
    file_guard::{FileGuard, WriteLock},
    health::WriterStep,
    pause,
};

/// How long the writer waits for readers, to close their connections.
pub(super) const READERS_TIMEOUT: Duration = Duration::from_millis(500);

/// The reason why no transaction began.
enum NotBegun {
    Engine(EngineError),
    File(OpenError),
}

impl NotBegun {
    fn is_busy(&self) -> bool {
        match self {
            Self::Engine(error) => error.is_busy(),
            Self::File(_) => false,
        }
    }

    fn engine(&self) -> Option<&EngineError> {
        match self {
            Self::Engine(error) => Some(error),
            Self::File(error) => error.engine(),
        }
    }

    fn is_second_library(&self) -> bool {
        matches!(self, Self::Engine(error) if error.is_second_library())
    }

    /// Returns whether the reason counts as a failure of the writer.
    fn counts_as_failure(&self) -> bool {
        match self {
            // Every write needs a page that `BEGIN` reads.
            Self::Engine(error) => error.counts_as_failure() || error.is_unreadable(),
            Self::File(error) => !matches!(error.kind(), ErrorKind::StorageFull | ErrorKind::Busy),
        }
    }

    /// Returns whether another attempt may succeed.
    fn is_retryable(&self) -> bool {
        match self {
            Self::Engine(error) => error.is_retryable(),
            Self::File(error) => matches!(error.kind(), ErrorKind::Unavailable | ErrorKind::Busy),
        }
    }

    fn to_persist(&self) -> PersistError {
        match self {
            Self::Engine(error) => error.to_persist(Phase::Begin),
            Self::File(error) => {
                // The call is well-formed; the file is not.
                let kind = match error.kind() {
                    ErrorKind::Invalid | ErrorKind::Unsupported => ErrorKind::Unavailable,
                    kind => kind,
                };
                PersistError::new(kind, error.to_string()).with_effect(Effect::NotApplied)
            }
        }
    }
}

impl Worker {
    /// Begins a transaction that holds the write lock. Returns `None` when no write waits any more: each has its
    /// answer.
    ///
    /// The writer takes nothing from the queue before it holds the lock: waiting callers can still leave or time out
    /// without any effect.
    pub(super) fn begin(&mut self) -> Option<WriteLock> {
        let mut waiting = None;
        loop {
            let begun = self.try_begin();
            self.health_state.end_step();
            let not_begun = match begun {
                Ok(lock) => {
                    self.stuck_lock.reset();
                    if self.has_second_library {
                        self.set_second_library(false);
                    }
                    return Some(lock);
                }
                Err(not_begun) => not_begun,
            };
            if let NotBegun::Engine(error) = &not_begun
                && error.is_busy()
            {
                self.handle_busy(error);
            }
            if let Some(error) = not_begun.engine() {
                if error.is_unreadable() {
                    self.health_state.set_unreadable(true);
                }
                if error.is_lock() {
                    self.failure_tracker.record_lock_failure();
                }
            }
            if !not_begun.is_busy() {
                if self.file_identity.lost.is_none() {
                    self.connection = None;
                }
                if not_begun.counts_as_failure() {
                    self.failure_tracker.record_failure(&self.health_state, not_begun.to_persist());
                }
            }
            let is_outdated = not_begun.engine().is_some_and(EngineError::is_outdated);
            let is_short = not_begun.is_busy() && !not_begun.is_second_library();
            if is_short && !is_outdated {
                waiting.get_or_insert_with(|| self.guard.announce_wait());
            }
            let pause = match is_short {
                // The other writer has released the lock. That it commits again just now is its progress.
                true if is_outdated => Duration::ZERO,
                true => pause::for_the_lock(),
                false => pause::for_the_file(),
            };
            let timed_out = if not_begun.is_retryable() && !self.health_state.is_read_only() {
                // This includes the writes that would time out before the next attempt.
                self.queue.take_timed_out(Instant::now() + pause)
            } else {
                self.queue.take_all()
            };
            for pending in timed_out {
                pending.answer(Err(not_begun.to_persist()));
            }
            if self.queue.is_empty() {
                // The writer checks the lock again only when the next write arrives.
                self.stuck_lock.reset();
                return None;
            }
            thread::sleep(pause);
        }
    }

    /// Pauses if it is time to let another store have the write lock. Called before each transaction, or a few of them. The writer has
    /// had nothing to do since `idle_since`.
    pub(super) fn yield_lock(&mut self, idle_since: Instant) {
        if self.lock_yield.is_due(self.guard.is_awaited(), idle_since, Instant::now()) {
            thread::sleep(lock_yield::PAUSE);
        }
    }

    /// Handles an attempt to begin that found the store busy. Another writer holds the lock for moments, another process
    /// possibly for long. A lock that SQLite could not take or release stays held until no connection of this process has
    /// the file open. In that case the writer closes all connections of the store, also those of the readers.
    pub(super) fn handle_busy(&mut self, error: &EngineError) {
        if error.is_second_library() {
            self.set_second_library(true);
        }
        let guard = &self.guard;
        if !self.stuck_lock.is_stuck(error, || guard.is_written_elsewhere(), Instant::now()) {
            return;
        }
        self.stuck_lock.reset();
        self.close_connections();
        self.failed(&EngineError::LockStuck);
    }

    /// Closes every connection of the store; the next use opens another.
    pub(super) fn close_connections(&mut self) {
        self.connection = None;
        self.file_identity.reopened();
        self.reader_barrier.close_connections(READERS_TIMEOUT);
    }

    fn try_begin(&mut self) -> Result<WriteLock, NotBegun> {
        let before = self.guard.before_begin().map_err(NotBegun::Engine)?;
        if self.connection.is_none() {
            self.health_state.begin_step(WriterStep::Open);
            let connection = connection::reopen(&self.path).map_err(NotBegun::File)?;
            self.set_connection(connection);
        }
        let Some(connection) = &self.connection else { unreachable!("it was opened above") };
        self.health_state.begin_step(WriterStep::Begin);
        let mut begin = || -> rusqlite::Result<()> {
            self.page_cache_reserve.make(connection)?;
            connection.prepare_cached("BEGIN IMMEDIATE")?.execute([])?;
            Ok(())
        };
        begin().map_err(|error| NotBegun::Engine(EngineError::from(error).caused(&self.path)))?;
        // The WAL is open by now.
        self.file_identity.expect_unchanged().and_then(|()| self.guard.expect_database()).map_err(
            |error| {
                self.file_identity.failed(&error);
                drop(execute(connection, "ROLLBACK"));
                // While the descriptors are open.
                checkpoint_into_file(connection, &mut self.file_identity, &self.guard);
                if self.file_identity.lost.is_some() {
                    return NotBegun::Engine(error);
                }
                // A normal close would delete the WAL of the file that is at the path now.
                connection::keep_wal_on_close(connection);
                NotBegun::Engine(error)
            },
        )?;
        self.guard.exchange(connection, &before, self.file_identity.opened()).map_err(|error| {
            self.file_identity.failed(&error);
            NotBegun::Engine(error)
        })
    }
}

/// A transaction of the writer's own. If it is dropped before its `COMMIT`, it rolls back, and releases the lock after
/// that.
#[derive(Debug)]
#[must_use = "dropped, the transaction is rolled back"]
pub(crate) struct OwnTransaction<'a> {
    connection: &'a Connection,
    _lock: WriteLock,
}

impl Drop for OwnTransaction<'_> {
    fn drop(&mut self) {
        if !self.connection.is_autocommit() {
            drop(execute(self.connection, "ROLLBACK"));
        }
    }
}

/// Begins a transaction of the writer's own, for which no caller waits, and holds the write lock.
///
/// # Errors
/// No transaction began.
pub(crate) fn begin_own<'a>(
    connection: &'a Connection,
    file_identity: &FileIdentity,
    guard: &Arc<FileGuard>,
) -> Result<OwnTransaction<'a>, EngineError> {
    let before = guard.before_begin()?;
    execute(connection, "BEGIN IMMEDIATE")?;
    // No lock was exchanged: the connection holds SQLite's.
    file_identity.expect_file().inspect_err(|_| drop(execute(connection, "ROLLBACK")))?;
    let lock = guard.exchange(connection, &before, file_identity.opened())?;
    Ok(OwnTransaction { connection, _lock: lock })
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;
    use crate::failpoint::Failpoints;

    #[test]
    fn a_transaction_of_the_writers_own_is_rolled_back_before_the_lock_is_released() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("f.db");
        let connection = Connection::open(&path).unwrap();
        connection.execute_batch("PRAGMA journal_mode = WAL; CREATE TABLE t (b BLOB)").unwrap();
        let guard = Arc::new(FileGuard::of_open_file(&path, Failpoints::none()));
        let file_identity = FileIdentity::new(&path, guard.opened());
        let counts = [(); 2].map(|()| Arc::<AtomicU32>::default());
        let (locked, [while_held, while_free]) = (Arc::clone(&guard), counts.clone());
        let count = move || {
            (if locked.is_locked() { &while_held } else { &while_free }).fetch_add(1, Ordering::SeqCst);
        };
        connection.rollback_hook(Some(count)).unwrap();
        let insert = || execute(&connection, "INSERT INTO t VALUES (1)").unwrap();

        let failed = begin_own(&connection, &file_identity, &guard).unwrap();
        insert();
        drop(failed);
        assert_eq!(counts.each_ref().map(|count| count.load(Ordering::SeqCst)), [1, 0]);
        assert!(connection.is_autocommit() && !guard.is_locked());

        let committed = begin_own(&connection, &file_identity, &guard).unwrap();
        insert();
        execute(&connection, "COMMIT").unwrap();
        drop(committed);
        let rows: i64 = connection.query_row("SELECT count(*) FROM t", [], |row| row.get(0)).unwrap();
        assert_eq!(rows, 1);
        assert_eq!(counts.each_ref().map(|count| count.load(Ordering::SeqCst)), [1, 0]);
    }
}
