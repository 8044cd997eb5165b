//! The time at which a draft writes what it has coalesced.
//!
//! Drafts that begin at different times would each commit by themselves. With times from one grid, the writes of many drafts
//! reach the store together and share a commit.

use std::{sync::LazyLock, time::Duration};

use tokio::time::Instant;

/// The number of times in an interval: a draft writes up to this part of its interval early.
const PARTS: u32 = 4;

/// The beginning of the grid, for all drafts of the process.
static EPOCH: LazyLock<Instant> = LazyLock::new(Instant::now);

/// Returns the time of the write whose first append is buffered `now`: the last time of the grid that is no more than `interval`
/// later. `None` beyond the range of `Instant`.
pub(super) fn flush_time(now: Instant, interval: Duration) -> Option<Instant> {
    let latest = now.checked_add(interval)?;
    let step = (interval / PARTS).as_nanos();
    let since = latest.saturating_duration_since(*EPOCH).as_nanos();
    let past = since.checked_rem(step).and_then(|past| u64::try_from(past).ok());
    latest.checked_sub(Duration::from_nanos(past.unwrap_or(0)))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn drafts_of_one_interval_write_at_four_times_in_it() {
        let interval = Duration::from_millis(250);
        let begun = *EPOCH + Duration::from_secs(1);
        let mut times = BTreeSet::new();
        for start in 0..1000 {
            let now = begun + Duration::from_millis(start);
            let at = flush_time(now, interval).unwrap();
            assert!(at > now + interval * 3 / 4 && at <= now + interval, "{start}: {:?}", at - now);
            times.insert(at);
        }
        // A second has sixteen of them, and the last start is just before the next one.
        assert_eq!(times.len(), 16);
        let steps: BTreeSet<_> =
            times.iter().zip(times.iter().skip(1)).map(|(one, next)| *next - *one).collect();
        assert_eq!(steps, BTreeSet::from([interval / 4]));
    }

    #[test]
    fn an_interval_without_a_quarter_ends_at_its_length() {
        let now = Instant::now();
        for interval in [Duration::ZERO, Duration::from_nanos(3)] {
            assert_eq!(flush_time(now, interval), Some(now + interval));
        }
        assert_eq!(flush_time(now, Duration::MAX), None);
    }
}
