//! Finding out what became of a commit that failed.
//!
//! A `COMMIT` that failed may still come true: its frames may stand in the log, complete, for a later recovery to
//! take. What the file holds is only final once something was committed after it. So the file is opened again, it is
//! looked up how far this writer has come, and the answer is believed when a change of its own was committed.

use std::{thread, time::Instant};

use rusqlite::Connection;

use super::{Worker, progress::Progress, transaction::execute};
use crate::{connection, error::EngineError, failpoint::Failpoint, pause};

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
    /// What became of the transaction that took the store to `position`. Tries for as long as a write may wait.
    pub(super) fn fence(&mut self, position: i64) -> Verdict {
        let begun = Instant::now();
        loop {
            if let Some((verdict, connection)) = self.try_fence(position) {
                self.connection = Some(connection);
                return verdict;
            }
            if begun.elapsed() >= self.limits.wait {
                return Verdict::Unknown;
            }
            thread::sleep(pause::for_the_lock());
        }
    }

    fn try_fence(&self, position: i64) -> Option<(Verdict, Connection)> {
        let connection = connection::reopen(&self.path).ok()?;
        let fence = || -> Result<Verdict, EngineError> {
            self.failpoints.reach(Failpoint::Fencing, &connection)?;
            execute(&connection, "BEGIN IMMEDIATE")?;
            let mut progress = Progress::read(&connection)?;
            let verdict = match progress.holds(self.id, position) {
                Some(true) => Verdict::Applied,
                Some(false) => Verdict::NotApplied,
                None => Verdict::Unknown,
            };
            progress.fence();
            progress.write(&connection)?;
            execute(&connection, "COMMIT")?;
            self.failpoints.reach(Failpoint::Fenced, &connection)?;
            Ok(verdict)
        };
        let verdict = fence().ok()?;
        Some((verdict, connection))
    }
}
