//! The rate limit of log lines.

use std::{
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use tokio::time::Instant;

/// Allows `most` lines in each period, and counts the suppressed ones.
#[derive(Debug)]
pub(super) struct RateLimit {
    most: u32,
    per: Duration,
    now: Mutex<Period>,
    /// The number of all suppressed lines.
    suppressed: AtomicU64,
}

#[derive(Debug, Default)]
struct Period {
    begun: Option<Instant>,
    written: u32,
    /// The number of lines suppressed since the last written one.
    since: u64,
}

impl RateLimit {
    pub(super) fn new(most: u32, per: Duration) -> Self {
        Self { most, per, now: Mutex::default(), suppressed: AtomicU64::new(0) }
    }

    /// Returns the number of lines suppressed since the last one if a line may be written now; `None` to suppress it.
    pub(super) fn allows(&self, now: Instant) -> Option<u64> {
        let mut period = self.now.lock().unwrap_or_else(PoisonError::into_inner);
        let over = |begun: Instant| now.saturating_duration_since(begun) >= self.per;
        if period.begun.is_none_or(over) {
            period.begun = Some(now);
            period.written = 0;
        }
        if period.written < self.most {
            period.written += 1;
            return Some(std::mem::take(&mut period.since));
        }
        period.since += 1;
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
    fn each_period_has_a_limit_and_the_next_line_counts_the_suppressed_ones() {
        let rate_limit = RateLimit::new(2, Duration::from_secs(10));
        let begun = Instant::now();
        let at = |seconds| rate_limit.allows(begun + Duration::from_secs(seconds));
        assert_eq!([at(0), at(1), at(2), at(9)], [Some(0), Some(0), None, None]);
        assert_eq!([at(10), at(11), at(12)], [Some(2), Some(0), None]);
        assert_eq!(at(30), Some(1));
        assert_eq!(rate_limit.suppressed(), 3);
        // A clock that stops or goes back does not suppress lines forever.
        assert_eq!([at(0), at(40)], [Some(0), Some(0)]);
    }

    #[test]
    fn a_limit_of_zero_suppresses_and_counts_every_line() {
        let rate_limit = RateLimit::new(0, Duration::from_secs(1));
        assert_eq!((rate_limit.allows(Instant::now()), rate_limit.suppressed()), (None, 1));
    }
}
