//! A plugin that counts operations and measures the latency of writes.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use hdrhistogram::Histogram;
use throughline::{Call, Next, OpKind, Operation, Phase, Plugin, Reply, Result};

/// The upper bound of the latency histogram: ten minutes, in microseconds.
const MAX_LATENCY: u64 = 600_000_000;

/// Counts the operations that reach this point of the stack. Clones share one set of counts.
#[derive(Clone)]
pub(crate) struct CallCounter {
    name: &'static str,
    phase: Phase,
    counts: Arc<Counts>,
}

struct Counts {
    operations: [AtomicU64; OpKind::ALL.len()],
    /// The latency of each acknowledged write, in microseconds. An acknowledged write is durable.
    writes: Mutex<Histogram<u64>>,
}

impl CallCounter {
    pub(crate) fn new(name: &'static str, phase: Phase) -> Self {
        let writes = Histogram::new_with_max(MAX_LATENCY, 3).expect("bounds and precision are in range");
        let counts = Counts { operations: Default::default(), writes: Mutex::new(writes) };
        Self { name, phase, counts: Arc::new(counts) }
    }

    pub(crate) fn label(&self) -> &'static str {
        self.name
    }

    pub(crate) fn count(&self, kind: OpKind) -> u64 {
        self.counts.operations[kind as usize].load(Relaxed)
    }

    pub(crate) fn operations(&self) -> u64 {
        OpKind::ALL.into_iter().map(|kind| self.count(kind)).sum()
    }

    /// Returns the latency of writes at a quantile.
    pub(crate) fn write_latency(&self, quantile: f64) -> Duration {
        let writes = self.counts.writes.lock().unwrap_or_else(PoisonError::into_inner);
        Duration::from_micros(writes.value_at_quantile(quantile))
    }

    fn record(&self, took: Duration) {
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        self.counts.writes.lock().unwrap_or_else(PoisonError::into_inner).saturating_record(micros);
    }
}

impl Plugin for CallCounter {
    fn name(&self) -> &str {
        self.name
    }

    fn phase(&self) -> Phase {
        self.phase
    }

    // The one hook for every operation. The typed hooks (`add`, `read`, …) call it unless the plugin overrides them.
    async fn around<O: Operation>(&self, call: Call<O>, next: Next<'_, O>) -> Result<Reply<O>> {
        self.counts.operations[O::KIND as usize].fetch_add(1, Relaxed);
        let begun = Instant::now();
        let reply = next.run(call).await?;
        if O::KIND.is_write() {
            self.record(begun.elapsed());
        }
        Ok(reply)
    }
}
