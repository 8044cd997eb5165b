//! Finding out what became of a commit that failed.
//!
//! A `COMMIT` that failed may still come true: its frames may stand in the log, complete, for a later recovery to
//! take. What the file holds is only final once something was committed after it. So the file is opened again, it is
//! looked up how far this writer has come, and the answer is believed when a change of its own was committed.
//!
//! On a disk that is full no change can be committed. There the commit failed because a part of its frames found no
//! space, and the mark that makes them a commit stands on the last of them; so it is not there, and will not be.

use std::{thread, time::Instant};

use rusqlite::Connection;

use super::{begin::begin_own, progress::Progress, transaction::execute, worker::Worker};
use throughline_core::{Effect, ErrorKind, PersistError};

use crate::{OpenError, connection, error::EngineError, failpoint::Failpoint, health::WriterStep, pause};

/// What became of a commit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It is in the file.
    Applied,
    /// It is not, and never will be.
    NotApplied,
    /// It could not be found out.
    Unknown,
}

impl Worker {
    /// What became of the transaction that would have taken the store to `position` and ended with `failure`. Tries for
    /// as long as a write may wait.
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
                // Who came before this was known is told like who comes now.
                self.refuse_all(&self.health_state.refusal());
            }
            let pause = if is_busy { pause::for_the_lock() } else { pause::for_the_file() };
            // Nothing of those who wait was begun: who runs out of time meanwhile is told so.
            for pending in self.queue.take_timed_out(Instant::now() + pause) {
                let kind = if is_busy { ErrorKind::Busy } else { ErrorKind::Unavailable };
                let error =
                    PersistError::new(kind, "the writer finds out what became of a commit that failed");
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
