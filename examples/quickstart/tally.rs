//! A plugin that watches: what came by, and how long the writes took from there on.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use hdrhistogram::Histogram;
use throughline::{Call, Next, OpKind, Operation, Phase, Plugin, Reply, Result};

/// The longest time that is told from longer ones: ten minutes, in microseconds.
const LONGEST: u64 = 600_000_000;

/// Counts the operations that come by. A clone counts into the same place, so that one can be given away.
#[derive(Clone)]
pub(crate) struct Tally {
    name: &'static str,
    phase: Phase,
    seen: Arc<Seen>,
}

struct Seen {
    operations: [AtomicU64; OpKind::ALL.len()],
    /// Microseconds of every write that was answered. An answer means that it is durable.
    writes: Mutex<Histogram<u64>>,
}

impl Tally {
    pub(crate) fn new(name: &'static str, phase: Phase) -> Self {
        let writes = Histogram::new_with_max(LONGEST, 3).expect("bounds and precision are in range");
        let seen = Seen { operations: Default::default(), writes: Mutex::new(writes) };
        Self { name, phase, seen: Arc::new(seen) }
    }

    pub(crate) fn label(&self) -> &'static str {
        self.name
    }

    pub(crate) fn count(&self, kind: OpKind) -> u64 {
        self.seen.operations[kind as usize].load(Relaxed)
    }

    pub(crate) fn operations(&self) -> u64 {
        OpKind::ALL.into_iter().map(|kind| self.count(kind)).sum()
    }

    /// The time within which this share of the writes was durable.
    pub(crate) fn write_latency(&self, quantile: f64) -> Duration {
        let writes = self.seen.writes.lock().unwrap_or_else(PoisonError::into_inner);
        Duration::from_micros(writes.value_at_quantile(quantile))
    }

    fn record(&self, took: Duration) {
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        self.seen.writes.lock().unwrap_or_else(PoisonError::into_inner).saturating_record(micros);
    }
}

impl Plugin for Tally {
    fn name(&self) -> &str {
        self.name
    }

    fn phase(&self) -> Phase {
        self.phase
    }

    // The one hook for every operation. The typed ones (`add`, `read`, …) all come here unless they are written.
    async fn around<O: Operation>(&self, call: Call<O>, next: Next<'_, O>) -> Result<Reply<O>> {
        self.seen.operations[O::KIND as usize].fetch_add(1, Relaxed);
        let begun = Instant::now();
        let reply = next.run(call).await?;
        if O::KIND.is_write() {
            self.record(begun.elapsed());
        }
        Ok(reply)
    }
}
