//! The streaming writer of a message: [`Draft`] buffers appends, and a task writes them to the store.

mod attempt;
mod flush_time;
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
    pending::{MAX_WAITING, permits_for},
    shared::Shared,
    writer::{Command, Settlement},
};
use crate::{
    Content, Delta, Effect, ErrorKind, Message, MessageId, OpKind, PersistError, Persistence, Result,
    Revision, ThreadId,
    backend::Length,
    operation::{ContentChange, ContentUpdated},
    pipeline::{Deadline, Expired},
};

/// The rule by which a [`Draft`] coalesces appends into writes. The first append after a write starts the interval;
/// later appends do not restart it. All drafts with the same interval write at the same times, four in each interval, so that their
/// writes share commits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Coalesce {
    /// The longest time that an append waits before the draft writes it. The first one waits for at least three quarters of it.
    pub interval: Duration,
    /// The number of buffered bytes at which the draft writes without waiting for the interval.
    pub bytes: usize,
}

impl Default for Coalesce {
    /// Returns an interval of 250 ms and a size of 16 KiB.
    fn default() -> Self {
        Self { interval: Duration::from_millis(250), bytes: 16 * 1024 }
    }
}

/// The durable part of a draft.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Watermark {
    /// The number of appended bytes that are durable. It never decreases; a replacement adds its own bytes.
    pub bytes: u64,
    /// The revision of the message at that commit.
    pub revision: Revision,
}

/// The writer of one open message, for streamed content.
///
/// [`append`](Self::append) buffers content in memory. A task of the draft writes the buffer to the store, one write
/// at a time, by the rule of [`Coalesce`], and publishes a [`Watermark`] after each write. [`finish`](Self::finish)
/// and [`abandon`](Self::abandon) write the rest of the buffer and settle the message; after that the draft writes
/// nothing.
///
/// While the draft exists, it renews the lease of the message after each third of the lease. The recovery of expired
/// drafts in this pipeline does not settle the message in that time.
///
/// # When the store accepts no writes
/// A full disk, a lock or a lost connection does not end a draft. The draft keeps its buffer, at most 4 MiB, and
/// tries again within one second of the last attempt. Its [watermark](Self::committed) shows what is durable. If the
/// buffer is full, an append waits, and fails as [`Overloaded`](ErrorKind::Overloaded) at its deadline. Only a
/// permanent refusal ends the draft: the message was deleted or settled, the caller may not write it, or the pipeline
/// was closed.
///
/// # Deadlines
/// The deadline of the handle that reserved the draft applies to each call on the draft as a whole, however many
/// writes the call makes. Without a deadline, a call waits until the store answers.
///
/// # Cancel safety and drop
/// Each call documents the effect of dropping its future. Dropping the draft itself without [`finish`](Self::finish)
/// or [`abandon`](Self::abandon) discards the buffer and ends the renewal of the lease. The committed content stays,
/// and [`open_reservations`](crate::Persistence::open_reservations) lists the message until the [recovery of expired
/// drafts](crate::Persistence::recover_expired_drafts) settles it.
pub struct Draft {
    message: Message,
    deduplicated: bool,
    db: Persistence,
    changes: mpsc::Sender<ContentChange>,
    commands: mpsc::Sender<Command>,
    watermark: watch::Receiver<Watermark>,
    shared: Arc<Shared>,
    streamed: u64,
    /// The length of the content with everything that was appended, before any layer changes it. Counted only if
    /// there is a limit.
    length: Length,
    /// The content limit in bytes, the lower one of the stack and the store.
    max_content_bytes: Option<u64>,
}

impl Draft {
    /// Returns the id of the message, for the events that are streamed to a client.
    #[must_use]
    pub const fn id(&self) -> &MessageId {
        &self.message.id
    }

    /// Returns the thread of the message.
    #[must_use]
    pub const fn thread(&self) -> &ThreadId {
        &self.message.thread
    }

    /// Returns the message as it was reserved.
    #[must_use]
    pub const fn reserved(&self) -> &Message {
        &self.message
    }

    /// Whether an earlier call with the same idempotency key had reserved the message. Then another writer may be
    /// writing it: the second one of the two is refused as `Stale`.
    #[must_use]
    pub const fn deduplicated(&self) -> bool {
        self.deduplicated
    }

    /// Returns the number of bytes appended to this draft, durable or not.
    #[must_use]
    pub const fn streamed_bytes(&self) -> u64 {
        self.streamed
    }

