//! How long to wait before another attempt.

use std::time::Duration;

/// Before the write lock is asked for again: 1 to 2 ms. SQLite's own handler waits longer each time, and so starves
/// whoever has waited longest; the spread keeps several processes from asking in step.
pub(crate) fn for_the_lock() -> Duration {
    Duration::from_micros(1000 + fastrand::u64(..1000))
}

/// Before the file is opened again after it could not be: 10 to 20 ms.
pub(crate) fn for_the_file() -> Duration {
    Duration::from_micros(10_000 + fastrand::u64(..10_000))
}
