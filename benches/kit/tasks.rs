use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use throughline::{NewMessage, Persistence};
use tokio::task::JoinSet;

use crate::{Failure, text::TEXT};

/// A stack over a store, with concurrent tasks that add messages, each to its own thread.
pub(crate) struct Tasks {
    pub(crate) count: usize,
    db: Persistence,
}

/// The result of one run of the tasks.
pub(crate) struct Sample {
    /// Writes per second.
    pub(crate) rate: f64,
    /// The latency of each write, in nanoseconds.
    pub(crate) latencies: Histogram<u32>,
}

/// Returns a quantile of the latencies, in microseconds.
pub(crate) fn micros(latencies: &Histogram<u32>, quantile: f64) -> f64 {
    latencies.value_at_quantile(quantile) as f64 / 1000.0
}

impl Tasks {
    pub(crate) async fn over(db: Persistence, count: usize) -> Result<Self, Failure> {
        let tasks = Self { count, db };
        tasks.run(Duration::from_millis(50)).await?;
        Ok(tasks)
    }

    pub(crate) async fn run(&self, span: Duration) -> Result<Sample, Failure> {
        let begun = Instant::now();
        let mut writers = JoinSet::new();
        for task in 0..self.count {
            let thread = self.db.thread(format!("thread-{task}"));
            writers.spawn(async move {
                let (mut latencies, mut last) = (Vec::new(), begun);
                while last - begun < span {
                    thread.add(NewMessage::user(TEXT)).await?;
                    let now = Instant::now();
                    latencies.push(now - last);
                    last = now;
                }
                Ok::<_, Failure>(latencies)
            });
        }
        let mut all = Histogram::new_with_max(60_000_000_000, 3)?;
        while let Some(writer) = writers.join_next().await {
            for latencies in writer?? {
                all.record(u64::try_from(latencies.as_nanos())?)?;
            }
        }
        Ok(Sample { rate: all.len() as f64 / begun.elapsed().as_secs_f64(), latencies: all })
    }

    pub(crate) async fn close(&self) -> Result<(), Failure> {
        Ok(self.db.close().await?)
    }
}
