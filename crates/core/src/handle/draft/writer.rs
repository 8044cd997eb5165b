//! The writer task of a draft: it makes one write at a time, and none after the settlement.

use std::{
    sync::{Arc, atomic::Ordering},
    time::{Duration, Instant as StdInstant},
};

use tokio::{
    sync::{mpsc, oneshot, watch},
    time::{Instant, sleep_until},
};

use super::{
    Coalesce, Draft, Shared, Watermark,
    flush_time::flush_time,
    pending::{Pending, PendingWrite},
};
use crate::{
    Effect, ErrorKind, Message, MessageId, MessageState, OpKind, PersistError, Persistence, ReadArgs,
    ReadResult, Result, Revision, Site, ThreadId,
    backend::Length,
    context::Extensions,
    operation::{ContentChange, ContentUpdated, GetMessage, Reserved, UpdateContent, UpdateMode},
    request::{BufferedBytes, ContentLimit},
};

/// The number of changes that can wait for the writer before an append waits.
const CHANGES: usize = 256;

/// The number of commands that can wait: one, and those of callers that left.
const COMMANDS: usize = 4;

/// A command of the draft to its writer, with the deadline of the caller.
pub(super) enum Command {
    Flush {
        until: Option<StdInstant>,
        reply: oneshot::Sender<Result<Watermark>>,
    },
    Settle {
        settlement: Settlement,
        until: Option<StdInstant>,
        reply: oneshot::Sender<Result<ContentUpdated>>,
    },
}

#[derive(Debug, Clone)]
pub(super) enum Settlement {
    Finish,
    Abandon(String),
}

impl Settlement {
    fn mode(&self) -> UpdateMode {
        match self {
            Self::Finish => UpdateMode::Final,
            Self::Abandon(reason) => UpdateMode::Abandon { reason: Some(reason.clone()) },
        }
    }

    const fn state(&self) -> MessageState {
        match self {
            Self::Finish => MessageState::Final,
            Self::Abandon(_) => MessageState::Abandoned,
        }
    }
}

pub(super) fn spawn(
    db: &Persistence,
    reserved: Reserved,
    limit: Option<ContentLimit>,
    coalesce: Coalesce,
) -> Draft {
    let Reserved { message, deduplicated } = reserved;
    let (changes, inbox) = mpsc::channel(CHANGES);
    let (commands, requests) = mpsc::channel(COMMANDS);
    let (publish, watermark) = watch::channel(Watermark { bytes: 0, revision: message.revision });
    let shared = Arc::new(Shared::new(db.live_drafts().register(&message), coalesce.bytes));
    let renew_every = message.lease.map(|lease| lease.duration / 3);
    let writer = Writer {
        thread: message.thread.clone(),
        id: message.id.clone(),
        revision: message.revision,
        pending: Pending::new(coalesce.bytes),
        uncertain: None,
        flush_at: None,
        not_before: None,
        renew_at: renew_every.and_then(|every| Instant::now().checked_add(every)),
        renew_every,
        settled: None,
        settlement_is_unknown: false,
        answered: 0,
        coalesce,
        inbox,
        publish,
        shared: Arc::clone(&shared),
        db: db.clone(),
    };
    db.spawn(writer.run(requests));
    let of_store = db.describe().capabilities().max_content_bytes;
    let max_content_bytes = limit.map(|limit| limit.0).into_iter().chain(of_store).min();
    let length = Length::settled(&message.content);
    let db = db.clone();
    Draft {
        message,
        deduplicated,
        db,
        changes,
        commands,
        watermark,
        shared,
        streamed: 0,
        length,
        max_content_bytes,
    }
}

