//! The spin of a loop that waits for one short read.
//!
//! An answer that comes while the loop spins saves the wake-up of its thread and two turns of the loop, which together take as long as the
//! read. An answer that comes later has cost the spin. So a loop spins only if it has no other call, and less and less often while
//! its answers come later.

use std::{
    sync::{
        LazyLock,
        atomic::{AtomicU32, Ordering::Relaxed},
    },
    thread,
    time::Duration,
};

/// The time for which a loop waits: a page of 50 messages takes about as long. The other tasks of the loop wait too.
const LIMIT: Duration = Duration::from_micros(200);

/// The largest number of reads without a spin after one that was too short.
const MOST_SKIPPED: u32 = 1024;

/// How many reads in a row end in the spin before one lets the other tasks of the loop run.
const IN_A_ROW: u32 = 4;

/// A store needs another processor to answer while a loop spins.
static HAS_PROCESSORS: LazyLock<bool> =
    LazyLock::new(|| thread::available_parallelism().is_ok_and(|processors| processors.get() > 1));

/// Whether the next read of a loop spins.
#[derive(Debug, Default)]
pub(super) struct AdaptiveSpin {
    /// The reads that do not spin before the next one that does.
    left: AtomicU32,
    /// How many they are after the next spin that is too short.
    skipped: AtomicU32,
    /// The reads that ended in the spin since one let the other tasks run.
    in_a_row: AtomicU32,
}

impl AdaptiveSpin {
    /// Returns how long a read spins, if it `may` and is to. Only the thread of the loop calls this.
    pub(super) fn limit(&self, may: impl FnOnce() -> bool) -> Option<Duration> {
        if !may() || !*HAS_PROCESSORS {
            return None;
        }
        let left = self.left.load(Relaxed);
        if left > 0 {
            self.left.store(left - 1, Relaxed);
            return None;
        }
        Some(LIMIT)
    }

    /// Records whether the answer came within the spin. Returns whether its task suspends nevertheless: a task that reads in a loop
    /// would otherwise run alone.
    pub(super) fn record(&self, was_answered: bool) -> bool {
        let skipped = if was_answered { 0 } else { (2 * self.skipped.load(Relaxed) + 1).min(MOST_SKIPPED) };
        self.skipped.store(skipped, Relaxed);
        self.left.store(skipped, Relaxed);
        let in_a_row = if was_answered { self.in_a_row.load(Relaxed) + 1 } else { 0 };
        let suspends = in_a_row >= IN_A_ROW;
        self.in_a_row.store(if suspends { 0 } else { in_a_row }, Relaxed);
        suspends
    }
}
