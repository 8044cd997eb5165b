//! How many lines may be written.

use std::{
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use tokio::time::Instant;

/// So many lines in each stretch of time, and a count of the others.
#[derive(Debug)]
pub(super) struct Pace {
    most: u32,
    per: Duration,
    now: Mutex<Stretch>,
    /// How many were ever held back.
    suppressed: AtomicU64,
}

#[derive(Debug, Default)]
struct Stretch {
    begun: Option<Instant>,
    written: u32,
    /// How many were held back since the last line.
    since: u64,
}

impl Pace {
    pub(super) fn new(most: u32, per: Duration) -> Self {
        Self { most, per, now: Mutex::default(), suppressed: AtomicU64::new(0) }
    }

    /// Whether a line may be written now, and how many were held back since the last one.
    pub(super) fn allows(&self, now: Instant) -> Option<u64> {
        let mut stretch = self.now.lock().unwrap_or_else(PoisonError::into_inner);
        let over = |begun: Instant| now.saturating_duration_since(begun) >= self.per;
        if stretch.begun.is_none_or(over) {
            stretch.begun = Some(now);
            stretch.written = 0;
        }
        if stretch.written < self.most {
            stretch.written += 1;
            return Some(std::mem::take(&mut stretch.since));
        }
        stretch.since += 1;
        self.suppressed.fetch_add(1, Relaxed);
        None
    }

    pub(super) fn suppressed(&self) -> u64 {
        self.suppressed.load(Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn so_many_in_each_stretch_and_the_next_one_says_how_many_were_held_back() {
        let pace = Pace::new(2, Duration::from_secs(10));
        let begun = Instant::now();
        let at = |seconds| pace.allows(begun + Duration::from_secs(seconds));
        assert_eq!([at(0), at(1), at(2), at(9)], [Some(0), Some(0), None, None]);
        assert_eq!([at(10), at(11), at(12)], [Some(2), Some(0), None]);
        assert_eq!(at(30), Some(1));
        assert_eq!(pace.suppressed(), 3);
        // A clock that seems to stand still or to go back holds nothing back for ever.
        assert_eq!([at(0), at(40)], [Some(0), Some(0)]);
    }

    #[test]
    fn none_at_all_are_counted() {
        let pace = Pace::new(0, Duration::from_secs(1));
        assert_eq!((pace.allows(Instant::now()), pace.suppressed()), (None, 1));
    }
}
