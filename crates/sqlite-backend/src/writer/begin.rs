//! Getting the write lock, and giving up those who waited for it too long.

use std::{thread, time::Instant};

use throughline_core::{Effect, ErrorKind, PersistError};

use super::{log::fold, place::Lost, transaction::execute, worker::Worker};
use crate::{
    OpenError, connection,
    error::{EngineError, Phase},
    pause,
};

/// Why there is no transaction.
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

    /// Whether the writer cannot go on for it.
    fn is_trouble(&self) -> bool {
        match self {
            Self::Engine(error) => error.is_trouble(),
            Self::File(error) => !matches!(error.kind(), ErrorKind::StorageFull | ErrorKind::Busy),
        }
    }

    /// Whether another attempt may succeed.
    fn passes(&self) -> bool {
        match self {
            Self::Engine(error) => error.passes(),
            Self::File(error) => matches!(error.kind(), ErrorKind::Unavailable | ErrorKind::Busy),
        }
    }

    fn to_persist(&self) -> PersistError {
        match self {
            Self::Engine(error) => error.to_persist(Phase::Begin),
            Self::File(error) => {
                // The call is well-formed; it is the file that is not what it was.
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
    /// Begins a transaction that holds the write lock. False when nobody waits for one any more: everyone was told.
    ///
    /// Nothing is taken from the queue before the lock is there: those who wait can still leave, or run out of time,
    /// without a trace.
    pub(super) fn begin(&mut self) -> bool {
        loop {
            let not_begun = match self.try_begin() {
                Ok(()) => return true,
                Err(not_begun) => not_begun,
            };
            if !not_begun.is_busy() {
                if self.place.lost.is_none() {
                    self.connection = None;
                }
                if not_begun.is_trouble() {
                    self.trouble.failed(&self.board, not_begun.to_persist());
                }
            }
            let pause = if not_begun.is_busy() { pause::for_the_lock() } else { pause::for_the_file() };
            let given_up = if not_begun.passes() && !self.board.is_read_only() {
                // Also those whose time would be over before the next attempt.
                self.queue.take_given_up(Instant::now() + pause)
            } else {
                self.queue.take_all()
            };
            for pending in given_up {
                pending.answer(Err(not_begun.to_persist()));
            }
            if self.queue.is_empty() {
                return false;
            }
            thread::sleep(pause);
        }
    }

    fn try_begin(&mut self) -> Result<(), NotBegun> {
        let connection = match &self.connection {
            Some(connection) => connection,
            None => {
                let connection = connection::reopen(&self.path).map_err(NotBegun::File)?;
                self.place.reopened();
                self.connection.insert(connection)
            }
        };
        let mut begin = || -> rusqlite::Result<()> {
            self.room.make(connection)?;
            connection.prepare_cached("BEGIN IMMEDIATE")?.execute([])?;
            Ok(())
        };
        begin().map_err(|error| NotBegun::Engine(error.into()))?;
        // The log is open by now.
        self.place.expect_both().map_err(|error| {
            if let Some(lost) = self.place.lost {
                drop(execute(connection, "ROLLBACK"));
                if lost == Lost::Log {
                    drop(fold(connection, "PRAGMA wal_checkpoint(PASSIVE)"));
                }
                return NotBegun::Engine(error);
            }
            // Closed like any other, it would delete the log of whatever is at the path now.
            connection::leave_the_log(connection);
            NotBegun::Engine(error)
        })
    }
}