struct Writer {
    db: Persistence,
    thread: ThreadId,
    id: MessageId,
    revision: Revision,
    /// The changes that the draft sent.
    inbox: mpsc::Receiver<ContentChange>,
    pending: Pending,
    /// A write with an unknown outcome. The writer repeats it unchanged, and writes nothing else before its outcome
    /// is known.
    uncertain: Option<Attempt>,
    /// The time of the next write. The first change after a write sets it; later changes do not move it.
    flush_at: Option<Instant>,
    /// After a transient error, the earliest time of the next attempt, however full the buffer is.
    not_before: Option<Instant>,
    renew_every: Option<Duration>,
    renew_at: Option<Instant>,
    settled: Option<ContentUpdated>,
    /// A settlement was attempted, and its outcome cannot be determined any more.
    settlement_is_unknown: bool,
    /// The appended bytes whose writes were answered. They are durable, except for bytes that a layer has buffered.
    answered: u64,
    coalesce: Coalesce,
    publish: watch::Sender<Watermark>,
    shared: Arc<Shared>,
}

/// One write, exactly as it is sent and repeated.
#[derive(Debug, Clone)]
struct Attempt {
    write: PendingWrite,
    mode: UpdateMode,
}

impl Attempt {
    const fn partial(write: PendingWrite) -> Self {
        Self { write, mode: UpdateMode::Partial }
    }

    fn renews_only(&self) -> bool {
        matches!(self.mode, UpdateMode::Partial) && self.write.change.is_none()
    }

    const fn ends(&self) -> bool {
        !matches!(self.mode, UpdateMode::Partial)
    }

    /// Returns the state of the message after the write.
    const fn state(&self) -> MessageState {
        match self.mode {
            UpdateMode::Partial => MessageState::Streaming,
            UpdateMode::Final | UpdateMode::Edit => MessageState::Final,
            UpdateMode::Abandon { .. } => MessageState::Abandoned,
        }
    }
}

impl Writer {
    async fn run(mut self, mut commands: mpsc::Receiver<Command>) {
        loop {
            let flush_at = self.flush_at.max(self.flush_at.and(self.not_before));
            let renew_at = self.renew_at();
            // A waiting caller comes first. It waits for at most one other write, whose deadline is earlier.
            tokio::select! {
                biased;
                command = commands.recv() => {
                    let Some(command) = command else { break };
                    // A dropped draft writes nothing, unless a settlement is in flight.
                    if commands.is_closed() && !self.shared.settling.load(Ordering::Acquire) {
                        break;
                    }
                    self.answer(command).await;
                }
                // The first change sets the time of the next write. The others wait in the channel, so that they do not wake this task.
                Some(change) = self.inbox.recv(), if self.flush_at.is_none() => {
                    self.buffer(change);
                    self.write_if_enough().await;
                }
                () = self.shared.early.notified(), if self.flush_at.is_some() => self.write_if_enough().await,
                () = at(flush_at) => self.write_due().await,
                () = at(renew_at) => self.renew().await,
            }
        }
        self.shared.end();
    }

    async fn answer(&mut self, command: Command) {
        // Content that the caller appended before the command comes first.
        self.receive();
        match command {
            Command::Flush { until, reply } => drop(reply.send(self.flush(until).await)),
            Command::Settle { settlement, until, reply } => {
                let answer =
                    self.settle(&settlement, until).await.map_err(|error| self.about_settlement(error));
                drop(reply.send(answer));
            }
        }
    }

    /// Moves every change that was sent to the buffer.
    fn receive(&mut self) {
        while let Ok(change) = self.inbox.try_recv() {
            self.buffer(change);
        }
    }

    /// Makes one write before its time, if there is enough to write.
    async fn write_if_enough(&mut self) {
        self.receive();
        let is_enough = self.pending.bytes() >= self.coalesce.bytes as u64;
        if is_enough && self.not_before.is_none_or(|not_before| not_before <= Instant::now()) {
            self.write_due().await;
        }
    }

    fn buffer(&mut self, change: ContentChange) {
        if self.settled.is_some() || self.shared.failure().is_some() {
            return;
        }
        self.pending.push(change);
        if self.flush_at.is_none() {
            // An interval beyond the range of `Instant` never ends by itself.
            self.flush_at = flush_time(Instant::now(), self.coalesce.interval);
        }
    }

