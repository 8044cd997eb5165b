use std::time::{Duration, Instant};

use tempfile::TempDir;
use throughline::{NewMessage, Persistence, Thread, sqlite::SqliteBackend};

use crate::{
    Failure,
    figures::{figure, median, ratio},
    prefill::prefill,
    stack,
    text::TEXT,
};

const SPAN: Duration = Duration::from_millis(100);

/// A store that contains one thread of a given length.
struct FilledStore {
    messages: usize,
    db: Persistence,
    thread: Thread,
    /// The mean latency of an insert in each round, in microseconds.
    latencies: Vec<f64>,
}

/// Inserts alternately into threads of several lengths, and prints the latency of an insert.
pub(crate) async fn compare(folder: &TempDir, lengths: [usize; 3], rounds: usize) -> Result<(), Failure> {
    let mut stores = Vec::new();
    for messages in lengths {
        let db = stack::over(SqliteBackend::open(folder.path().join(format!("filled{messages}.db"))).await?)?;
        let thread = db.thread("filled");
        prefill(&db, thread.id()?, messages).await?;
        stores.push(FilledStore { messages, db, thread, latencies: Vec::new() });
    }
    for _ in 0..rounds {
        for store in &mut stores {
            store.latencies.push(measure_inserts(store.thread.clone()).await?);
        }
    }
    for store in &stores {
        figure(format_args!("sqlite_write.insert_at.{}", store.messages), median(&store.latencies), "us");
        store.db.close().await?;
    }
    let [short, .., long] = &stores[..] else { return Ok(()) };
    figure("sqlite_write.insert_growth", ratio(&long.latencies, &short.latencies), "x");
    Ok(())
}

/// Measures the mean latency of sequential inserts, in microseconds.
async fn measure_inserts(thread: Thread) -> Result<f64, Failure> {
    // Run in a spawned task, like the other contenders: the main thread is not a worker of the runtime.
    let inserting = tokio::spawn(async move {
        let (begun, mut count) = (Instant::now(), 0_u32);
        while begun.elapsed() < SPAN {
            thread.add(NewMessage::user(TEXT)).await?;
            count += 1;
        }
        Ok::<_, Failure>(begun.elapsed().as_secs_f64() * 1e6 / f64::from(count))
    });
    inserting.await?
}
