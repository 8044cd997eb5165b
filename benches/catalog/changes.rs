use std::time::Instant;

use hdrhistogram::Histogram;
use tempfile::TempDir;
use throughline::{
    BoxError, NewMessage, Persistence, Position,
    changes::ChangeScope,
    effects::{Consumer, Effects, Event},
    sqlite::SqliteBackend,
};
use tokio::sync::mpsc;

use crate::{Failure, figures::figure, store::Store};

const WRITES: usize = 2000;

/// Measures the time between the acknowledgment of a write and its change event in another task.
pub(crate) async fn latency(folder: &TempDir) -> Result<(), Failure> {
    let backend = SqliteBackend::open(folder.path().join("followed.db")).await?;
    let db = Persistence::builder().backend(backend).build()?;
    let (sender, mut events) = mpsc::channel(1);
    let reader = tokio::spawn({
        let mut feed = db.changes(ChangeScope::Tenant, Position::ZERO);
        async move {
            for _ in 0..WRITES {
                feed.next().await?;
                sender.send(Instant::now()).await?;
            }
            Ok::<_, Failure>(())
        }
    });
    let mut latencies = Histogram::<u32>::new_with_max(60_000_000_000, 3)?;
    let thread = db.thread("followed");
    for _ in 0..WRITES {
        thread.add(NewMessage::user("hello")).await?;
        let answered = Instant::now();
        let received = events.recv().await.ok_or("the reader of the feed has ended")?;
        // An event can arrive before the acknowledgment. Its latency then counts as zero.
        latencies.record(u64::try_from(received.saturating_duration_since(answered).as_nanos())?)?;
    }
    reader.await??;
    let micros = |quantile| latencies.value_at_quantile(quantile) as f64 / 1000.0;
    figure("catalog.feed_latency_p50", micros(0.5), "us");
    figure("catalog.feed_latency_p99", micros(0.99), "us");
    Ok(db.close().await?)
}

/// Measures the rate at which a reader catches up with the change feed.
pub(crate) async fn throughput(store: &Store) -> Result<(), Failure> {
    let mut feed = store.db.changes(ChangeScope::Tenant, Position::ZERO);
    let (begun, mut count) = (Instant::now(), 0_usize);
    while feed.next_now().await?.is_some() {
        count += 1;
    }
    figure("catalog.feed_rate", count as f64 / begun.elapsed().as_secs_f64(), "changes/s");
    Ok(())
}

/// A consumer that ignores every event.
struct IgnoreEvents;

impl Consumer for IgnoreEvents {
    fn name(&self) -> &str {
        "nothing"
    }

    async fn handle(&self, _: Event) -> Result<(), BoxError> {
        Ok(())
    }
}

/// Measures the rate of a consumer, which includes the read of each message and the writes of the cursor.
pub(crate) async fn effects(store: &Store) -> Result<(), Failure> {
    let begun = Instant::now();
    let effects = Effects::builder(store.db.clone()).consumer(IgnoreEvents).start().await?;
    if !effects.reached(store.last).await {
        return Err("the consumer has stopped".into());
    }
    let seconds = begun.elapsed().as_secs_f64();
    let done = effects.stop().await.iter().map(|status| status.done.get()).sum::<u64>();
    figure("catalog.effect_rate", done as f64 / seconds, "changes/s");
    Ok(())
}
