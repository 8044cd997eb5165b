//! Latencies of calls before, during and after the failover.

use std::{
    collections::BTreeMap,
    fmt::{self, Display},
    time::Duration,
};

use hdrhistogram::Histogram;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Phase {
    Before,
    During,
    After,
}

/// One histogram for each phase and operation.
#[derive(Default)]
pub(crate) struct Latencies(BTreeMap<(Phase, String), Histogram<u64>>);

impl Latencies {
    pub(crate) fn record(&mut self, phase: Phase, operation: &str, took: Duration) {
        let histogram = self.0.entry((phase, operation.to_owned())).or_insert_with(|| {
            Histogram::new_with_bounds(1, 120_000_000, 3).expect("these bounds are in order")
        });
        histogram.saturating_record(u64::try_from(took.as_micros()).unwrap_or(u64::MAX));
    }
}

impl Display for Latencies {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "\nms              count      p50      p99      max")?;
        for ((phase, operation), histogram) in &self.0 {
            let ms = |micros: u64| micros as f64 / 1e3;
            writeln!(
                f,
                "{:<7}{operation:<8}{:>6} {:>8.1} {:>8.1} {:>8.1}",
                format!("{phase:?}"),
                histogram.len(),
                ms(histogram.value_at_quantile(0.5)),
                ms(histogram.value_at_quantile(0.99)),
                ms(histogram.max()),
            )?;
        }
        Ok(())
    }
}