    fn renew_at(&self) -> Option<Instant> {
        let is_open = self.settled.is_none() && self.shared.failure().is_none();
        // A repeated write also renews the lease.
        let is_tried_again =
            self.not_before.is_some() && (self.uncertain.is_some() || !self.pending.is_empty());
        self.renew_at.filter(|_| is_open && !is_tried_again)
    }

    /// Makes one write from the buffer. If more is due, it comes after the command of a waiting caller.
    async fn write_due(&mut self) {
        self.receive();
        self.flush_at = None;
        if self.shared.failure().is_some() || self.settled.is_some() {
            return;
        }
        let until = self.db.deadline_from_now();
        // A transient error leaves the buffer unchanged. Any other error is kept for the next caller.
        if self.resolve(until).await.is_err() {
            return;
        }
        if let Some(write) = self.pending.pop()
            && self.write(Attempt::partial(write), until).await.is_ok()
            && !self.pending.is_empty()
        {
            self.flush_at = Some(Instant::now());
        }
    }

    /// Writes the whole buffer in order.
    async fn flush(&mut self, until: Option<StdInstant>) -> Result<Watermark> {
        self.flush_at = None;
        if let Some(error) = self.shared.failure() {
            return Err(error);
        }
        if self.settled.is_none() {
            self.resolve(until).await?;
            while let Some(write) = self.pending.pop() {
                self.write(Attempt::partial(write), until).await?;
            }
        }
        Ok(*self.publish.borrow())
    }

    /// Writes the whole buffer and settles the message with the last write.
    async fn settle(&mut self, settlement: &Settlement, until: Option<StdInstant>) -> Result<ContentUpdated> {
        self.flush_at = None;
        self.resolve(until).await?;
        if let Some(error) = self.shared.failure() {
            match settlement {
                // The error may be newer than the command.
                Settlement::Finish => return Err(error),
                // Content that cannot be written must not prevent the abandonment.
                Settlement::Abandon(_) => self.pending.clear(),
            }
        }
        while self.settled.is_none() {
            let write = self.pending.pop().unwrap_or_else(PendingWrite::empty);
            let mode = if self.pending.is_empty() { settlement.mode() } else { UpdateMode::Partial };
            self.write(Attempt { write, mode }, until).await?;
        }
        self.settled_as(settlement)
    }

    /// Sets the effect of a settlement's error to the settlement itself, not to a write before it.
    fn about_settlement(&self, error: PersistError) -> PersistError {
        let is_unknown = self.settlement_is_unknown || self.uncertain.as_ref().is_some_and(Attempt::ends);
        error.with_effect(if is_unknown { Effect::Unknown } else { Effect::NotApplied })
    }

    /// Answers a repeated settlement: the same one, or a conflict with the first one.
    fn settled_as(&self, settlement: &Settlement) -> Result<ContentUpdated> {
        match &self.settled {
            Some(settled) if settled.state == settlement.state() => Ok(settled.clone()),
            _ => Err(PersistError::new(ErrorKind::Stale, "the draft is already settled, in another way")
                .with_effect(Effect::NotApplied)
                .at_the_edge(OpKind::UpdateContent)
                .about(&self.thread, &self.id)),
        }
    }

    async fn renew(&mut self) {
        let until = self.db.deadline_from_now();
        let renewed = match self.resolve(until).await {
            Ok(()) if self.settled.is_none() => {
                self.write(Attempt::partial(PendingWrite::empty()), until).await
            }
            resolved => resolved,
        };
        // A lease that could not be renewed is renewed as soon as the store accepts writes again.
        let every = if renewed.is_ok() { self.renew_every } else { Some(self.retry_after()) };
        self.renew_at = every.and_then(|every| Instant::now().checked_add(every));
    }

    /// Repeats the uncertain write unchanged. Both attempts expect the same revision, so at most one of them is
    /// applied.
    async fn resolve(&mut self, until: Option<StdInstant>) -> Result<()> {
        let resolved = self.repeat_uncertain(until).await;
        self.publish_uncertainty();
        resolved
    }

