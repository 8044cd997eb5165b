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

/// How long after a write was answered a task that follows the changes is told of it.
pub(crate) async fn latency(folder: &TempDir) -> Result<(), Failure> {
    let backend = SqliteBackend::open(folder.path().join("followed.db")).await?;
    let db = Persistence::builder().backend(backend).build()?;
    let (tell, mut told) = mpsc::channel(1);
    let replica = tokio::spawn({
        let mut feed = db.changes(ChangeScope::Tenant, Position::ZERO);
        async move {
            for _ in 0..WRITES {
                feed.next().await?;
                tell.send(Instant::now()).await?;
            }
            Ok::<_, Failure>(())
        }
    });
    let mut latencies = Histogram::<u32>::new_with_max(60_000_000_000, 3)?;
    let thread = db.thread("followed");
    for _ in 0..WRITES {
        thread.add(NewMessage::user("hello")).await?;
        let answered = Instant::now();
        let seen = told.recv().await.ok_or("the replica has ended")?;
        // Told before its writer was answered, it came at once.
        latencies.record(u64::try_from(seen.saturating_duration_since(answered).as_nanos())?)?;
    }
    replica.await??;
    let micros = |quantile| latencies.value_at_quantile(quantile) as f64 / 1000.0;
    figure("catalog.feed_latency_p50", micros(0.5), "us");
    figure("catalog.feed_latency_p99", micros(0.99), "us");
    Ok(db.close().await?)
}

/// How many changes a second are read by who catches up.
pub(crate) async fn throughput(store: &Store) -> Result<(), Failure> {
    let mut feed = store.db.changes(ChangeScope::Tenant, Position::ZERO);
    let (begun, mut count) = (Instant::now(), 0_usize);
    while feed.next_now().await?.is_some() {
        count += 1;
    }
    figure("catalog.feed_rate", count as f64 / begun.elapsed().as_secs_f64(), "changes/s");
    Ok(())
}

/// Does nothing with what it is told.
struct Nothing;

impl Consumer for Nothing {
    fn name(&self) -> &str {
        "nothing"
    }

    async fn handle(&self, _: Event) -> Result<(), BoxError> {
        Ok(())
    }
}

/// How many changes a second go through a consumer: the message of each is read, and the cursor is kept.
pub(crate) async fn effects(store: &Store) -> Result<(), Failure> {
    let begun = Instant::now();
    let effects = Effects::builder(store.db.clone()).consumer(Nothing).start().await?;
    if !effects.reached(store.last).await {
        return Err("the consumer has stopped".into());
    }
    let seconds = begun.elapsed().as_secs_f64();
    let done = effects.stop().await.iter().map(|status| status.done.get()).sum::<u64>();
    figure("catalog.effect_rate", done as f64 / seconds, "changes/s");
    Ok(())
}
