//! A writer that fails again and again.

use std::{
    fmt::Display,
    time::{Duration, Instant},
};

use crate::health::{Board, Condition};

/// So often and for so long in a row the writer may fail before the store is read-only.
const FAILURES: u32 = 3;
const TIMEOUT: Duration = Duration::from_secs(1);

/// How often the writer of a read-only store tries whether it can commit.
pub(crate) const PROBE_EVERY: Duration = Duration::from_millis(250);

/// The failures since the last success.
#[derive(Debug, Default)]
pub(super) struct Trouble {
    since: Option<Instant>,
    failures: u32,
    is_of_locks: bool,
}

impl Trouble {
    /// Notes a failure that no operation is the cause of.
    pub(super) fn failed(&mut self, board: &Board, failure: impl Display) {
        self.failures = self.failures.saturating_add(1);
        let since = *self.since.get_or_insert_with(Instant::now);
        board.set_failures(self.failures, Some(failure.to_string()));
        if self.failures >= FAILURES && since.elapsed() >= TIMEOUT {
            board.set_condition(Condition::ReadOnly);
        }
    }

    /// Notes that a lock of the file could not be taken or given back.
    pub(super) const fn is_of_locks(&mut self) {
        self.is_of_locks = true;
    }

    /// Whether that was so since the last success.
    pub(super) const fn was_of_locks(&self) -> bool {
        self.is_of_locks
    }

    /// Notes that something was committed.
    pub(super) fn is_over(&mut self, board: &Board) {
        self.is_of_locks = false;
        if self.failures > 0 {
            *self = Self::default();
            board.set_failures(0, None);
            board.set_condition(Condition::Writable);
        }
    }
}