    /// Publishes whether the outcome of a settlement is unknown.
    fn publish_uncertainty(&self) {
        let ends = self.uncertain.as_ref().is_some_and(Attempt::ends);
        self.shared.in_doubt.store(ends, Ordering::Release);
    }

    async fn repeat_uncertain(&mut self, until: Option<StdInstant>) -> Result<()> {
        let Some(attempt) = self.uncertain.take() else { return Ok(()) };
        let error = match self.attempt(&attempt, until).await {
            Ok(answer) => {
                self.done(&attempt, answer);
                return Ok(());
            }
            Err(error) => error,
        };
        if error.kind() == ErrorKind::Stale {
            return match self.read_message(until).await {
                // The first attempt was applied.
                Ok(Some((message, buffered))) if self.is_result_of(&message, &attempt) => {
                    self.done(&attempt, Answer { updated: as_updated(message), buffered });
                    Ok(())
                }
                Ok(found) => {
                    // If another writer made the next revision, neither attempt was applied.
                    let is_next = found.is_some_and(|(message, _)| message.revision == self.revision.next());
                    let effect = if is_next { Effect::NotApplied } else { Effect::Unknown };
                    self.settlement_is_unknown = attempt.ends() && !is_next;
                    Err(self.fail(error.with_effect(effect)))
                }
                Err(failed_read) => {
                    self.uncertain = Some(attempt);
                    Err(self.wait(failed_read.with_effect(Effect::Unknown)))
                }
            };
        }
        // The result of this attempt says nothing about the first one, whose outcome stays unknown.
        if !is_permanent(&error) {
            self.uncertain = Some(attempt);
            return Err(self.wait(error.with_effect(Effect::Unknown)));
        }
        self.settlement_is_unknown = attempt.ends();
        Err(self.fail(error.with_effect(Effect::Unknown)))
    }

    /// Whether this write produced the present message: the next revision, in the state of the write. The recovery of
    /// expired drafts, or another caller that abandons the message, gives another reason.
    fn is_result_of(&self, message: &Message, attempt: &Attempt) -> bool {
        message.revision == self.revision.next()
            && message.state == attempt.state()
            && match &attempt.mode {
                UpdateMode::Abandon { reason } => message.abandon_reason == *reason,
                UpdateMode::Partial | UpdateMode::Final | UpdateMode::Edit => true,
            }
    }

    /// Makes one write. If the answer was lost, it determines the outcome at once. After a timeout, the store gets
    /// more time first.
    async fn write(&mut self, attempt: Attempt, until: Option<StdInstant>) -> Result<()> {
        let answer = self.attempt(&attempt, until).await;
        let recorded = self.record(attempt, answer);
        self.publish_uncertainty();
        match recorded {
            Err(lost) if self.uncertain.is_some() && lost.kind() != ErrorKind::Timeout => {
                self.resolve(until).await.map_err(|_| lost)
            }
            recorded => recorded,
        }
    }

    async fn attempt(&self, attempt: &Attempt, until: Option<StdInstant>) -> Result<Answer> {
        let (thread, id) = (self.thread.clone(), self.id.clone());
        let update = UpdateContent::new(thread, id, attempt.write.change.clone(), attempt.mode.clone());
        let reply = self.db.run(update.expecting(self.revision)).until(until).reply().await?;
        let buffered = buffered_bytes(&reply.extensions);
        Ok(Answer { updated: reply.output, buffered })
    }

    /// Records the outcome of a write.
    fn record(&mut self, attempt: Attempt, answer: Result<Answer>) -> Result<()> {
        let error = match answer {
            Ok(answer) => {
                self.done(&attempt, answer);
                return Ok(());
            }
            Err(error) => error,
        };
        if attempt.renews_only() {
            // The outcome makes no difference to the content, and the next renewal has the same effect.
            return Err(if is_permanent(&error) { self.fail(error) } else { error });
        }
        match (error.effect(), error.kind()) {
            (Effect::Unknown | Effect::Applied, _) => {
                self.uncertain = Some(attempt);
                Err(self.wait(error))
            }
            (Effect::NotApplied, ErrorKind::TooLarge) => match attempt.write.split() {
                // Coalesced text is written in smaller parts.
                Ok((front, back)) => {
                    self.pending.put_back(back);
                    self.pending.put_back(front);
                    Ok(())
                }
                Err(_) => Err(self.fail(error)),
            },
            (Effect::NotApplied, _) if !is_permanent(&error) => {
                if !attempt.write.change.is_none() {
                    self.pending.put_back(attempt.write);
                }
                Err(self.wait(error))
            }
            (Effect::NotApplied, _) => Err(self.fail(error)),
        }
    }

