//! What one tenant has left.

use std::time::Duration;

use tokio::time::Instant;

use super::rates::{Quota, Rate};

/// What a call takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Weight {
    pub(super) operations: u64,
    pub(super) bytes: u64,
}

/// When each bucket is full again: a bucket is a moment.
#[derive(Debug, Clone, Copy)]
pub(super) struct Account {
    operations: Instant,
    bytes: Instant,
}

/// Which rate a call is beyond.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Beyond {
    pub(super) what: What,
    pub(super) asked: u64,
    pub(super) rate: Rate,
    /// When there is enough; never where it is more than the whole bucket.
    pub(super) after: Option<Duration>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum What {
    Operations,
    Bytes,
}

impl Account {
    /// Everything is full.
    pub(super) const fn full(now: Instant) -> Self {
        Self { operations: now, bytes: now }
    }

    /// Whether everything is full: then nothing has to be known of the tenant.
    pub(super) fn is_full(&self, now: Instant) -> bool {
        self.operations <= now && self.bytes <= now
    }

    /// Takes from both buckets, or from none. What `must` go on is taken in any case, and the next ones pay for it.
    pub(super) fn take(
        &mut self,
        weight: Weight,
        quota: &Quota,
        must: bool,
        now: Instant,
    ) -> Result<(), Beyond> {
        let after = |full: Instant, what, asked, rate: Option<Rate>| match rate {
            Some(rate) if asked > 0 => drain(full, what, asked, rate, must, now),
            _ => Ok(full),
        };
        let operations = after(self.operations, What::Operations, weight.operations, quota.operations)?;
        let bytes = after(self.bytes, What::Bytes, weight.bytes, quota.bytes)?;
        *self = Self { operations, bytes };
        Ok(())
    }

    /// Gives back what was taken.
    pub(super) fn give_back(&mut self, weight: Weight, quota: &Quota) {
        let before = |full: Instant, asked, rate: Option<Rate>| {
            rate.and_then(|rate| full.checked_sub(rate.time_of(asked))).unwrap_or(full)
        };
        self.operations = before(self.operations, weight.operations, quota.operations);
        self.bytes = before(self.bytes, weight.bytes, quota.bytes);
    }
}

/// When the bucket is full again after so much was taken.
fn drain(
    full: Instant,
    what: What,
    asked: u64,
    rate: Rate,
    must: bool,
    now: Instant,
) -> Result<Instant, Beyond> {
    let brim = now + rate.time_of(rate.burst);
    let full = full.max(now) + rate.time_of(asked);
    if must || full <= brim {
        return Ok(full);
    }
    let after = (asked <= rate.burst).then(|| full - brim);
    Err(Beyond { what, asked, rate, after })
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn weight(operations: u64, bytes: u64) -> Weight {
        Weight { operations, bytes }
    }

    #[tokio::test(start_paused = true)]
    async fn a_burst_and_then_the_rate() {
        let quota = Quota::new().operations(10, 3);
        let begun = Instant::now();
        let mut account = Account::full(begun);
        let mut take = |now| account.take(weight(1, 0), &quota, false, now).map_err(|beyond| beyond.after);
        let short = Err(Some(Duration::from_millis(100)));
        assert_eq!([take(begun), take(begun), take(begun), take(begun)], [Ok(()), Ok(()), Ok(()), short]);
        let later = begun + Duration::from_millis(100);
        assert_eq!([take(later), take(later)], [Ok(()), short]);
        let rested = begun + Duration::from_secs(60);
        assert_eq!([take(rested), take(rested), take(rested), take(rested)], [Ok(()), Ok(()), Ok(()), short]);
    }

    #[tokio::test(start_paused = true)]
    async fn it_takes_from_both_or_from_none_and_gives_back() {
        let quota = Quota::new().operations(1, 5).bytes(1, 10);
        let now = Instant::now();
        let mut account = Account::full(now);
        assert_eq!(account.take(weight(1, 11), &quota, false, now).unwrap_err().after, None);
        assert!(account.is_full(now));
        account.take(weight(5, 10), &quota, false, now).unwrap();
        assert_eq!(account.take(weight(0, 1), &quota, false, now).unwrap_err().what, What::Bytes);
        account.give_back(weight(5, 10), &quota);
        assert!(account.is_full(now));
        // What has to go on is paid for later.
        account.take(weight(7, 0), &quota, true, now).unwrap();
        let short = account.take(weight(1, 0), &quota, false, now).unwrap_err();
        assert_eq!(short.after, Some(Duration::from_secs(3)));
    }

    #[tokio::test(start_paused = true)]
    async fn extreme_rates_do_not_overflow() {
        let quota = Quota::new().bytes(1, u64::MAX);
        let now = Instant::now();
        let mut account = Account::full(now);
        account.take(weight(0, u64::MAX), &quota, false, now).unwrap();
        let quota = Quota::new().bytes(u64::MAX, 0);
        Account::full(now).take(weight(0, 1), &quota, false, now).unwrap();
    }
}
