use std::collections::VecDeque;

use super::{Persistence, Thread};
use crate::{
    Effect, ErrorKind, MessageId, NewThread, OpKind, PersistError, Result, Seq, ThreadId,
    operation::{
        DamagedMessage, Import, ImportRow, ImportedRow, Page, PageFrom, PublishThread, ReadPage, Visibility,
    },
    thread::{ForkPoint, ThreadSummary},
};

/// What a fork came to.
#[derive(Debug, Clone, PartialEq)]
pub struct Forked {
    /// The new thread.
    pub entry: ThreadSummary,
    /// How many messages it has of the other.
    pub messages: u64,
}

/// How many messages are read at once, and how many bytes of content are written at once at most, unless one message has
/// more.
const PAGE: u32 = 200;
const BYTES: usize = 1 << 20;

impl Thread {
    /// Makes a new thread that begins as this one does, up to and including the message `at`. Final messages are copied, with
    /// their ids, their times and their metadata; open and abandoned ones are left out. No list shows the new thread before
    /// it is whole.
    ///
    /// The copies are read and written through the pipeline like any message, so that every layer sees them, in steps of at
    /// most 200 messages, or fewer where a quota lets in less at once. No limit of size refuses what the store holds. `to` says what the new thread is like; where it names no
    /// title, it has that of this one.
    ///
    /// A fork that fails removes what it has written. Where `to` names an id, the hidden thread stays in three cases: the failure passes
    /// with time or the store was full, another call made the thread, or others have written to it. Called again with the same id,
    /// the fork goes on where it stopped. An id that was named is not free again after a fork was removed.
    ///
    /// # Errors
    /// `NotFound` when this thread has no final message `at`; `Gone` when it is cleared or the message deleted meanwhile;
    /// `AlreadyExists` when there is a thread of that id that is not the same fork, and `Conflict` when others have written to
    /// it, which leaves it as it is; what a read or a write answers. The effect is that of the step which failed. Where the
    /// store does not take the removal either, the error says so and names the hidden thread.
    ///
    /// # Cancel safety
    /// Dropped between two steps, a fork whose id was minted is removed by a task on the runtime of the pipeline, which
    /// [`close`](Persistence::close) waits for. Dropped while the pipeline closes, it stays hidden in the store. A fork whose id
    /// `to` names stays hidden; begun again with the same id, it goes on.
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
            (None, Some(entry)) => to.with_title(entry.title),
            _ => to,
        };
        let is_named = titled.id.is_some();
        let thread = titled.id.clone().unwrap_or_else(ThreadId::mint);
        let new = titled.with_id(thread.clone()).forked_from(point.clone()).hidden();
        let db = self.persistence().clone();
        // A minted id is known to this call alone: a dropped fork of one is of no use to another caller.
        let mut partial =
            Partial { db, thread: thread.clone(), last_copy: Seq::ZERO, is_removed_on_drop: !is_named };
        let is_made_here = match self.begin_fork(new, &point).await {
            Ok(Begun::Made) => true,
            Ok(Begun::Found) => false,
            // An earlier call has made it, and its answer was lost.
            Ok(Begun::Whole(entry)) => {
                partial.keep();
                return Ok(Forked { messages: entry.messages, entry: *entry });
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
            // It has what others wrote.
            Err(Unfilled::Taken(error)) => {
                partial.keep();
                Err(error)
            }
            Err(Unfilled::Failed(error)) if is_named && can_go_on(&error) => Err(error),
            Err(Unfilled::Failed(error)) => match self.persistence().thread(thread).summary().await {
                // It was published, and the answer was lost.
                Ok(Some(entry)) if entry.listed && entry.forked_from.as_ref() == Some(&point) => {
                    partial.keep();
                    Ok(Forked { messages: entry.messages, entry })
                }
                entry if is_named && !(is_made_here && partial.is_all_of(entry.as_ref())) => {
                    let note = format!(
                        "the hidden thread `{}` stays: another call made it or may have written to it",
                        partial.thread
                    );
                    Err(error.context(note))
                }
                _ => Err(partial.remove(error).await),
            },
        }
    }

    /// Copies the messages up to this one, and shows the thread.
    async fn fill_fork(
        &self,
        point: &ForkPoint,
        last: Seq,
        partial: &mut Partial,
    ) -> Result<Forked, Unfilled> {
        let (db, thread) = (self.persistence(), partial.thread.clone());
        let ForkPoint { thread: from, message: at } = point;
        let mut read = ReadPage::new(from.clone(), PageFrom::Start, PAGE).showing(Visibility::Final);
        let (mut messages, mut is_whole) = (0, false);
        while !is_whole {
            let page = db.read(read.clone()).await?;
            let next = page.next(read.from);
            // Left out, it would be missed in the fork by nobody.
            let is_before = |damaged: &&DamagedMessage| damaged.seq.is_none_or(|seq| seq <= last);
            if let Some(damaged) = page.damaged.iter().find(is_before) {
                return Err(damaged.to_error().at_the_edge(OpKind::Read).into());
            }
            is_whole = page.messages.iter().any(|message| message.id == *at);
            let mut steps = VecDeque::from(in_steps(copied(page, last)));
            while let Some(mut rows) = steps.pop_front() {
                let imported = match db.run(Import::copying(thread.clone(), rows.clone())).await {
                    // A quota lets in less at once: each half is tried by itself.
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
                    // Of these rows some may be there and some are not.
                    let error = PersistError::new(ErrorKind::Conflict, detail).with_effect(Effect::Unknown);
                    return Err(Unfilled::Taken(error.at_the_edge(OpKind::Import).about_thread(&thread)));
                }
            }
            match next {
                Some(from) => read.from = from,
                None if is_whole => {}
                None => {
                    let detail = "the thread was cleared, or the message deleted, while it was forked";
                    let error = refused(ErrorKind::Gone, detail).at_the_edge(OpKind::Read).about(from, at);
                    return Err(error.into());
                }
            }
        }
        let published = db.on_thread(PublishThread { thread }).await?;
        Ok(Forked { entry: published.summary, messages })
    }

    /// Makes the new thread, or finds the one that an earlier call made for the same fork.
    async fn begin_fork(&self, new: NewThread, point: &ForkPoint) -> Result<Begun> {
        let db = self.persistence();
        let Some(thread) = new.id.clone().filter(|thread| *thread != point.thread) else {
            let detail = "a thread cannot be a fork of itself";
            return Err(refused(ErrorKind::Invalid, detail).about_thread(&point.thread));
        };
        match db.create_thread(new).await {
            Ok(created) if created.deduplicated => Ok(Begun::Found),
            Ok(_) => Ok(Begun::Made),
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {
                match db.thread(thread).summary().await? {
                    Some(entry) if entry.forked_from.as_ref() != Some(point) => Err(error),
                    Some(entry) if entry.listed => Ok(Begun::Whole(Box::new(entry))),
                    Some(_) => Ok(Begun::Found),
                    None => Err(error),
                }
            }
            Err(error) => Err(error),
        }
    }
}

