//! The end of messages that were streamed together: their chunks are between each other in the store.

use std::time::Instant;

use throughline::{
    Delta, Role,
    messages::{ContentChange, UpdateMode},
    sqlite::SqliteBackend,
};
use tokio::task::JoinSet;

use crate::{
    Failure,
    figures::{figure, median},
    io_counters::IoCounters,
    modes::Appends,
    stack,
};

const MESSAGES: usize = 64;

/// The cost of the ends of one round.
struct Ends {
    /// How long each end took, in milliseconds.
    took: Vec<f64>,
    /// How long the ends and the close took together, in milliseconds for each message.
    with_close: f64,
    /// The megabytes written by the ends, for each message.
    written: f64,
    /// The megabytes written by the ends and the close, for each message.
    written_with_close: f64,
}

/// Prints the cost of an end: the median over all ends of all rounds, and otherwise over the rounds.
pub(crate) async fn measure(appends: Appends, rounds: usize) -> Result<(), Failure> {
    let mut measured = Vec::new();
    for _ in 0..rounds {
        measured.push(end_all(appends).await?);
    }
    let over = |value: fn(&Ends) -> f64| median(&measured.iter().map(value).collect::<Vec<_>>());
    let took: Vec<f64> = measured.iter().flat_map(|ends| ends.took.iter().copied()).collect();
    figure("streaming.end", median(&took), "ms");
    figure("streaming.end.max", took.iter().copied().reduce(f64::max).unwrap_or(f64::NAN), "ms");
    figure("streaming.end_and_close", over(|ends| ends.with_close), "ms");
    figure("streaming.end_written", over(|ends| ends.written), "MB");
    figure("streaming.end_and_close_written", over(|ends| ends.written_with_close), "MB");
    Ok(())
}

/// Streams the messages with so many appends each, and ends one after the other.
async fn end_all(appends: Appends) -> Result<Ends, Failure> {
    let folder = tempfile::tempdir()?;
    let db = stack::over(SqliteBackend::open(folder.path().join("store.db")).await?)?;
    let (mut writers, mut open) = (JoinSet::new(), Vec::new());
    for number in 0..MESSAGES {
        let thread = db.thread(format!("reply-{number}"));
        let draft = thread.reserve(Role::Assistant).await?;
        let id = draft.id().clone();
        open.push((thread.clone(), draft));
        writers.spawn(async move {
            for n in 0..appends.count {
                let change = ContentChange::Append(Delta::text(appends.text_of(n)));
                thread.update_content(id.clone(), change, UpdateMode::Partial).await?;
            }
            Ok::<_, Failure>(())
        });
    }
    while let Some(writer) = writers.join_next().await {
        writer??;
    }
    let (before, begun) = (IoCounters::now()?, Instant::now());
    let mut took = Vec::new();
    for (thread, draft) in open {
        let begun = Instant::now();
        thread.update_content(draft.id().clone(), ContentChange::none(), UpdateMode::Final).await?;
        took.push(begun.elapsed().as_secs_f64() * 1e3);
    }
    let written = before.cost(begun.elapsed())?.handed / MESSAGES as f64 / 1e6;
    // The store deletes the chunks of ended messages later and together, at the latest when it closes.
    db.close().await?;
    let with_close = begun.elapsed().as_secs_f64() * 1e3 / MESSAGES as f64;
    let written_with_close = before.cost(begun.elapsed())?.handed / MESSAGES as f64 / 1e6;
    Ok(Ends { took, with_close, written, written_with_close })
}
