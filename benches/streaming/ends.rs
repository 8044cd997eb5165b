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

/// Streams the messages with so many appends each, ends one after the other, and prints the cost of an end.
pub(crate) async fn measure(appends: Appends) -> Result<(), Failure> {
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
    let handed = before.cost(begun.elapsed())?.handed;
    db.close().await?;
    // The store deletes the chunks of ended messages later and together, at the latest when it closes.
    let in_all = before.cost(begun.elapsed())?.handed;
    figure("streaming.end", median(&took), "ms");
    figure("streaming.end.max", took.into_iter().fold(0.0, f64::max), "ms");
    figure("streaming.end_written", handed / MESSAGES as f64 / 1e6, "MB");
    figure("streaming.end_and_close_written", in_all / MESSAGES as f64 / 1e6, "MB");
    Ok(())
}
