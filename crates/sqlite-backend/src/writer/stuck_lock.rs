//! Detects a write lock that SQLite could not take or release, and that no store holds.

use std::time::{Duration, Instant};

use crate::error::EngineError;

/// How long no other store may hold the lock, at each attempt to take it, before the writer considers it stuck. An attempt between
/// two transactions of busy stores finds no holder either.
const AFTER: Duration = Duration::from_secs(1);

/// The attempts of the writer to take the lock.
#[derive(Debug, Default)]
pub(super) struct StuckLock {
    /// The first of the latest attempts, none of which found another store that holds the lock.
    unheld_since: Option<Instant>,
}

impl StuckLock {
    /// Records an attempt at `now` that failed with `error`. `is_held_elsewhere` returns whether another store holds the lock, if that
    /// is known. Returns whether the lock is stuck.
    pub(super) fn is_stuck(
        &mut self,
        error: &EngineError,
        is_held_elsewhere: impl FnOnce() -> Option<bool>,
        now: Instant,
    ) -> bool {
        // Otherwise SQLite took the lock, or the store did not ask for it.
        let is_unheld = error.is_held_lock() && is_held_elsewhere() == Some(false);
        if !is_unheld {
            self.reset();
            return false;
        }
        let since = *self.unheld_since.get_or_insert(now);
        now.saturating_duration_since(since) >= AFTER
    }

    /// Records that the writer took the lock, or tries no more.
    pub(super) const fn reset(&mut self) {
        self.unheld_since = None;
    }
}

#[cfg(test)]
mod tests {
    use rusqlite::ffi;

    use super::*;

    impl StuckLock {
        /// Records an attempt of SQLite that found the lock held.
        fn is_stuck_at(&mut self, is_held_elsewhere: Option<bool>, now: Instant) -> bool {
            let busy = rusqlite::Error::SqliteFailure(ffi::Error::new(ffi::SQLITE_BUSY), None);
            self.is_stuck(&EngineError::from(busy), || is_held_elsewhere, now)
        }
    }

    #[test]
    fn a_lock_is_stuck_after_a_second_of_attempts_that_find_no_holder() {
        let (mut lock, begun) = (StuckLock::default(), Instant::now());
        for ms in [0, 500, 999] {
            assert!(!lock.is_stuck_at(Some(false), begun + Duration::from_millis(ms)));
        }
        assert!(lock.is_stuck_at(Some(false), begun + AFTER));
        lock.reset();
        assert!(!lock.is_stuck_at(Some(false), begun + AFTER));
    }

    #[test]
    fn a_lock_that_another_store_held_meanwhile_is_not_stuck() {
        for is_held_elsewhere in [Some(true), None] {
            let (mut lock, begun) = (StuckLock::default(), Instant::now());
            assert!(!lock.is_stuck_at(Some(false), begun));
            assert!(!lock.is_stuck_at(is_held_elsewhere, begun + AFTER));
            // Between two of its transactions.
            assert!(!lock.is_stuck_at(Some(false), begun + 2 * AFTER));
            assert!(!lock.is_stuck_at(Some(false), begun + 3 * AFTER - Duration::from_millis(1)));
            assert!(lock.is_stuck_at(Some(false), begun + 3 * AFTER));
        }
    }

    #[test]
    fn a_lock_that_sqlite_took_or_did_not_ask_for_meanwhile_is_not_stuck() {
        for error in [EngineError::Overtaken, EngineError::SecondLibrary] {
            let (mut lock, begun) = (StuckLock::default(), Instant::now());
            assert!(!lock.is_stuck_at(Some(false), begun));
            assert!(!lock.is_stuck(&error, || Some(false), begun + AFTER / 2));
            assert!(!lock.is_stuck_at(Some(false), begun + AFTER));
            assert!(lock.is_stuck_at(Some(false), begun + 2 * AFTER));
        }
    }
}
