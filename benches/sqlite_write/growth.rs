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

/// A store with a thread of some length.
struct Filled {
    messages: usize,
    db: Persistence,
    thread: Thread,
    /// What an insert took in each round, in microseconds.
    took: Vec<f64>,
}

/// Inserts into threads of several lengths, by turns, and prints what an insert takes.
pub(crate) async fn compare(folder: &TempDir, lengths: [usize; 3], rounds: usize) -> Result<(), Failure> {
    let mut stores = Vec::new();
    for messages in lengths {
        let db = stack::over(SqliteBackend::open(folder.path().join(format!("filled{messages}.db"))).await?)?;
        let thread = db.thread("filled");
        prefill(&db, thread.id()?, messages).await?;
        stores.push(Filled { messages, db, thread, took: Vec::new() });
    }
    for _ in 0..rounds {
        for store in &mut stores {
            store.took.push(inserts(store.thread.clone()).await?);
        }
    }
    for store in &stores {
        figure(format_args!("sqlite_write.insert_at.{}", store.messages), median(&store.took), "us");
        store.db.close().await?;
    }
    let [short, .., long] = &stores[..] else { return Ok(()) };
    figure("sqlite_write.insert_growth", ratio(&long.took, &short.took), "x");
    Ok(())
}

/// What an insert takes, one after the other, in microseconds.
async fn inserts(thread: Thread) -> Result<f64, Failure> {
    // A task, as everyone else is: the main thread is no worker of the runtime.
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
