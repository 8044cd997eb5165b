//! Holding two stores against each other.

use throughline::{
    Persistence,
    messages::{ImportRow, PageFrom, Visibility},
    threads::{ListThreads, ThreadSummary},
};

use crate::Failure;

/// Every thread that a list shows.
async fn every_thread(db: &Persistence) -> Result<Vec<ThreadSummary>, Failure> {
    let mut entries = Vec::new();
    let mut list = ListThreads::new(100).archived_too();
    loop {
        let page = db.threads(list.clone()).await?;
        entries.extend(page.entries);
        match page.next {
            Some(next) => list.after = Some(next),
            None => return Ok(entries),
        }
    }
}

/// Fails where the two differ; counts threads and messages otherwise.
pub(crate) async fn compare(one: &Persistence, other: &Persistence) -> Result<(usize, usize), Failure> {
    let (threads, copies) = (every_thread(one).await?, every_thread(other).await?);
    let mut count = 0;
    for (entry, copy) in threads.iter().zip(&copies) {
        // The copy was changed when it was made, and gives no sequence numbers to messages that were pruned before; everything
        // else is the same.
        let copied = ThreadSummary { updated_at: entry.updated_at, last_seq: entry.last_seq, ..copy.clone() };
        if *entry != copied {
            return Err(format!("the entries of {} differ", entry.thread).into());
        }
        let mut messages = one.thread(entry.thread.clone()).walk(PageFrom::Start, Visibility::Final);
        let mut copied = other.thread(entry.thread.clone()).walk(PageFrom::Start, Visibility::Final);
        loop {
            let (message, copy) = (messages.next().await?, copied.next().await?);
            if message.clone().and_then(ImportRow::of) != copy.and_then(ImportRow::of) {
                return Err(format!("a message of {} differs", entry.thread).into());
            }
            if message.is_none() {
                break;
            }
            count += 1;
        }
    }
    if threads.len() != copies.len() {
        return Err("the copy has another number of threads".into());
    }
    Ok((threads.len(), count))
}
