//! The fence transaction: it determines whether a failed commit was applied, and makes that final.
//!
//! A `COMMIT` that failed may still take effect: the WAL may hold all of its frames, and a later recovery replays them.
//! The outcome is final only after another commit. So the writer opens the file again and reads how far it has come. It
//! trusts that answer after it has committed a change of its own, the fence transaction.
//!
//! On a full disk no change can commit. There the commit failed because some of its frames found no space. The last
//! frame carries the commit mark, so it is missing, and the commit can never take effect.

use std::{thread, time::Instant};

use rusqlite::Connection;

use super::{begin::begin_own, progress::Progress, transaction::execute, worker::Worker};
use throughline_core::{Effect, ErrorKind, PersistError};

use crate::{OpenError, connection, error::EngineError, failpoint::Failpoint, health::WriterStep, pause};

/// The outcome of a failed commit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// The commit is in the file.
    Applied,
    /// The commit is not in the file, and never will be.
    NotApplied,
    /// The outcome could not be determined.
    Unknown,
}

impl Worker {
    /// Determines the outcome of the transaction that would have advanced the store to `position` and ended with
    /// `failure`. Tries for as long as a write may wait.
    pub(super) fn fence_transaction(&mut self, position: i64, failure: &EngineError) -> Verdict {
        let begun = Instant::now();
        let mut leaves_mark = true;
        loop {
            let found = self.try_fence_transaction(position, leaves_mark);
            self.health_state.end_step();
            let error = match found {
                Ok((verdict, connection)) => {
                    self.set_connection(connection);
                    if leaves_mark {
                        self.failure_tracker.record_success(&self.health_state);
                    }
                    return verdict;
                }
                Err(error) => error,
            };
            let is_busy = error.kind() == ErrorKind::Busy;
            if leaves_mark && failure.is_full() && error.kind() == ErrorKind::StorageFull {
                leaves_mark = false;
                continue;
            }
            if error.engine().is_some_and(EngineError::is_lock) {
                self.failure_tracker.record_lock_failure();
            }
            if !is_busy && error.kind() != ErrorKind::StorageFull {
                self.failure_tracker.record_failure(&self.health_state, error);
            }
            if begun.elapsed() >= self.limits.wait {
                return Verdict::Unknown;
            }
            if self.health_state.is_read_only() {
                // Writes from before this was known get the same answer as later ones.
                self.refuse_all(&self.health_state.refusal());
            }
            let pause = if is_busy { pause::for_the_lock() } else { pause::for_the_file() };
            // None of the waiting writes has begun: those that time out meanwhile are answered with that effect.
            for pending in self.queue.take_timed_out(Instant::now() + pause) {
                let kind = if is_busy { ErrorKind::Busy } else { ErrorKind::Unavailable };
                let error =
                    PersistError::new(kind, "the writer is determining the outcome of a failed commit");
                pending.answer(Err(error.with_effect(Effect::NotApplied)));
            }
            thread::sleep(pause);
        }
    }

    fn try_fence_transaction(
        &self,
        position: i64,
        leaves_mark: bool,
    ) -> Result<(Verdict, Connection), OpenError> {
        self.health_state.begin_step(WriterStep::Open);
        let connection = connection::reopen(&self.path)?;
        let attempt = || -> Result<Verdict, EngineError> {
            let _transaction = begin_own(&connection, &self.file_identity, &self.guard)?;
            let mut progress = Progress::read(&connection)?;
            let verdict = match progress.holds(self.id, position) {
                Some(true) => Verdict::Applied,
                Some(false) => Verdict::NotApplied,
                None => Verdict::Unknown,
            };
            if !leaves_mark && verdict == Verdict::NotApplied {
                execute(&connection, "ROLLBACK")?;
                return Ok(verdict);
            }
            self.failpoints.reach(Failpoint::Fencing, &connection)?;
            progress.fence_transaction();
            progress.write(&connection)?;
            self.health_state.begin_step(WriterStep::Commit);
            execute(&connection, "COMMIT")?;
            self.failpoints.reach(Failpoint::Fenced, &connection)?;
            Ok(verdict)
        };
        let verdict = attempt().map_err(|error| OpenError::sqlite(&self.path, error))?;
        Ok((verdict, connection))
    }
}
