//! Tracks consecutive failures of the writer, and makes the store read-only.

use std::{
    fmt::Display,
    time::{Duration, Instant},
};

use crate::health::{Condition, HealthState};

/// The number and the duration of consecutive failures after which the store is read-only.
const FAILURES: u32 = 3;
const TIMEOUT: Duration = Duration::from_secs(1);

/// The interval at which the writer of a read-only store tries to commit.
pub(crate) const PROBE_INTERVAL: Duration = Duration::from_millis(250);

/// The failures since the last success.
#[derive(Debug, Default)]
pub(super) struct FailureTracker {
    since: Option<Instant>,
    failures: u32,
    record_lock_failure: bool,
}

impl FailureTracker {
    /// Records a failure that no single operation caused.
    pub(super) fn record_failure(&mut self, health_state: &HealthState, failure: impl Display) {
        self.failures = self.failures.saturating_add(1);
        let since = *self.since.get_or_insert_with(Instant::now);
        health_state.set_failures(self.failures, Some(failure.to_string()));
        if self.failures >= FAILURES && since.elapsed() >= TIMEOUT {
            health_state.set_condition(Condition::ReadOnly);
        }
    }

    /// Records that SQLite could not take or release a lock of the file.
    pub(super) const fn record_lock_failure(&mut self) {
        self.record_lock_failure = true;
    }

    /// Returns whether there was a lock failure since the last success.
    pub(super) const fn had_lock_failure(&self) -> bool {
        self.record_lock_failure
    }

    /// Records a commit.
    pub(super) fn record_success(&mut self, health_state: &HealthState) {
        self.record_lock_failure = false;
        if self.failures > 0 {
            *self = Self::default();
            health_state.set_failures(0, None);
            health_state.set_condition(Condition::Writable);
        }
    }
}
