use std::time::Duration;

use tokio::time::Instant;

/// The budget for audit records of rejected calls: their bytes, and the interval between records of one kind.
///
/// Rejected calls of one kind are counted in one record for each interval. Calls are of one kind if they have the same tenant,
/// actor, call site, operation, error kind and site. Beyond the budget, calls are counted but not recorded.
///
/// ```
/// use std::time::Duration;
/// use throughline_core::audit::RejectedCallBudget;
///
/// let budget = RejectedCallBudget::new().interval(Duration::from_secs(60)).bytes(4 << 20, 256 << 10);
/// assert_ne!(budget, RejectedCallBudget::default());
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RejectedCallBudget {
    pub(super) interval: Duration,
    per_day: u64,
    burst: u64,
}

impl RejectedCallBudget {
    /// Returns a budget of one record of a kind in ten seconds, 16 MiB a day, and bursts of 1 MiB.
    #[must_use]
    pub const fn new() -> Self {
        Self { interval: Duration::from_secs(10), per_day: 16 << 20, burst: 1 << 20 }
    }

    /// Sets the interval in which rejected calls of one kind are counted in one record. The first call of a kind is recorded at
    /// once.
    #[must_use]
    pub const fn interval(mut self, interval: Duration) -> Self {
        self.interval = interval;
        self
    }

    /// Sets the bytes of records for each day, and for a burst. A record counts its text and 256 bytes for its row. The burst is
    /// available again after each start of the process.
    #[must_use]
    pub const fn bytes(mut self, per_day: u64, burst: u64) -> Self {
        (self.per_day, self.burst) = (per_day, burst);
        self
    }

    /// Returns the time in which this number of bytes becomes available again.
    fn time_of(&self, bytes: u64) -> Duration {
        /// Longer than any useful wait, and short enough for every clock.
        const LONGEST: u128 = 365 * 86_400 * 1_000_000_000;
        let nanos = u128::from(bytes) * (86_400 * 1_000_000_000) / u128::from(self.per_day.max(1));
        Duration::from_nanos(u64::try_from(nanos.min(LONGEST)).unwrap_or(u64::MAX))
    }
}

impl Default for RejectedCallBudget {
    fn default() -> Self {
        Self::new()
    }
}

/// A token bucket for a budget: the instant at which the whole burst is available again.
#[derive(Debug)]
pub(super) struct Bucket {
    budget: RejectedCallBudget,
    full_at: Option<Instant>,
}

impl Bucket {
    pub(super) const fn new(budget: RejectedCallBudget) -> Self {
        Self { budget, full_at: None }
    }

    /// Takes `bytes` from the bucket, or returns the instant at which enough are available.
    pub(super) fn take(&mut self, bytes: u64, now: Instant) -> Result<(), Instant> {
        let full_at = self.full_at.map_or(now, |at| at.max(now)) + self.budget.time_of(bytes);
        let latest = now + self.budget.time_of(self.budget.burst);
        if full_at > latest {
            return Err(now + (full_at - latest));
        }
        self.full_at = Some(full_at);
        Ok(())
    }

    pub(super) fn give_back(&mut self, bytes: u64) {
        self.full_at = self.full_at.and_then(|at| at.checked_sub(self.budget.time_of(bytes)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_bucket_holds_its_burst_and_fills_by_the_day() {
        let mut bucket = Bucket::new(RejectedCallBudget::new().bytes(86_400, 100));
        let now = Instant::now();
        assert_eq!(bucket.take(60, now), Ok(()));
        assert_eq!(bucket.take(60, now), Err(now + Duration::from_secs(20)));
        assert_eq!(bucket.take(60, now + Duration::from_secs(20)), Ok(()));
        bucket.give_back(60);
        assert_eq!(bucket.take(60, now + Duration::from_secs(20)), Ok(()));
    }

    #[tokio::test(start_paused = true)]
    async fn a_budget_of_nothing_takes_nothing() {
        let mut bucket = Bucket::new(RejectedCallBudget::new().bytes(0, 0));
        assert!(bucket.take(1, Instant::now()).is_err());
        let mut bucket = Bucket::new(RejectedCallBudget::new().bytes(u64::MAX, u64::MAX));
        assert_eq!(bucket.take(u64::MAX, Instant::now()), Ok(()));
    }
}
