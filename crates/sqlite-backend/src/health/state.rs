use std::{
    io,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use throughline_core::{Effect, ErrorKind, PersistError, Result};
use tokio::sync::watch;

use super::{
    Alarm, Condition, Health, WriterStep,
    watchdog::{self, Steps},
};
use crate::writer::PROBE_INTERVAL;

/// The health state that the writer publishes.
#[derive(Debug)]
pub(crate) struct HealthState {
    health: watch::Sender<Health>,
    /// A write checks this before it requests a permit.
    is_read_only: AtomicBool,
    is_unreadable: AtomicBool,
    pub(super) steps: Steps,
}

impl HealthState {
    pub(crate) fn new() -> Self {
        Self {
            health: watch::Sender::new(Health::new()),
            is_read_only: AtomicBool::new(false),
            is_unreadable: AtomicBool::new(false),
            steps: Steps::new(),
        }
    }

    /// Returns the health; the caller measures the length of the WAL.
    pub(crate) fn health(&self) -> Health {
        let mut health = self.health.borrow().clone();
        health.writer_waits = self.steps.waits_in();
        health
    }

    /// Records whether the disk can read the file.
    pub(crate) fn set_unreadable(&self, is_unreadable: bool) {
        self.is_unreadable.store(is_unreadable, Ordering::Release);
        self.set_alarm(Alarm::DiskUnreadable, is_unreadable);
        self.steps.wake();
    }

    pub(super) fn is_unreadable(&self) -> bool {
        self.is_unreadable.load(Ordering::Acquire)
    }

    /// Starts the watchdog thread for the writer and for the disk of the file at `path`.
    pub(crate) fn watch(self: &Arc<Self>, path: &Path) -> io::Result<()> {
        watchdog::start(self, path)
    }

    /// Records that the writer begins a step that may wait for the disk.
    pub(crate) fn begin_step(&self, step: WriterStep) {
        self.steps.begin(step);
    }

    /// Records that the writer is idle, or that it waits for nothing that can hang.
    pub(crate) fn end_step(&self) {
        self.steps.end();
    }

    #[cfg(test)]
    pub(crate) fn step(&self) -> Option<WriterStep> {
        self.steps.step()
    }

    pub(super) fn check_writer(&self) {
        let waits = self.steps.waits_in();
        let is_news = self.set_alarm(Alarm::WriterWaits, waits.is_some());
        if self.is_closed() {
            // The store was closed between the check and the alarm.
            self.set_alarm(Alarm::WriterWaits, false);
        }
        if let Some(wait) = waits.filter(|_| is_news) {
            let (step, waited) = (wait.step.as_str(), wait.waited);
            tracing::error!(target: TARGET, step, ?waited, "a step of the writer takes too long");
        }
    }

    pub(super) fn is_closed(&self) -> bool {
        self.health.borrow().condition == Condition::Closed
    }

    /// Waits until the condition or the alarms differ from those in `seen`.
    pub(crate) async fn changed_from(&self, seen: &Health) -> Health {
        let mut changes = self.health.subscribe();
        let found = changes.wait_for(|health| !health.is_equivalent(seen)).await.map(|health| health.clone());
        // The sender is `self`: it lives as long as this future.
        let mut found = found.unwrap_or_else(|_| self.health());
        found.writer_waits = self.steps.waits_in();
        found
    }

    /// Admits a write, unless the store is read-only.
    pub(crate) fn admit(&self) -> Result<()> {
        if self.is_read_only() { Err(self.refusal()) } else { Ok(()) }
    }

    /// Returns the error for a write to a read-only store.
    pub(crate) fn refusal(&self) -> PersistError {
        let last = self.health.borrow().last_failure.clone().unwrap_or_default();
        PersistError::new(
            ErrorKind::Unavailable,
            format!("the store is read-only: its writer failed repeatedly ({last})"),
        )
        .with_effect(Effect::NotApplied)
        .with_retry_after(PROBE_INTERVAL)
    }

    pub(crate) fn is_read_only(&self) -> bool {
        self.is_read_only.load(Ordering::Acquire)
    }

    pub(crate) fn set_condition(&self, condition: Condition) {
        let changed = self.health.send_if_modified(|health| {
            let changed = health.condition != condition;
            health.condition = condition;
            // Inside of the closure, before any subscriber is notified: a caller that sees `Writable` can write.
            self.is_read_only.store(condition == Condition::ReadOnly, Ordering::Release);
            changed
        });
        if changed {
            match condition {
                Condition::Writable => tracing::info!(target: TARGET, "the store accepts writes again"),
                Condition::ReadOnly => {
                    let last = self.health.borrow().last_failure.clone();
                    tracing::error!(target: TARGET, failure = last, "the store is read-only");
                }
                Condition::Closed => {
                    tracing::debug!(target: TARGET, "the store is closed");
                    self.steps.wake();
                }
            }
        }
    }

    /// Raises or clears an alarm. Returns whether that changed anything.
    pub(crate) fn set_alarm(&self, alarm: Alarm, raised: bool) -> bool {
        let changed = self.health.send_if_modified(|health| {
            let before = health.alarms.len();
            health.alarms.retain(|other| *other != alarm);
            if raised {
                health.alarms.push(alarm);
                health.alarms.sort_unstable();
            }
            health.alarms.len() != before
        });
        match (changed, raised) {
            (true, true) => tracing::warn!(target: TARGET, ?alarm, "an alarm of the store is raised"),
            (true, false) => tracing::info!(target: TARGET, ?alarm, "an alarm of the store is over"),
            (false, _) => {}
        }
        changed
    }

    /// Records the number of consecutive failures of the writer and the last failure.
    pub(crate) fn set_failures(&self, failures: u32, last: Option<String>) {
        self.health.send_if_modified(|health| {
            let changed = health.failures != failures;
            health.failures = failures;
            if last.is_some() {
                health.last_failure = last;
            }
            changed
        });
    }
}

/// The target of the `tracing` events.
const TARGET: &str = "throughline_sqlite";

#[cfg(test)]
mod tests {
    use std::{pin::pin, task::Poll};

    use super::*;

    #[tokio::test]
    async fn a_change_of_health_wakes_its_waiter() {
        let health_state = HealthState::new();
        let seen = health_state.health();
        assert!(seen.is_good());
        let mut waiting = pin!(health_state.changed_from(&seen));
        health_state.set_failures(1, Some("the disk failed".to_owned()));
        assert!(std::future::poll_fn(|cx| Poll::Ready(waiting.as_mut().poll(cx).is_pending())).await);
        health_state.set_alarm(Alarm::WalTooLong, true);
        assert_eq!(waiting.await.alarms, [Alarm::WalTooLong]);
        health_state.set_alarm(Alarm::WalTooLong, true);
        health_state.set_alarm(Alarm::SpaceLow, true);
        assert_eq!(health_state.health().alarms, [Alarm::WalTooLong, Alarm::SpaceLow]);
        health_state.set_alarm(Alarm::WalTooLong, false);
        assert_eq!(health_state.health().alarms, [Alarm::SpaceLow]);
        assert!(health_state.admit().is_ok());
        health_state.set_condition(Condition::ReadOnly);
        let error = health_state.admit().unwrap_err();
        assert_eq!((error.kind(), error.effect()), (ErrorKind::Unavailable, Effect::NotApplied));
        assert!(error.to_string().contains("the disk failed"), "{error}");
        assert!(error.is_transient() && error.retry_after().is_some());
        health_state.set_condition(Condition::Writable);
        assert!(health_state.admit().is_ok());
        assert_eq!((health_state.health().failures, health_state.health().is_good()), (1, false));
    }
}
