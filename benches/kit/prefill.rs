use std::time::Instant;

use throughline::{
    NewMessage, Persistence, ThreadId,
    messages::{Add, Batch},
};
use tokio::task::JoinSet;

use crate::Failure;

/// A short message, so that a thread of a million messages is created quickly.
const TEXT: &str = "A number is read up to the first character that cannot belong to it, and that character is left \
    where it is; a later read of a whole line then returns what is left of the line.";

/// The most items of a batch that the limits of the stack allow.
const BATCH: usize = 256;

/// Two tasks, so that one prepares a batch while the other commits.
const TASKS: usize = 2;

/// Adds `messages` messages to a thread.
pub(crate) async fn prefill(db: &Persistence, thread: &ThreadId, messages: usize) -> Result<(), Failure> {
    let begun = Instant::now();
    let mut writers = JoinSet::new();
    for task in 0..TASKS {
        let (db, thread) = (db.clone(), thread.clone());
        let mut left = messages / TASKS + usize::from(task < messages % TASKS);
        writers.spawn(async move {
            while left > 0 {
                let items = left.min(BATCH);
                let adds = (0..items).map(|_| Add::new(thread.clone(), NewMessage::user(TEXT)).into());
                db.batch(Batch::of(adds.collect())).await?;
                left -= items;
            }
            Ok::<_, Failure>(())
        });
    }
    while let Some(writer) = writers.join_next().await {
        writer??;
    }
    eprintln!("{messages} messages added in {:.1} s", begun.elapsed().as_secs_f64());
    Ok(())
}

/// Returns three lengths of a thread, in increasing order: a thousandth of the longest, a tenth of it, and the longest.
pub(crate) fn lengths(longest: usize) -> [usize; 3] {
    [1000, 10, 1].map(|part| (longest / part).max(100))
}
