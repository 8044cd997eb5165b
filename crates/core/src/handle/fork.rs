use std::collections::VecDeque;

use super::{Persistence, Thread};
use crate::{
    Effect, ErrorKind, MessageId, NewThread, OpKind, PersistError, Result, Seq, ThreadId,
    operation::{
        DamagedMessage, Import, ImportRow, ImportedRow, Page, PageFrom, PublishThread, ReadPage, Visibility,
    },
    thread::{ForkPoint, ThreadSummary},
};

/// The result of a fork.
#[derive(Debug, Clone, PartialEq)]
pub struct Forked {
    /// The summary of the new thread.
    pub summary: ThreadSummary,
    /// The number of copied messages.
    pub messages: u64,
}

/// The number of messages in one read.
const PAGE: u32 = 200;

/// The content bytes of one import. A larger message is an import of its own.
const BYTES: usize = 1 << 20;

impl Thread {
    /// Creates a thread that begins with the messages of this one, up to and including the message `at`. The fork copies final
    /// messages with their ids, times and metadata, and leaves out open and abandoned ones. No list shows the new thread before
    /// the fork is complete.
    ///
    /// The fork reads and writes the messages through the pipeline, so that every layer sees them. One step has at most 200
    /// messages, or fewer if a quota requires it. No size limit refuses a message that the store already has. `to` describes the
    /// new thread; without a title in `to`, the new thread gets the title of this one. It reuses ids if this thread does.
    ///
    /// A fork that fails deletes the new thread. If `to` names an id, the hidden thread stays in three cases: the error is
    /// transient or the store was full, another call created the thread, or another caller has written to it. A repeated call with
    /// the same id continues the fork. A named id stays in use after the fork has deleted its thread.
    ///
    /// # Errors
    /// - `NotFound` if this thread has no message `at`, and `Conflict` if the message is not final.
    /// - `Gone` if another caller clears this thread or deletes the message in the meantime.
    /// - `AlreadyExists` if the id in `to` belongs to a thread that is not this fork.
    /// - `Conflict` if another caller has written to the new thread, which then stays unchanged.
    /// - Otherwise the error of a read or a write.
    ///
    /// The effect is that of the failed step. If the store also refuses the deletion, the error states it and names the hidden
    /// thread.
    ///
    /// # Cancel safety
    /// Each step completes or has no effect. If `to` names no id, a task on the runtime of the pipeline deletes the thread of a
    /// dropped fork, and [`close`](Persistence::close) waits for that task. If the pipeline already closes, the hidden thread
    /// stays in the store. If `to` names an id, the hidden thread stays, and a repeated call with the same id continues the fork.
    pub async fn fork(&self, at: &MessageId, to: NewThread) -> Result<Forked> {
        let from = self.id_to_write(OpKind::Thread).await?;
        let Some(last) = self.get(at.clone()).await? else {
            return Err(PersistError::not_found(&from, at).at_the_edge(OpKind::Thread));
        };
        let Some(_) = ImportRow::of(last.clone()).filter(|row| row.abandoned.is_none()) else {
            let detail = "a fork branches off at a final message";
            return Err(refused(ErrorKind::Conflict, detail).about(&from, at));
        };
        let point = ForkPoint { thread: from.clone(), message: at.clone() };
        let titled = match (&to.title, self.summary().await?) {
            (titled, Some(summary)) => {
                let to = if titled.is_none() { to.clone().with_title(summary.title) } else { to };
                if summary.reuses_ids { to.reusing_ids() } else { to }
            }
            _ => to,
        };
        let is_named = titled.id.is_some();
        let thread = titled.id.clone().unwrap_or_else(ThreadId::mint);
        let new = titled.with_id(thread.clone()).forked_from(point.clone()).hidden();
        let db = self.persistence().clone();
        // Only this call knows a minted id, so that no other call can continue a dropped fork.
        let mut partial =
            Partial { db, thread: thread.clone(), last_copy: Seq::ZERO, is_removed_on_drop: !is_named };
        let is_created_here = match self.begin_fork(new, &point).await {
            Ok(Begun::Created) => true,
            Ok(Begun::Found) => false,
            // An earlier call has completed the fork, and its answer was lost.
            Ok(Begun::Complete(summary)) => {
                partial.keep();
                return Ok(Forked { messages: summary.messages, summary: *summary });
            }
            Err(error) if is_named || error.effect() == Effect::NotApplied => {
                partial.keep();
                return Err(error);
            }
            Err(error) => return Err(partial.remove(error).await),
        };
        match self.fill_fork(&point, last.seq, &mut partial).await {
            Ok(forked) => {
                partial.keep();
                Ok(forked)
            }
            // The messages of another caller must stay.
            Err(Unfilled::WrittenByOthers(error)) => {
                partial.keep();
                Err(error)
            }
            Err(Unfilled::Failed(error)) if is_named && can_continue(&error) => Err(error),
            Err(Unfilled::Failed(error)) => match self.persistence().thread(thread).summary().await {
                // The store published the thread, and its answer was lost.
                Ok(Some(summary)) if summary.listed && summary.forked_from.as_deref() == Some(&point) => {
                    partial.keep();
                    Ok(Forked { messages: summary.messages, summary })
                }
                summary if is_named && !(is_created_here && partial.has_only_copies(summary.as_ref())) => {
                    let context = format!(
                        "the hidden thread `{}` stays: another call made it or may have written to it",
                        partial.thread
                    );
                    Err(error.context(context))
                }
                _ => Err(partial.remove(error).await),
            },
        }
    }