    /// Returns the durable part of the draft.
    #[must_use]
    pub fn committed(&self) -> Watermark {
        *self.watermark.borrow()
    }

    /// Returns a channel with the durable part of the draft, which changes after each write.
    #[must_use]
    pub fn watch(&self) -> watch::Receiver<Watermark> {
        self.watermark.clone()
    }

    /// Appends text to the buffer of the draft.
    ///
    /// It returns before the text is durable: see [`flush`](Self::flush) and [`committed`](Self::committed). It waits
    /// while the buffer is full, at most until the deadline of the handle. The buffer holds 4 MiB, and 256 changes
    /// that the writer has not received yet. One text larger than 4 MiB waits until the buffer is empty.
    ///
    /// # Errors
    /// `TooLarge` if the content would exceed the limit of the stack or the store, in bytes of JSON. The draft then
    /// takes nothing of the text and stays usable: finish it with its present content.
    ///
    /// `Overloaded` if the buffer is still full at the deadline; its source is the last error of the store. `Stale`
    /// if the draft was settled before. `Cancelled` if the runtime of the pipeline ended.
    ///
    /// Otherwise the permanent error of an earlier write: the message was deleted, was settled by another writer, or
    /// exceeded an undeclared limit. A transient error of a write is not reported here, with one exception: while the
    /// outcome of [`finish`](Self::finish) or [`abandon`](Self::abandon) is unknown, the draft takes no content, and
    /// the call fails with the error of the store.
    ///
    /// # Cancel safety
    /// If the future is dropped before it returns, nothing is appended.
    pub async fn append(&mut self, text: impl Into<String>) -> Result<()> {
        self.change(ContentChange::Append(Delta::Text(text.into()))).await
    }

    /// Appends content blocks. Otherwise it behaves like [`append`](Self::append).
    ///
    /// # Errors
    /// As for [`append`](Self::append).
    pub async fn append_blocks(&mut self, blocks: Content) -> Result<()> {
        self.change(ContentChange::Append(Delta::Blocks(blocks))).await
    }

    /// Replaces the whole content, for a writer that has complete snapshots. The draft does not write a replacement
    /// that is still buffered when the next one arrives.
    ///
    /// # Errors
    /// As for [`append`](Self::append).
    pub async fn replace(&mut self, content: Content) -> Result<()> {
        self.change(ContentChange::Replace(content)).await
    }

