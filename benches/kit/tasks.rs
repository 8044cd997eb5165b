use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use throughline::{NewMessage, Persistence};
use tokio::task::JoinSet;

use crate::{Failure, text::TEXT};

/// A stack over a store, and the tasks that add through it, each to a thread of its own.
pub(crate) struct Tasks {
    pub(crate) count: usize,
    db: Persistence,
}

/// What one turn came to.
pub(crate) struct Turn {
    /// Writes a second.
    pub(crate) rate: f64,
    /// What each write took, in nanoseconds.
    pub(crate) took: Histogram<u32>,
}

/// The time that this part of the writes took at most, in microseconds.
pub(crate) fn micros(took: &Histogram<u32>, part: f64) -> f64 {
    took.value_at_quantile(part) as f64 / 1000.0
}

impl Tasks {
    pub(crate) async fn over(db: Persistence, count: usize) -> Result<Self, Failure> {
        let tasks = Self { count, db };
        tasks.run(Duration::from_millis(50)).await?;
        Ok(tasks)
    }

    pub(crate) async fn run(&self, span: Duration) -> Result<Turn, Failure> {
        let begun = Instant::now();
        let mut writers = JoinSet::new();
        for task in 0..self.count {
            let thread = self.db.thread(format!("thread-{task}"));
            writers.spawn(async move {
                let (mut took, mut last) = (Vec::new(), begun);
                while last - begun < span {
                    thread.add(NewMessage::user(TEXT)).await?;
                    let now = Instant::now();
                    took.push(now - last);
                    last = now;
                }
                Ok::<_, Failure>(took)
            });
        }
        let mut all = Histogram::new_with_max(60_000_000_000, 3)?;
        while let Some(writer) = writers.join_next().await {
            for took in writer?? {
                all.record(u64::try_from(took.as_nanos())?)?;
            }
        }
        Ok(Turn { rate: all.len() as f64 / begun.elapsed().as_secs_f64(), took: all })
    }

    pub(crate) async fn close(&self) -> Result<(), Failure> {
        Ok(self.db.close().await?)
    }
}
