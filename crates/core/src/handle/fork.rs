use super::Thread;
use crate::{
    ErrorKind, ForkPoint, Import, ImportRow, MessageId, NewThread, Page, PageFrom, PersistError,
    PublishThread, ReadPage, Result, Seq, ThreadEntry, ThreadId, Visibility,
};

/// What a fork came to.
#[derive(Debug, Clone, PartialEq)]
pub struct Forked {
    /// The new thread.
    pub entry: ThreadEntry,
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
    /// most 200 messages. `to` says what the new thread is like; where it names no title, it has that of this one.
    ///
    /// # Errors
    /// `NotFound` when this thread has no final message `at`; `AlreadyExists` when there is a thread of that id that is not
    /// the same fork begun before; what a read or a write answers. Called again with the same id, it goes on where it stopped.
    ///
    /// # Cancel safety
    /// Dropping it stops between two steps, and leaves a thread that no list shows. Begun again with the same id, it goes on.
    pub async fn fork(&self, at: &MessageId, to: NewThread) -> Result<Forked> {
        let db = self.persistence();
        let from = self.with_id(|thread| thread)?;
        let Some(last) = self.get(at.clone()).await? else {
            return Err(PersistError::not_found(&from, at));
        };
        let Some(_) = ImportRow::of(last.clone()).filter(|row| row.abandoned.is_none()) else {
            let detail = "a fork branches off at a final message";
            return Err(PersistError::new(ErrorKind::Conflict, detail).about(&from, at));
        };
        let point = ForkPoint { thread: from.clone(), message: at.clone() };
        let thread = self.begin_fork(&from, to, &point).await?;
        let mut read = ReadPage::new(from, PageFrom::Start, PAGE).showing(Visibility::Final);
        let mut messages = 0;
        loop {
            let page = db.read(read.clone()).await?;
            let next = page.next(read.from);
            let reached = copied(page, last.seq);
            for rows in in_steps(reached.rows) {
                messages += rows.len() as u64;
                db.run(Import::new(thread.clone(), rows)).await?;
            }
            match next {
                Some(from) if !reached.the_end => read.from = from,
                _ => break,
            }
        }
        let published = db.on_thread(PublishThread { thread }).await?;
        Ok(Forked { entry: published.entry, messages })
    }

    /// Makes the new thread, or finds the one that an earlier call made for the same fork.
    async fn begin_fork(&self, from: &ThreadId, to: NewThread, point: &ForkPoint) -> Result<ThreadId> {
        let db = self.persistence();
        let titled = match (&to.title, self.entry().await?) {
            (None, Some(entry)) => to.with_title(entry.title),
            _ => to,
        };
        let thread = titled.id.clone().unwrap_or_else(ThreadId::mint);
        if thread == *from {
            let detail = "a thread cannot be a fork of itself";
            return Err(PersistError::new(ErrorKind::Invalid, detail));
        }
        let new = titled.with_id(thread.clone()).forked_from(point.clone()).hidden();
        match db.create_thread(new).await {
            Ok(_) => Ok(thread),
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {
                match db.thread(thread.clone()).entry().await? {
                    Some(entry) if entry.forked_from.as_ref() == Some(point) && !entry.listed => Ok(thread),
                    _ => Err(error),
                }
            }
            Err(error) => Err(error),
        }
    }
}

struct Copied {
    rows: Vec<ImportRow>,
    the_end: bool,
}

/// What of a page belongs to the fork.
fn copied(page: Page, last: Seq) -> Copied {
    let the_end = page.messages.last().is_none_or(|message| message.seq >= last);
    let messages = page.messages.into_iter().filter(|message| message.seq <= last);
    Copied { rows: messages.filter_map(ImportRow::of).collect(), the_end }
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
