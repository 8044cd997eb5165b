//! The rate buckets of one tenant.

use std::time::Duration;

use tokio::time::Instant;

use super::rates::{Quota, Rate};

/// The tokens that a call takes from the buckets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Cost {
    pub(super) operations: u64,
    pub(super) bytes: u64,
}

/// The buckets of a tenant. Each is stored as the instant at which it is full again.
#[derive(Debug, Clone, Copy)]
pub(super) struct Account {
    operations: Instant,
    bytes: Instant,
}

/// The rate that a call exceeds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct RateExceeded {
    pub(super) resource: Resource,
    pub(super) asked: u64,
    pub(super) rate: Rate,
    /// The time until the bucket has enough tokens; `None` for a call that exceeds the whole bucket.
    pub(super) after: Option<Duration>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Resource {
    Operations,
    Bytes,
}

impl Account {
    /// Returns full buckets.
    pub(super) const fn full(now: Instant) -> Self {
        Self { operations: now, bytes: now }
    }

    /// Returns true if both buckets are full, so that the tenant can be forgotten.
    pub(super) fn is_full(&self, now: Instant) -> bool {
        self.operations <= now && self.bytes <= now
    }

    /// Takes tokens from both buckets, or from neither. A call with `must` always succeeds, and later calls wait for
    /// the tokens that it overdrew.
    pub(super) fn take(
        &mut self,
        cost: Cost,
        quota: &Quota,
        must: bool,
        now: Instant,
    ) -> Result<(), RateExceeded> {
        let after = |full: Instant, resource, asked, rate: Option<Rate>| match rate {
            Some(rate) if asked > 0 => drain(full, resource, asked, rate, must, now),
            _ => Ok(full),
        };
        let operations = after(self.operations, Resource::Operations, cost.operations, quota.operations)?;
        let bytes = after(self.bytes, Resource::Bytes, cost.bytes, quota.bytes)?;
        *self = Self { operations, bytes };
        Ok(())
    }

    /// Returns tokens to the buckets.
    pub(super) fn refund(&mut self, cost: Cost, quota: &Quota) {
        let before = |full: Instant, asked, rate: Option<Rate>| {
            rate.and_then(|rate| full.checked_sub(rate.time_of(asked))).unwrap_or(full)
        };
        self.operations = before(self.operations, cost.operations, quota.operations);
        self.bytes = before(self.bytes, cost.bytes, quota.bytes);
    }
}

/// Returns the instant at which the bucket is full again after `asked` tokens were taken.
fn drain(
    full: Instant,
    resource: Resource,
    asked: u64,
    rate: Rate,
    must: bool,
    now: Instant,
) -> Result<Instant, RateExceeded> {
    let brim = now + rate.time_of(rate.burst);
    let full = full.max(now) + rate.time_of(asked);
    if must || full <= brim {
        return Ok(full);
    }
    let after = (asked <= rate.burst).then(|| full - brim);
    Err(RateExceeded { resource, asked, rate, after })
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn cost(operations: u64, bytes: u64) -> Cost {
        Cost { operations, bytes }
    }

    #[tokio::test(start_paused = true)]
    async fn a_burst_passes_and_then_the_rate_limits() {
        let quota = Quota::new().operations(10, 3);
        let begun = Instant::now();
        let mut account = Account::full(begun);
        let mut take = |now| account.take(cost(1, 0), &quota, false, now).map_err(|beyond| beyond.after);
        let short = Err(Some(Duration::from_millis(100)));
        assert_eq!([take(begun), take(begun), take(begun), take(begun)], [Ok(()), Ok(()), Ok(()), short]);
        let later = begun + Duration::from_millis(100);
        assert_eq!([take(later), take(later)], [Ok(()), short]);
        let rested = begun + Duration::from_secs(60);
        assert_eq!([take(rested), take(rested), take(rested), take(rested)], [Ok(()), Ok(()), Ok(()), short]);
    }

    #[tokio::test(start_paused = true)]
    async fn it_takes_from_both_buckets_or_neither_and_refunds() {
        let quota = Quota::new().operations(1, 5).bytes(1, 10);
        let now = Instant::now();
        let mut account = Account::full(now);
        assert_eq!(account.take(cost(1, 11), &quota, false, now).unwrap_err().after, None);
        assert!(account.is_full(now));
        account.take(cost(5, 10), &quota, false, now).unwrap();
        assert_eq!(account.take(cost(0, 1), &quota, false, now).unwrap_err().resource, Resource::Bytes);
        account.refund(cost(5, 10), &quota);
        assert!(account.is_full(now));
        // A call with `must` overdraws the bucket.
        account.take(cost(7, 0), &quota, true, now).unwrap();
        let short = account.take(cost(1, 0), &quota, false, now).unwrap_err();
        assert_eq!(short.after, Some(Duration::from_secs(3)));
    }

    #[tokio::test(start_paused = true)]
    async fn extreme_rates_do_not_overflow() {
        let quota = Quota::new().bytes(1, u64::MAX);
        let now = Instant::now();
        let mut account = Account::full(now);
        account.take(cost(0, u64::MAX), &quota, false, now).unwrap();
        let quota = Quota::new().bytes(u64::MAX, 0);
        Account::full(now).take(cost(0, 1), &quota, false, now).unwrap();
    }
}
