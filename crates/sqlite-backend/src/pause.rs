//! The pauses between two attempts.

use std::time::Duration;

/// The longest pause before the next attempt to take the write lock.
#[cfg(test)]
pub(crate) const LONGEST_FOR_THE_LOCK: Duration = Duration::from_millis(2);

/// Returns the pause before the next attempt to take the write lock: 1 to 2 ms. SQLite's own busy handler waits longer
/// each time, and so starves the connection that has waited longest. The random part keeps several processes from
/// retrying in step.
pub(crate) fn for_the_lock() -> Duration {
    Duration::from_micros(1000 + fastrand::u64(..1000))
}

/// Returns the pause before the next attempt to open the file: 10 to 20 ms.
pub(crate) fn for_the_file() -> Duration {
    Duration::from_micros(10_000 + fastrand::u64(..10_000))
}
