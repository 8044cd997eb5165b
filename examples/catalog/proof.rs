//! Compares two stores.

use throughline::{
    Persistence,
    messages::{ImportRow, PageFrom, Visibility},
    threads::{ListThreads, ThreadSummary},
};

use crate::Failure;

/// Returns every thread, also archived ones.
async fn all_threads(db: &Persistence) -> Result<Vec<ThreadSummary>, Failure> {
    let mut entries = Vec::new();
    let mut list = ListThreads::new(100).archived_too();
    loop {
        let page = db.threads(list.clone()).await?;
        entries.extend(page.threads);
        match page.next {
            Some(next) => list.after = Some(next),
            None => return Ok(entries),
        }
    }
}

/// Returns the number of threads and messages, or an error at the first difference.
pub(crate) async fn compare(one: &Persistence, other: &Persistence) -> Result<(usize, usize), Failure> {
    let (threads, copies) = (all_threads(one).await?, all_threads(other).await?);
    let mut count = 0;
    for (summary, copy) in threads.iter().zip(&copies) {
        // The copy has its own update times, and no sequence numbers for messages that were pruned before the export.
        // Everything else must be equal.
        let comparable =
            ThreadSummary { updated_at: summary.updated_at, last_seq: summary.last_seq, ..copy.clone() };
        if *summary != comparable {
            return Err(format!("the summaries of {} differ", summary.thread).into());
        }
        let mut messages = one.thread(summary.thread.clone()).walk(PageFrom::Start, Visibility::Final);
        let mut copied_messages =
            other.thread(summary.thread.clone()).walk(PageFrom::Start, Visibility::Final);
        loop {
            let (message, copy) = (messages.next().await?, copied_messages.next().await?);
            if message.clone().and_then(ImportRow::of) != copy.and_then(ImportRow::of) {
                return Err(format!("a message of {} differs", summary.thread).into());
            }
            if message.is_none() {
                break;
            }
            count += 1;
        }
    }
    if threads.len() != copies.len() {
        return Err("the stores have different numbers of threads".into());
    }
    Ok((threads.len(), count))
}
