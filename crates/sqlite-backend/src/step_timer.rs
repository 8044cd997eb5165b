//! The times of the steps of one kind of work that the writer does between its transactions.

use std::time::{Duration, Instant};

/// The wait after a step that could not begin.
const RETRY_INTERVAL: Duration = Duration::from_millis(250);

/// The time of the last step, and whether it could begin.
#[derive(Debug)]
pub(crate) struct StepTimer {
    last: Instant,
    has_failed: bool,
}

impl StepTimer {
    pub(crate) fn new() -> Self {
        Self { last: Instant::now(), has_failed: false }
    }

    /// Records that a step has begun.
    pub(crate) fn begun(&mut self) {
        *self = Self::new();
    }

    /// Records that a step could not begin: another process holds the lock, for example.
    pub(crate) fn failed(&mut self) {
        *self = Self { has_failed: true, ..Self::new() };
    }

    /// Records that a transaction of the writer was committed: the lock is free again.
    pub(crate) const fn committed(&mut self) {
        self.has_failed = false;
    }

    /// Returns how long an idle writer waits before the next step: `wait`, or the rest of the wait after a failure.
    pub(crate) fn wait(&self, wait: Duration) -> Duration {
        if self.has_failed { RETRY_INTERVAL.saturating_sub(self.last.elapsed()) } else { wait }
    }

    /// Returns whether the last step is so long ago, for a busy writer.
    pub(crate) fn is_due(&self, max_delay: Duration) -> bool {
        self.last.elapsed() >= max_delay
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WAIT: Duration = Duration::from_millis(5);

    #[test]
    fn the_writer_waits_longer_after_a_step_that_could_not_begin() {
        let mut timer = StepTimer::new();
        assert_eq!(timer.wait(WAIT), WAIT);
        let after: [fn(&mut StepTimer); 2] = [StepTimer::begun, StepTimer::committed];
        for after in after {
            timer.failed();
            assert!(timer.wait(WAIT) > WAIT);
            after(&mut timer);
            assert_eq!(timer.wait(WAIT), WAIT);
        }
        assert!(timer.is_due(Duration::ZERO) && !timer.is_due(Duration::from_secs(3600)));
    }
}
