//! The streaming writer: a stable id before the first token, appends that are coalesced and durable up to a published
//! watermark, one end.

mod pending;
mod request;
mod writer;

use std::{
    fmt,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use tokio::sync::{Semaphore, mpsc, oneshot, watch};

pub use self::request::DraftRequest;
use self::{
    pending::{MAX_WAITING, taken},
    writer::{Command, Settlement},
};
use crate::{
    Content, ContentChange, ContentUpdated, Delta, Effect, ErrorKind, Message, MessageId, OpKind,
    PersistError, Result, Revision, ThreadId,
};

/// How the appends of a [`Draft`] are gathered into writes. The first append after a write sets the time of the next;
/// later ones do not move it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Coalesce {
    /// The longest an append waits before it is written.
    pub interval: Duration,
    /// So many waiting bytes are written at once.
    pub bytes: usize,
}

impl Default for Coalesce {
    /// 250 ms or 16 KiB.
    fn default() -> Self {
        Self { interval: Duration::from_millis(250), bytes: 16 * 1024 }
    }
}

/// How much of a draft is durable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Watermark {
    /// Bytes of all that was appended and is committed. Never decreases; a replacement counts its own bytes.
    pub bytes: u64,
    /// The revision of the message at that commit.
    pub revision: Revision,
}

/// A message being written.
///
/// [`append`](Self::append) takes what streams in; a task of the draft's own writes it, one write at a time, gathered as
/// [`Coalesce`] says, and publishes what is committed. [`finish`](Self::finish) or [`abandon`](Self::abandon) writes
/// what is still waiting and settles the message; after that nothing is written. While the draft lives, its lease on
/// the message is renewed.
///
/// Dropping it without either stops at once: what is committed stays, and the row is listed by
/// [`open_reservations`](crate::Persistence::open_reservations) until a sweep settles it.
pub struct Draft {
    message: Message,
    deduplicated: bool,
    commands: mpsc::Sender<Command>,
    watermark: watch::Receiver<Watermark>,
    shared: Arc<Shared>,
    streamed: u64,
}

/// What the draft and its task tell each other beside the commands.
#[derive(Debug)]
struct Shared {
    /// A settlement was sent: the task sees it through although the draft is gone.
    settling: AtomicBool,
    /// The message is settled: nothing more is taken.
    settled: AtomicBool,
    /// It may be settled or not: nothing more is taken before that is known.
    in_doubt: AtomicBool,
    failure: Mutex<Option<PersistError>>,
    /// A permit for each byte that may wait.
    room: Semaphore,
}

impl Shared {
    fn new() -> Self {
        Self {
            settling: AtomicBool::new(false),
            settled: AtomicBool::new(false),
            in_doubt: AtomicBool::new(false),
            failure: Mutex::new(None),
            room: Semaphore::new(MAX_WAITING as usize),
        }
    }

    fn failure(&self) -> Option<PersistError> {
        self.failure.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Keeps why nothing can be written any more, and lets nobody wait for room.
    fn fail(&self, error: PersistError) {
        *self.failure.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
        self.room.close();
    }

    fn settle(&self) {
        self.settled.store(true, Ordering::Release);
        self.room.close();
    }

    fn give_room(&self, room: u64) {
        self.room.add_permits(usize::try_from(room).unwrap_or(0));
    }
}

impl Draft {
    /// The id of the message, for every event that is streamed to a client.
    #[must_use]
    pub const fn id(&self) -> &MessageId {
        &self.message.id
    }

    /// The thread of the message.
    #[must_use]
    pub const fn thread(&self) -> &ThreadId {
        &self.message.thread
    }

    /// The message as it was reserved.
    #[must_use]
    pub const fn reserved(&self) -> &Message {
        &self.message
    }

    /// Whether an earlier call with the same idempotency key had reserved it. Somebody else may be writing it then;
    /// whoever comes second is refused as `Stale`.
    #[must_use]
    pub const fn deduplicated(&self) -> bool {
        self.deduplicated
    }

    /// Bytes given to this draft so far, committed or not.
    #[must_use]
    pub const fn streamed_bytes(&self) -> u64 {
        self.streamed
    }

    /// What is durable of it.
    #[must_use]
    pub fn committed(&self) -> Watermark {
        *self.watermark.borrow()
    }

    /// Follows what is durable of it.
    #[must_use]
    pub fn watch(&self) -> watch::Receiver<Watermark> {
        self.watermark.clone()
    }

    /// Appends text. Returns when it is taken over, which is before it is durable: see [`flush`](Self::flush) and
    /// [`committed`](Self::committed). Waits while too much is waiting to be written.
    ///
    /// # Errors
    /// What made an earlier write impossible for good: the message was deleted, settled by somebody else, or grew
    /// beyond a limit. A failure that passes with time is repeated by the draft and not answered here, but for one: while it
    /// cannot be found out whether [`finish`](Self::finish) or [`abandon`](Self::abandon) has settled the message, nothing more is taken.
    ///
    /// # Cancel safety
    /// Dropped before it returns, nothing is appended.
    pub async fn append(&mut self, text: impl Into<String>) -> Result<()> {
        self.change(ContentChange::Append(Delta::Text(text.into()))).await
    }

    /// Appends blocks.
    ///
    /// # Errors
    /// As [`append`](Self::append).
    pub async fn append_blocks(&mut self, blocks: Content) -> Result<()> {
        self.change(ContentChange::Append(Delta::Blocks(blocks))).await
    }