    async fn change(&mut self, change: ContentChange) -> Result<()> {
        let until = self.db.deadline_from_now();
        self.check_open()?;
        if self.shared.settling.load(Ordering::Acquire) || self.shared.in_doubt.load(Ordering::Acquire) {
            self.resolve_settlement(until).await?;
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
        // A change larger than the whole buffer waits until the buffer is empty.
        let permits = u32::try_from(permits_for(bytes)).unwrap_or(MAX_WAITING);
        let buffered = async {
            let Ok(permit) = self.shared.capacity.acquire_many(permits).await else {
                return Err(self.writer_ended());
            };
            let Ok(slot) = self.changes.reserve().await else { return Err(self.writer_ended()) };
            permit.forget();
            slot.send(change);
            self.shared.wake_if_due(self.changes.capacity() < self.changes.max_capacity() / 2);
            Ok(())
        };
        match self.by(until, buffered).await {
            Ok(buffered) => buffered?,
            Err(Expired::Passed) => return Err(self.overloaded()),
            Err(Expired::RuntimeEnded) => return Err(self.writer_ended()),
        }
        if let Some((length, _)) = length {
            self.length = length;
        }
        self.streamed += bytes;
        Ok(())
    }

    /// Writes the whole buffer and returns when it is durable.
    ///
    /// # Errors
    /// The error of the write, at the deadline at the latest. Its effect is `NotApplied` if the store refused the
    /// write, and `Unknown` if the store may have it. Writes before the failed one are below the watermark. After a
    /// transient error the rest stays in the buffer, and the draft writes it later. As for [`append`](Self::append),
    /// a permanent error of an earlier write fails this call.
    ///
    /// # Cancel safety
    /// If the future is dropped after it was polled, the draft still writes the buffer.
    pub async fn flush(&mut self) -> Result<Watermark> {
        self.check_failure()?;
        let until = self.db.deadline_from_now();
        self.command(until, |reply| Command::Flush { until, reply }).await
    }

    /// Writes the buffer and sets the state of the message to final, in one write if possible.
    ///
    /// # Errors
    /// The error of the write, at the deadline at the latest. Its effect is about the settlement. With `NotApplied`,
    /// the message is open, and no write in flight will settle it. With `Unknown`, the message may be final. After a
    /// transient error the draft is unchanged: call `finish` again. If the outcome was unknown, the next call
    /// determines it, and repeats the write if it was not applied.
    ///
    /// # Cancel safety
    /// If the future is dropped after it was polled, the message may become final. A second call to `finish` returns
    /// the actual outcome.
    pub async fn finish(&mut self) -> Result<ContentUpdated> {
        self.settle(Settlement::Finish).await
    }

    /// Writes the buffer and abandons the message, with a reason for people. After a permanent error, the draft
    /// discards its buffer and settles the message with its committed content.
    ///
    /// # Errors
    /// As for [`finish`](Self::finish).
    ///
    /// # Cancel safety
    /// As for [`finish`](Self::finish).
    pub async fn abandon(&mut self, reason: impl Into<String>) -> Result<ContentUpdated> {
        self.settle(Settlement::Abandon(reason.into())).await
    }

    async fn settle(&mut self, settlement: Settlement) -> Result<ContentUpdated> {
        if matches!(settlement, Settlement::Finish) {
            self.check_failure()?;
        }
        let until = self.db.deadline_from_now();
        let settling = &self.shared.settling;
        let command = |reply| {
            settling.store(true, Ordering::Release);
            Command::Settle { settlement, until, reply }
        };
        let answer = self.command(until, command).await;
        if answer.is_err() {
            // No settlement is in flight any more: dropping the draft now ends it at once.
            settling.store(false, Ordering::Release);
        }
        answer
    }

    /// Determines the outcome of a settlement whose caller left, or whose outcome was unknown.
    async fn resolve_settlement(&self, until: Option<Instant>) -> Result<()> {
        let answer = self.send(until, |reply| Command::Flush { until, reply }).await?;
        let flushed = answer.await.map_err(|_| self.writer_ended())?;
        self.shared.settling.store(false, Ordering::Release);
        match flushed {
            Err(error) if self.shared.in_doubt.load(Ordering::Acquire) => {
                Err(error.with_effect(Effect::NotApplied))
            }
            // The flush reports nothing about a settlement with a known outcome: the writer keeps a permanent error,
            // and any other error leaves the draft open.
            _ => Ok(()),
        }
    }

    /// Sends a command to the writer and waits for its answer, which arrives by the deadline.
    async fn command<T>(
        &self,
        until: Option<Instant>,
        command: impl FnOnce(oneshot::Sender<Result<T>>) -> Command,
    ) -> Result<T> {
        let answer = self.send(until, command).await?;
        answer.await.unwrap_or_else(|_| Err(self.writer_ended()))
    }

    async fn send<T>(
        &self,
        until: Option<Instant>,
        command: impl FnOnce(oneshot::Sender<Result<T>>) -> Command,
    ) -> Result<oneshot::Receiver<Result<T>>> {
        match self.by(until, self.commands.reserve()).await {
            Ok(Ok(slot)) => {
                let (reply, answer) = oneshot::channel();
                slot.send(command(reply));
                Ok(answer)
            }
            Ok(Err(_)) | Err(Expired::RuntimeEnded) => Err(self.writer_ended()),
            Err(Expired::Passed) => Err(self
                .refused(ErrorKind::Timeout, "the deadline passed before the writer of the draft was free")),
        }
    }

    /// Awaits a future until the deadline. The timer belongs to the runtime of the pipeline, so the caller can use
    /// any executor.
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

    /// Refuses content after the settlement or after a permanent error.
    fn check_open(&self) -> Result<()> {
        self.check_failure()?;
        if self.shared.settled.load(Ordering::Acquire) {
            return Err(self.refused(ErrorKind::Stale, "the draft is already settled"));
        }
        Ok(())
    }

    /// Returns the error of an append to a full buffer.
    fn overloaded(&self) -> PersistError {
        let error = self.refused(ErrorKind::Overloaded, format!("{MAX_WAITING} bytes wait to be written"));
        match self.shared.transient_error() {
            Some(source) => error.with_source(source),
            None => error,
        }
    }

    fn refused(&self, kind: ErrorKind, detail: impl Into<Cow<'static, str>>) -> PersistError {
        PersistError::new(kind, detail)
            .with_effect(Effect::NotApplied)
            .at_the_edge(OpKind::UpdateContent)
            .about(&self.message.thread, &self.message.id)
    }

    /// Returns the reason why the task of the draft has ended.
    fn writer_ended(&self) -> PersistError {
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
        // The writer stops, unless a settlement is in flight.
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