    fn done(&mut self, attempt: &Attempt, Answer { updated, buffered }: Answer) {
        self.answered += attempt.write.bytes;
        let durable = self.answered.saturating_sub(buffered);
        self.revision = updated.revision;
        self.renew_at = self.renew_every.and_then(|every| Instant::now().checked_add(every));
        self.not_before = None;
        self.shared.set_transient_error(None);
        self.publish.send_modify(|mark| {
            mark.bytes = mark.bytes.max(durable);
            mark.revision = updated.revision;
        });
        self.shared.release(attempt.write.permits);
        if !matches!(attempt.mode, UpdateMode::Partial) {
            debug_assert!(self.pending.is_empty(), "the draft takes nothing while a settlement is uncertain");
            self.shared.settle();
            self.settled = Some(updated);
        }
    }

    /// Handles a transient error: the buffer waits for the next attempt.
    fn wait(&mut self, error: PersistError) -> PersistError {
        let later = Instant::now().checked_add(self.retry_after());
        self.not_before = later;
        self.flush_at = later;
        self.shared.set_transient_error(Some(error.clone()));
        error
    }

    fn retry_after(&self) -> Duration {
        self.coalesce.interval.clamp(MIN_RETRY, MAX_RETRY)
    }

    /// Handles a permanent error: every later call fails with it.
    fn fail(&mut self, error: PersistError) -> PersistError {
        self.shared.fail(error.clone());
        error
    }

    /// Reads the message, and the number of its bytes that a layer has buffered.
    async fn read_message(&self, until: Option<StdInstant>) -> Result<Option<(Message, u64)>> {
        let get = GetMessage { thread: self.thread.clone(), id: self.id.clone() };
        let reply = self.db.run(ReadArgs::from(get)).until(until).reply().await?;
        let buffered = buffered_bytes(&reply.extensions);
        Ok(match reply.output {
            ReadResult::Get(message) => message.map(|message| (message, buffered)),
            _ => None,
        })
    }
}

fn buffered_bytes(extensions: &Extensions) -> u64 {
    extensions.get::<BufferedBytes>().map_or(0, |buffered| buffered.0 as u64)
}

/// The answer to a write.
struct Answer {
    updated: ContentUpdated,
    /// The bytes of the message that a layer has buffered.
    buffered: u64,
}

/// Returns the answer of the write that produced this message.
fn as_updated(message: Message) -> ContentUpdated {
    ContentUpdated {
        thread: message.thread,
        id: message.id,
        revision: message.revision,
        state: message.state,
        deduplicated: false,
    }
}

/// The shortest and the longest wait after a transient error.
const MIN_RETRY: Duration = Duration::from_millis(50);
const MAX_RETRY: Duration = Duration::from_secs(1);

/// Whether an error is permanent: the same write would be refused again, whatever state the store is in. A full store
/// accepts writes again after other data was removed, so that error is transient.
fn is_permanent(error: &PersistError) -> bool {
    let passes = error.kind().passes_with_time() || error.kind() == ErrorKind::StorageFull;
    error.effect() == Effect::NotApplied && (!passes || is_closed(error))
}

/// Whether the pipeline was closed, which is permanent.
fn is_closed(error: &PersistError) -> bool {
    error.kind() == ErrorKind::Unavailable && error.site() == Some(&Site::Edge)
}

async fn at(moment: Option<Instant>) {
    match moment {
        Some(moment) => sleep_until(moment).await,
        None => std::future::pending().await,
    }
}