    /// Replaces everything so far, for a writer that holds whole snapshots. A replacement that is still waiting when
    /// the next one comes is not written at all.
    ///
    /// # Errors
    /// As [`append`](Self::append).
    pub async fn replace(&mut self, content: Content) -> Result<()> {
        self.change(ContentChange::Replace(content)).await
    }

    async fn change(&mut self, change: ContentChange) -> Result<()> {
        self.check_open()?;
        if self.shared.settling.load(Ordering::Acquire) || self.shared.in_doubt.load(Ordering::Acquire) {
            self.see_settled().await?;
            self.check_open()?;
        }
        if change.is_none() {
            return Ok(());
        }
        let bytes = change.byte_len() as u64;
        // One change larger than all the room waits until nothing else does.
        let room = u32::try_from(taken(bytes)).unwrap_or(MAX_WAITING);
        let Ok(permit) = self.shared.room.acquire_many(room).await else { return Err(self.gone()) };
        let Ok(place) = self.commands.reserve().await else { return Err(self.gone()) };
        permit.forget();
        place.send(Command::Change(change));
        self.streamed += bytes;
        Ok(())
    }

    /// Writes what is waiting and returns when it is durable.
    ///
    /// # Errors
    /// What the write answered. A transient failure leaves everything waiting, to be written later.
    pub async fn flush(&mut self) -> Result<Watermark> {
        self.check_failure()?;
        let (reply, answer) = oneshot::channel();
        self.send(Command::Flush(reply)).await?;
        match answer.await {
            Ok(answer) => answer,
            Err(_) => Err(self.gone()),
        }
    }

    /// Writes what is waiting and completes the message, in one write where possible.
    ///
    /// # Errors
    /// What the write answered. After a transient failure the draft is as it was: finish it again. Where the outcome is unknown
    /// the next call finds it out, and makes the write again if it was not applied.
    ///
    /// # Cancel safety
    /// Dropped after it was polled, the draft may be finished or not; finishing it again answers truly.
    pub async fn finish(&mut self) -> Result<ContentUpdated> {
        self.settle(Settlement::Finish).await
    }

    /// Writes what is waiting and gives the message up, saying why. After a failure that does not pass, what was
    /// waiting is left out: the message is settled with what is committed.
    ///
    /// # Errors
    /// As [`finish`](Self::finish).
    ///
    /// # Cancel safety
    /// As [`finish`](Self::finish).
    pub async fn abandon(&mut self, reason: impl Into<String>) -> Result<ContentUpdated> {
        self.settle(Settlement::Abandon(reason.into())).await
    }

    async fn settle(&mut self, settlement: Settlement) -> Result<ContentUpdated> {
        if matches!(settlement, Settlement::Finish) {
            self.check_failure()?;
        }
        let (reply, answer) = oneshot::channel();
        let Ok(place) = self.commands.reserve().await else { return Err(self.gone()) };
        self.shared.settling.store(true, Ordering::Release);
        place.send(Command::Settle(settlement, reply));
        let answer = answer.await.unwrap_or_else(|_| Err(self.gone()));
        if answer.is_err() {
            // Nothing is being settled any more: dropping the draft now stops it at once.
            self.shared.settling.store(false, Ordering::Release);
        }
        answer
    }

    /// Finds out what became of a settlement whose caller left, or that was answered with an unknown outcome.
    async fn see_settled(&self) -> Result<()> {
        let (reply, answer) = oneshot::channel();
        self.send(Command::Flush(reply)).await?;
        let flushed = answer.await.map_err(|_| self.gone())?;
        self.shared.settling.store(false, Ordering::Release);
        match flushed {
            Err(error) if self.shared.in_doubt.load(Ordering::Acquire) => {
                Err(error.with_effect(Effect::NotApplied))
            }
            // Of a settlement that is not in doubt it says nothing: a failure that does not pass is kept, and any other leaves
            // the draft open.
            _ => Ok(()),
        }
    }

    async fn send(&self, command: Command) -> Result<()> {
        self.commands.send(command).await.map_err(|_| self.gone())
    }

    fn check_failure(&self) -> Result<()> {
        self.shared.failure().map_or(Ok(()), Err)
    }

    /// Refuses content that comes after the end.
    fn check_open(&self) -> Result<()> {
        self.check_failure()?;
        if self.shared.settled.load(Ordering::Acquire) {
            return Err(PersistError::new(ErrorKind::Stale, "the draft is settled already")
                .with_effect(Effect::NotApplied)
                .at_the_edge(OpKind::UpdateContent)
                .about(&self.message.thread, &self.message.id));
        }
        Ok(())
    }

    /// Why the task of the draft takes nothing any more.
    fn gone(&self) -> PersistError {
        self.check_open().err().unwrap_or_else(|| {
            PersistError::new(
                ErrorKind::Cancelled,
                "the runtime of the pipeline ended before the draft was written",
            )
            .with_effect(Effect::Unknown)
            .at_the_edge(OpKind::UpdateContent)
            .about(&self.message.thread, &self.message.id)
        })
    }
}

impl fmt::Debug for Draft {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Draft")
            .field("thread", &self.message.thread)
            .field("id", &self.message.id)
            .field("streamed", &self.streamed)
            .field("committed", &self.committed())
            .finish_non_exhaustive()
    }
}