/// The thread of a fork that is not whole.
struct Partial {
    db: Persistence,
    thread: ThreadId,
    /// The last sequence number that the fork has copied a message to.
    last_copy: Seq,
    is_removed_on_drop: bool,
}

impl Partial {
    /// The thread is whole, or not the fork's to remove.
    fn keep(&mut self) {
        self.is_removed_on_drop = false;
    }

    /// Whether the thread has what this fork has copied, and nothing else.
    fn is_all_of(&self, entry: Result<&Option<ThreadSummary>, &PersistError>) -> bool {
        match entry {
            Ok(Some(entry)) => entry.last_seq == self.last_copy,
            Ok(None) => true,
            Err(_) => false,
        }
    }

    /// Removes what a fork that failed has written, and answers why it failed.
    async fn remove(mut self, error: PersistError) -> PersistError {
        self.keep();
        match remove(&self.db, &self.thread).await {
            Ok(()) => error,
            Err(kept) => {
                let note =
                    format!("the hidden thread `{}` could not be removed ({})", self.thread, kept.kind());
                error.context(note)
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

/// Deletes a thread and frees what it takes up. Its attachments are those of the thread that was forked, and stay.
async fn remove(db: &Persistence, thread: &ThreadId) -> Result<()> {
    let thread = db.thread(thread.clone());
    match thread.delete_thread().await {
        Ok(_) => thread.purge().await.map(drop),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    }
}

/// Why a fork was not filled.
enum Unfilled {
    /// A step failed.
    Failed(PersistError),
    /// The thread has what others wrote.
    Taken(PersistError),
}

impl From<PersistError> for Unfilled {
    fn from(error: PersistError) -> Self {
        Self::Failed(error)
    }
}

fn refused(kind: ErrorKind, detail: &'static str) -> PersistError {
    PersistError::new(kind, detail).with_effect(Effect::NotApplied).at_the_edge(OpKind::Thread)
}

/// How far a fork is when a call begins.
enum Begun {
    /// This call has made it, and it is to be filled.
    Made,
    /// Another call has made it, and it is to be filled.
    Found,
    /// It is there.
    Whole(Box<ThreadSummary>),
}

/// Whether the same fork succeeds later: the failure passes with time, or the store has space again.
fn can_go_on(error: &PersistError) -> bool {
    error.kind().passes_with_time() || error.kind() == ErrorKind::StorageFull
}

/// What of a page belongs to the fork.
fn copied(page: Page, last: Seq) -> Vec<ImportRow> {
    let messages = page.messages.into_iter().filter(|message| message.seq <= last);
    messages.filter_map(ImportRow::of).collect()
}

/// The rows in their order, so many bytes at once.
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
