use super::Thread;
use crate::{
    DamagedMessage, Effect, ErrorKind, ForkPoint, Import, ImportRow, ImportedRow, MessageId, NewThread,
    OpKind, Page, PageFrom, PersistError, PublishThread, ReadPage, Result, Seq, ThreadEntry, ThreadId,
    Visibility,
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
    /// `NotFound` when this thread has no final message `at`; `Gone` when it is cleared or the message deleted meanwhile;
    /// `AlreadyExists` when there is a thread of that id that is not the same fork, and `Conflict` when others have written to
    /// it; what a read or a write answers. The effect is that of the step which failed; what earlier ones wrote stands in the
    /// hidden thread. Called again with the same id, it goes on where it stopped.
    ///
    /// # Cancel safety
    /// Dropping it stops between two steps, and leaves a thread that no list shows. Begun again with the same id, it goes on.
    pub async fn fork(&self, at: &MessageId, to: NewThread) -> Result<Forked> {
        let db = self.persistence();
        let from = self.id_to_write(OpKind::Thread).await?;
        let Some(last) = self.get(at.clone()).await? else {
            return Err(PersistError::not_found(&from, at).at_the_edge(OpKind::Thread));
        };
        let Some(_) = ImportRow::of(last.clone()).filter(|row| row.abandoned.is_none()) else {
            let detail = "a fork branches off at a final message";
            return Err(refused(ErrorKind::Conflict, detail).about(&from, at));
        };
        let point = ForkPoint { thread: from.clone(), message: at.clone() };
        let thread = match self.begin_fork(&from, to, &point).await? {
            Begun::Hidden(thread) => thread,
            // An earlier call has made it, and its answer was lost.
            Begun::Whole(entry) => return Ok(Forked { messages: entry.messages, entry }),
        };
        let mut read = ReadPage::new(from.clone(), PageFrom::Start, PAGE).showing(Visibility::Final);
        let (mut messages, mut is_whole) = (0, false);
        while !is_whole {
            let page = db.read(read.clone()).await?;
            let next = page.next(read.from);
            // Left out, it would be missed in the fork by nobody.
            let is_before = |damaged: &&DamagedMessage| damaged.seq.is_none_or(|seq| seq <= last.seq);
            if let Some(damaged) = page.damaged.iter().find(is_before) {
                return Err(damaged.to_error().at_the_edge(OpKind::Read));
            }
            is_whole = page.messages.iter().any(|message| message.id == *at);
            for rows in in_steps(copied(page, last.seq)) {
                messages += rows.len() as u64;
                let imported = db.run(Import::new(thread.clone(), rows)).await?;
                let is_copied =
                    |row: &ImportedRow| matches!(row, ImportedRow::Added(_) | ImportedRow::Present(_));
                if !imported.rows.iter().all(is_copied) {
                    let detail = format!("`{thread}` has been written to by others");
                    // Of these rows some may be there and some are not.
                    let error = PersistError::new(ErrorKind::Conflict, detail).with_effect(Effect::Unknown);
                    return Err(error.at_the_edge(OpKind::Import).about_thread(&thread));
                }
            }
            match next {
                Some(from) => read.from = from,
                None if is_whole => {}
                None => {
                    let detail = "the thread was cleared, or the message deleted, while it was forked";
                    return Err(refused(ErrorKind::Gone, detail).at_the_edge(OpKind::Read).about(&from, at));
                }
            }
        }
        let published = db.on_thread(PublishThread { thread }).await?;
        Ok(Forked { entry: published.entry, messages })
    }

    /// Makes the new thread, or finds the one that an earlier call made for the same fork.
    async fn begin_fork(&self, from: &ThreadId, to: NewThread, point: &ForkPoint) -> Result<Begun> {
        let db = self.persistence();
        let titled = match (&to.title, self.entry().await?) {
            (None, Some(entry)) => to.with_title(entry.title),
            _ => to,
        };
        let thread = titled.id.clone().unwrap_or_else(ThreadId::mint);
        if thread == *from {
            let detail = "a thread cannot be a fork of itself";
            return Err(refused(ErrorKind::Invalid, detail).about_thread(from));
        }
        let new = titled.with_id(thread.clone()).forked_from(point.clone()).hidden();
        match db.create_thread(new).await {
            Ok(_) => Ok(Begun::Hidden(thread)),
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {
                match db.thread(thread.clone()).entry().await? {
                    Some(entry) if entry.forked_from.as_ref() != Some(point) => Err(error),
                    Some(entry) if entry.listed => Ok(Begun::Whole(entry)),
                    Some(_) => Ok(Begun::Hidden(thread)),
                    None => Err(error),
                }
            }
            Err(error) => Err(error),
        }
    }
}

fn refused(kind: ErrorKind, detail: &'static str) -> PersistError {
    PersistError::new(kind, detail).with_effect(Effect::NotApplied).at_the_edge(OpKind::Thread)
}

/// How far a fork is when a call begins.
enum Begun {
    /// It is to be filled.
    Hidden(ThreadId),
    /// It is there.
    Whole(ThreadEntry),
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
