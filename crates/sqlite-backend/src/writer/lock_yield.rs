//! A busy store yields the write lock to other stores on its file.
//!
//! A store that waits for the lock tries to take it every one to two milliseconds, and a busy store takes it again within a fraction
//! of that. So a busy store pauses from time to time while another store waits.

use std::time::{Duration, Instant};

/// The time between two pauses. A transaction that runs at its end is not interrupted.
const INTERVAL: Duration = Duration::from_millis(20);

/// The length of a pause: longer than the wait of another store between two attempts.
pub(super) const PAUSE: Duration = Duration::from_millis(3);

/// When this store pauses for another one.
#[derive(Debug, Default)]
pub(super) struct LockYield {
    /// The first transaction since the last pause before which another store waited.
    awaited_since: Option<Instant>,
}

impl LockYield {
    /// Returns whether the store pauses before its next transaction, which would begin at `now`. `is_awaited` is whether another store
    /// waits. The store has had nothing to do since `idle_since`.
    pub(super) fn is_due(&mut self, is_awaited: bool, idle_since: Instant, now: Instant) -> bool {
        let has_paused = now.saturating_duration_since(idle_since) >= PAUSE;
        if !is_awaited || has_paused {
            self.awaited_since = None;
            return false;
        }
        let since = *self.awaited_since.get_or_insert(now);
        let is_due = now.saturating_duration_since(since) >= INTERVAL;
        if is_due {
            self.awaited_since = None;
        }
        is_due
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pause;

    #[test]
    fn a_store_pauses_once_in_each_interval_while_another_store_waits() {
        let (mut lock_yield, begun) = (LockYield::default(), Instant::now());
        let mut is_due = |is_awaited, now| lock_yield.is_due(is_awaited, now, now);
        assert!(!is_due(false, begun));
        assert!(!is_due(false, begun + 2 * INTERVAL));
        // The interval begins when the store finds that another one waits.
        let found = begun + 3 * INTERVAL;
        assert!(!is_due(true, found));
        assert!(!is_due(true, found + INTERVAL / 2));
        assert!(is_due(true, found + INTERVAL));
        // The next interval is as long.
        let next = found + INTERVAL + PAUSE;
        assert!(!is_due(true, next));
        assert!(!is_due(true, next + INTERVAL / 2));
        assert!(is_due(true, next + INTERVAL));
        // It ends without a pause when no store waits any more.
        assert!(!is_due(true, next + 2 * INTERVAL));
        assert!(!is_due(false, next + 4 * INTERVAL));
        assert!(!is_due(true, next + 4 * INTERVAL));
    }

    #[test]
    fn a_store_that_was_idle_for_as_long_as_a_pause_does_not_pause() {
        let (mut lock_yield, found) = (LockYield::default(), Instant::now());
        assert!(!lock_yield.is_due(true, found, found));
        let later = found + INTERVAL;
        assert!(!lock_yield.is_due(true, later - PAUSE, later));
        // The interval begins again after that.
        let next = later + INTERVAL;
        assert!(!lock_yield.is_due(true, next, next));
        assert!(lock_yield.is_due(true, next + INTERVAL - PAUSE / 2, next + INTERVAL));
    }

    #[test]
    fn a_pause_is_longer_than_the_wait_between_two_attempts() {
        assert!(PAUSE > pause::LONGEST_FOR_THE_LOCK);
    }
}