    /// Copies the messages up to the fork point, and publishes the thread.
    async fn fill_fork(
        &self,
        point: &ForkPoint,
        last: Seq,
        partial: &mut Partial,
    ) -> Result<Forked, Unfilled> {
        let (db, thread) = (self.persistence(), partial.thread.clone());
        let ForkPoint { thread: from, message: at } = point;
        let mut read = ReadPage::new(from.clone(), PageFrom::Start, PAGE).showing(Visibility::Final);
        let (mut messages, mut is_complete) = (0, false);
        while !is_complete {
            let page = db.read(read.clone()).await?;
            let next = page.next(read.from);
            // Without this error, the fork would silently lack the message.
            let is_before = |damaged: &&DamagedMessage| damaged.seq.is_none_or(|seq| seq <= last);
            if let Some(damaged) = page.damaged.iter().find(is_before) {
                return Err(damaged.to_error().at_the_edge(OpKind::Read).into());
            }
            is_complete = page.messages.iter().any(|message| message.id == *at);
            let mut steps = VecDeque::from(in_steps(copied(page, last)));
            while let Some(mut rows) = steps.pop_front() {
                let imported = match db.run(Import::copying(thread.clone(), rows.clone())).await {
                    // A quota refuses this size: import each half by itself.
                    Err(error) if error.kind() == ErrorKind::TooLarge && rows.len() > 1 => {
                        steps.push_front(rows.split_off(rows.len() / 2));
                        steps.push_front(rows);
                        continue;
                    }
                    imported => imported?,
                };
                messages += rows.len() as u64;
                let copy_of = |row: &ImportedRow| match *row {
                    ImportedRow::Added(seq) | ImportedRow::Present(seq) => Some(seq),
                    ImportedRow::Differs(_) | ImportedRow::Gone | ImportedRow::Restored(_) => None,
                };
                let copies: Option<Vec<Seq>> = imported.rows.iter().map(copy_of).collect();
                if let Some(copies) = copies {
                    partial.last_copy = copies.into_iter().fold(partial.last_copy, Seq::max);
                } else {
                    let detail = format!("`{thread}` has been written to by others");
                    // The import may have added some of these rows.
                    let error = PersistError::new(ErrorKind::Conflict, detail).with_effect(Effect::Unknown);
                    return Err(Unfilled::WrittenByOthers(
                        error.at_the_edge(OpKind::Import).about_thread(&thread),
                    ));
                }
            }
            match next {
                Some(from) => read.from = from,
                None if is_complete => {}
                None => {
                    let detail = "the thread was cleared, or the message deleted, while it was forked";
                    let error = refused(ErrorKind::Gone, detail).at_the_edge(OpKind::Read).about(from, at);
                    return Err(error.into());
                }
            }
        }
        let published = db.on_thread(PublishThread { thread }).await?;
        Ok(Forked { summary: published.summary, messages })
    }

