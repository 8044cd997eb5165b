//! The streaming writer: a stable id before the first token, appends that are coalesced and durable up to a published
//! watermark, one end.

mod attempt;
mod pending;
mod request;
mod shared;
mod writer;

use std::{
    borrow::Cow,
    fmt,
    future::{Future, poll_fn},
    pin::pin,
    sync::{Arc, atomic::Ordering},
    task::Poll,
    time::{Duration, Instant},
};

use tokio::sync::{mpsc, oneshot, watch};

pub use self::{
    attempt::{ReplyAttempt, ReplyAttemptRequest},
    request::DraftRequest,
};
use self::{
    pending::{MAX_WAITING, taken},
    shared::Shared,
    writer::{Settlement, Want},
};
use crate::{
    Content, Delta, Effect, ErrorKind, Message, MessageId, OpKind, PersistError, Persistence, Result,
    Revision, ThreadId,
    backend::Length,
    operation::{ContentChange, ContentUpdated},
    pipeline::{Deadline, Expired},
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
/// the message is renewed, and no sweep of this pipeline settles the message.
///
/// # When the store takes no writes
/// A disk that is full, a lock or a lost connection does not end a draft. It keeps what it has taken, at most 4 MiB, tries again
/// within a second of the last attempt, and says by its [watermark](Self::committed) what is durable. At the bound an
/// append waits, and is refused as [`Overloaded`](ErrorKind::Overloaded) when its deadline passes. Only a refusal that lasts
/// ends the draft: the message was deleted or settled, the caller may not write it, the pipeline was closed.
///
/// # Deadlines
/// The deadline of the handle that the draft was reserved on holds for each call as a whole, however many writes it makes.
///
/// Dropping it without either stops at once: what is committed stays, and the row is listed by
/// [`open_reservations`](crate::Persistence::open_reservations) until a sweep settles it.
pub struct Draft {
    message: Message,
    deduplicated: bool,
    db: Persistence,
    changes: mpsc::Sender<ContentChange>,
    wants: mpsc::Sender<Want>,
    watermark: watch::Receiver<Watermark>,
    shared: Arc<Shared>,
    streamed: u64,
    /// How long the content is with all that was taken, before any layer changes it. Counted only where there is a limit.
    length: Length,
    /// How long it may become.
    max_content_bytes: Option<u64>,
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

    /// Whether an earlier call with the same idempotency key had reserved it. Another writer may be at it then: the
    /// second of the two is refused as `Stale`.
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
    /// [`committed`](Self::committed). Waits while 4 MiB wait to be written, until its deadline.
    ///
    /// # Errors
    /// `TooLarge` where the content would exceed the limit that the stack or the store says. Nothing of the text is taken then,
    /// and the draft goes on: finish it with what it has. `Overloaded` where the deadline passes while too much waits; its source is
    /// what the store last answered. Otherwise what made an earlier write impossible for good: the message was deleted, settled
    /// by another writer, or grew beyond a limit of which nothing was said. A failure that passes is not answered here, but for one: while it
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
        let until = self.db.deadline_from_now();
        self.check_open()?;
        if self.shared.settling.load(Ordering::Acquire) || self.shared.in_doubt.load(Ordering::Acquire) {
            self.see_settled(until).await?;
            self.check_open()?;
        }
        if change.is_none() {
            return Ok(());
        }
        let length = self.max_content_bytes.map(|max| (self.length.after(&change), max));
        if let Some((length, max)) = length
            && length.bytes > max
        {
            let detail = format!("the content would have {} bytes, and {max} are allowed", length.bytes);
            return Err(self.refused(ErrorKind::TooLarge, detail));
        }
        let bytes = change.byte_len() as u64;
        // One change larger than all the room waits until nothing else does.
        let room = u32::try_from(taken(bytes)).unwrap_or(MAX_WAITING);
        let taken_over = async {
            let Ok(permit) = self.shared.room.acquire_many(room).await else { return Err(self.gone()) };
            let Ok(place) = self.changes.reserve().await else { return Err(self.gone()) };
            permit.forget();
            place.send(change);
            Ok(())
        };
        match self.by(until, taken_over).await {
            Ok(taken_over) => taken_over?,
            Err(Expired::Passed) => return Err(self.overloaded()),
            Err(Expired::RuntimeEnded) => return Err(self.gone()),
        }
        if let Some((length, _)) = length {
            self.length = length;
        }
        self.streamed += bytes;
        Ok(())
    }

    /// Writes what is waiting and returns when it is durable.
    ///
    /// # Errors
    /// What the write answered, by the deadline: `NotApplied` where it was refused, `Unknown` where it may be in the store. What
    /// was written before it is under the watermark. After a failure that passes everything else still waits, to be
    /// written later.
    ///
    /// # Cancel safety
    /// Dropped after it was polled, the draft writes what waits all the same.
    pub async fn flush(&mut self) -> Result<Watermark> {
        self.check_failure()?;
        let until = self.db.deadline_from_now();
        self.want(until, |reply| Want::Flush { until, reply }).await
    }

    /// Writes what is waiting and completes the message, in one write where possible.
    ///
    /// # Errors
    /// What the write answered, by the deadline. The effect is about the end: with `NotApplied` the message is open, and nothing that
    /// is still under way ends it; with `Unknown` it may be complete. After a failure that passes the draft is as it was: finish
    /// it again. Where the outcome is unknown the next call finds it out, and makes the write again if it was not applied.
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
        let until = self.db.deadline_from_now();
        let settling = &self.shared.settling;
        let want = |reply| {
            settling.store(true, Ordering::Release);
            Want::Settle { settlement, until, reply }
        };
        let answer = self.want(until, want).await;
        if answer.is_err() {
            // Nothing is being settled any more: dropping the draft now stops it at once.
            settling.store(false, Ordering::Release);
        }
        answer
    }

    /// Finds out what became of a settlement whose caller left, or that was answered with an unknown outcome.
    async fn see_settled(&self, until: Option<Instant>) -> Result<()> {
        let answer = self.ask(until, |reply| Want::Flush { until, reply }).await?;
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

    /// Asks the writer, which answers by the deadline.
    async fn want<T>(
        &self,
        until: Option<Instant>,
        want: impl FnOnce(oneshot::Sender<Result<T>>) -> Want,
    ) -> Result<T> {
        let answer = self.ask(until, want).await?;
        answer.await.unwrap_or_else(|_| Err(self.gone()))
    }

    async fn ask<T>(
        &self,
        until: Option<Instant>,
        want: impl FnOnce(oneshot::Sender<Result<T>>) -> Want,
    ) -> Result<oneshot::Receiver<Result<T>>> {
        match self.by(until, self.wants.reserve()).await {
            Ok(Ok(place)) => {
                let (reply, answer) = oneshot::channel();
                place.send(want(reply));
                Ok(answer)
            }
            Ok(Err(_)) | Err(Expired::RuntimeEnded) => Err(self.gone()),
            Err(Expired::Passed) => Err(self
                .refused(ErrorKind::Timeout, "the deadline passed before the writer of the draft was free")),
        }
    }

    /// What the future answers before the deadline. The timer is of the runtime of the pipeline: the caller may have any executor.
    async fn by<T>(&self, until: Option<Instant>, future: impl Future<Output = T>) -> Result<T, Expired> {
        let (mut deadline, mut future) = (until.map(Deadline::new), pin!(future));
        poll_fn(|cx| match (future.as_mut().poll(cx), &mut deadline) {
            (Poll::Ready(answer), _) => Poll::Ready(Ok(answer)),
            (Poll::Pending, Some(deadline)) => deadline.poll(self.db.in_flight(), cx).map(Err),
            (Poll::Pending, None) => Poll::Pending,
        })
        .await
    }

    fn check_failure(&self) -> Result<()> {
        self.shared.failure().map_or(Ok(()), Err)
    }

    /// Refuses content that comes after the end.
    fn check_open(&self) -> Result<()> {
        self.check_failure()?;
        if self.shared.settled.load(Ordering::Acquire) {
            return Err(self.refused(ErrorKind::Stale, "the draft is settled already"));
        }
        Ok(())
    }

    /// Too much waits to be written.
    fn overloaded(&self) -> PersistError {
        let error =
            self.refused(ErrorKind::Overloaded, format!("{MAX_WAITING} bytes wait to be written already"));
        match self.shared.obstacle() {
            Some(obstacle) => error.with_source(obstacle),
            None => error,
        }
    }

    fn refused(&self, kind: ErrorKind, detail: impl Into<Cow<'static, str>>) -> PersistError {
        PersistError::new(kind, detail)
            .with_effect(Effect::NotApplied)
            .at_the_edge(OpKind::UpdateContent)
            .about(&self.message.thread, &self.message.id)
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

impl Drop for Draft {
    fn drop(&mut self) {
        // Nothing is written any more, unless it is being settled.
        if !self.shared.settling.load(Ordering::Acquire) {
            self.shared.end();
        }
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
