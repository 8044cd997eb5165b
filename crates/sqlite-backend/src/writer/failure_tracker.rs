//! A writer that fails again and again.

use std::{
    fmt::Display,
    time::{Duration, Instant},
};

use crate::health::{Condition, HealthState};

/// So often and for so long in a row the writer may fail before the store is read-only.
const FAILURES: u32 = 3;
const TIMEOUT: Duration = Duration::from_secs(1);

/// How often the writer of a read-only store tries whether it can commit.
pub(crate) const PROBE_EVERY: Duration = Duration::from_millis(250);

/// The failures since the last success.
#[derive(Debug, Default)]
pub(super) struct FailureTracker {
    since: Option<Instant>,
    failures: u32,
    record_lock_failure: bool,
}

impl FailureTracker {
    /// Notes a failure that no operation is the cause of.
    pub(super) fn record_failure(&mut self, health_state: &HealthState, failure: impl Display) {
        self.failures = self.failures.saturating_add(1);
        let since = *self.since.get_or_insert_with(Instant::now);
        health_state.set_failures(self.failures, Some(failure.to_string()));
        if self.failures >= FAILURES && since.elapsed() >= TIMEOUT {
            health_state.set_condition(Condition::ReadOnly);
        }
    }

    /// Notes that a lock of the file could not be taken or given back.
    pub(super) const fn record_lock_failure(&mut self) {
        self.record_lock_failure = true;
    }

    /// Whether that was so since the last success.
    pub(super) const fn had_lock_failure(&self) -> bool {
        self.record_lock_failure
    }

    /// Notes that something was committed.
    pub(super) fn record_success(&mut self, health_state: &HealthState) {
        self.record_lock_failure = false;
        if self.failures > 0 {
            *self = Self::default();
            health_state.set_failures(0, None);
            health_state.set_condition(Condition::Writable);
        }
    }
}