    /// Creates the new thread, or finds the one that an earlier call created for the same fork.
    async fn begin_fork(&self, new: NewThread, point: &ForkPoint) -> Result<Begun> {
        let db = self.persistence();
        let Some(thread) = new.id.clone().filter(|thread| *thread != point.thread) else {
            let detail = "a thread cannot be a fork of itself";
            return Err(refused(ErrorKind::Invalid, detail).about_thread(&point.thread));
        };
        match db.create_thread(new).await {
            Ok(created) if created.deduplicated => Ok(Begun::Found),
            Ok(_) => Ok(Begun::Created),
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {
                match db.thread(thread).summary().await? {
                    Some(summary) if summary.forked_from.as_deref() != Some(point) => Err(error),
                    Some(summary) if summary.listed => Ok(Begun::Complete(Box::new(summary))),
                    Some(_) => Ok(Begun::Found),
                    None => Err(error),
                }
            }
            Err(error) => Err(error),
        }
    }
}

/// The thread of an incomplete fork.
struct Partial {
    db: Persistence,
    thread: ThreadId,
    /// The highest sequence number of a copied message in the new thread.
    last_copy: Seq,
    is_removed_on_drop: bool,
}

impl Partial {
    /// Keeps the thread: the fork is complete, or another caller uses the thread.
    fn keep(&mut self) {
        self.is_removed_on_drop = false;
    }

    /// Whether the thread has the copies of this fork and no other message.
    fn has_only_copies(&self, summary: Result<&Option<ThreadSummary>, &PersistError>) -> bool {
        match summary {
            Ok(Some(summary)) => summary.last_seq == self.last_copy,
            Ok(None) => true,
            Err(_) => false,
        }
    }

    /// Deletes the thread of a failed fork, and returns the error of the fork.
    async fn remove(mut self, error: PersistError) -> PersistError {
        self.keep();
        match remove(&self.db, &self.thread).await {
            Ok(()) => error,
            Err(refusal) => {
                let kind = refusal.kind();
                error.context(format!("the hidden thread `{}` could not be removed ({kind})", self.thread))
            }
        }
    }
}

impl Drop for Partial {
    fn drop(&mut self) {
        if self.is_removed_on_drop {
            let thread = self.thread.clone();
            self.db.detach(|db| async move { drop(remove(&db, &thread).await) });
        }
    }
}

/// Deletes and purges a thread. Its attachments also belong to the forked thread, and stay.
async fn remove(db: &Persistence, thread: &ThreadId) -> Result<()> {
    let thread = db.thread(thread.clone());
    match thread.delete_thread().await {
        Ok(_) => thread.purge().await.map(drop),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    }
}

/// The reason why a fork is incomplete.
enum Unfilled {
    /// A step failed.
    Failed(PersistError),
    /// Another caller has written to the thread.
    WrittenByOthers(PersistError),
}

impl From<PersistError> for Unfilled {
    fn from(error: PersistError) -> Self {
        Self::Failed(error)
    }
}

fn refused(kind: ErrorKind, detail: &'static str) -> PersistError {
    PersistError::new(kind, detail).with_effect(Effect::NotApplied).at_the_edge(OpKind::Thread)
}

/// The progress of a fork when a call begins.
enum Begun {
    /// This call has created the thread.
    Created,
    /// Another call has created the thread, and the fork is incomplete.
    Found,
    /// Another call has completed the fork.
    Complete(Box<ThreadSummary>),
}

/// Whether a repeated call may succeed: the error is transient, or the store was full.
fn can_continue(error: &PersistError) -> bool {
    error.kind().passes_with_time() || error.kind() == ErrorKind::StorageFull
}

/// Returns the messages of a page that belong to the fork.
fn copied(page: Page, last: Seq) -> Vec<ImportRow> {
    let messages = page.messages.into_iter().filter(|message| message.seq <= last);
    messages.filter_map(ImportRow::of).collect()
}

/// Divides the rows into steps of at most [`BYTES`], in order.
fn in_steps(rows: Vec<ImportRow>) -> Vec<Vec<ImportRow>> {
    let mut steps: Vec<Vec<ImportRow>> = Vec::new();
    let mut bytes = 0;
    for row in rows {
        let length = row.content.byte_len();
        match steps.last_mut() {
            Some(step) if bytes + length <= BYTES => {
                bytes += length;
                step.push(row);
            }
            _ => {
                bytes = length;
                steps.push(vec![row]);
            }
        }
    }
    steps
}
