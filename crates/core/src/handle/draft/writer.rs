//! The task that writes a draft: one write at a time, none after the end.

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
    pending::{Pending, Piece},
};
use crate::{
    Effect, ErrorKind, Message, MessageId, MessageState, OpKind, PersistError, Persistence, ReadArgs,
    ReadResult, Result, Revision, Site, ThreadId,
    backend::Length,
    context::Extensions,
    operation::{ContentChange, ContentUpdated, GetMessage, Reserved, UpdateContent, UpdateMode},
    request::{BufferedBytes, ContentLimit},
};

/// How many changes may wait for the writer before an append waits too.
const CHANGES: usize = 256;

/// How many requests may: one, and those whose callers left.
const WANTS: usize = 4;

/// What a caller waits for, and until when.
pub(super) enum Want {
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
    let (wants, requests) = mpsc::channel(WANTS);
    let (publish, watermark) = watch::channel(Watermark { bytes: 0, revision: message.revision });
    let shared = Arc::new(Shared::new(db.live_drafts().register(&message)));
    let renew_every = message.lease.map(|lease| lease.duration / 3);
    let writer = Writer {
        thread: message.thread.clone(),
        id: message.id.clone(),
        revision: message.revision,
        pending: Pending::new(coalesce.bytes),
        doubtful: None,
        flush_at: None,
        not_before: None,
        renew_at: renew_every.and_then(|every| Instant::now().checked_add(every)),
        renew_every,
        settled: None,
        end_is_unknown: false,
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
        wants,
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
    /// What was taken and has not come here yet.
    inbox: mpsc::Receiver<ContentChange>,
    pending: Pending,
    /// A write whose outcome is not known yet. It stays as it was made, and nothing is written before it is settled.
    doubtful: Option<Attempt>,
    /// When what waits is written: set by the first change after a write, moved by none.
    flush_at: Option<Instant>,
    /// After a failure that passes: not before then, however much waits.
    not_before: Option<Instant>,
    renew_every: Option<Duration>,
    renew_at: Option<Instant>,
    settled: Option<ContentUpdated>,
    /// An end was attempted, and what became of it cannot be found out any more.
    end_is_unknown: bool,
    /// Bytes of what was given that were answered: durable, but for what a layer holds back.
    answered: u64,
    coalesce: Coalesce,
    publish: watch::Sender<Watermark>,
    shared: Arc<Shared>,
}

/// A write, exactly as it is made and made again.
#[derive(Debug, Clone)]
struct Attempt {
    piece: Piece,
    mode: UpdateMode,
}

impl Attempt {
    const fn partial(piece: Piece) -> Self {
        Self { piece, mode: UpdateMode::Partial }
    }

    fn renews_only(&self) -> bool {
        matches!(self.mode, UpdateMode::Partial) && self.piece.change.is_none()
    }

    const fn ends(&self) -> bool {
        !matches!(self.mode, UpdateMode::Partial)
    }

    /// The state of the message once it is done.
    const fn state(&self) -> MessageState {
        match self.mode {
            UpdateMode::Partial => MessageState::Streaming,
            UpdateMode::Final | UpdateMode::Edit => MessageState::Final,
            UpdateMode::Abandon { .. } => MessageState::Abandoned,
        }
    }
}

impl Writer {
    async fn run(mut self, mut wants: mpsc::Receiver<Want>) {
        loop {
            let flush_at = self.flush_at.max(self.flush_at.and(self.not_before));
            let renew_at = self.renew_at();
            // A caller who waits comes first: what it waits behind is one write at most, whose own deadline is earlier.
            tokio::select! {
                biased;
                want = wants.recv() => {
                    let Some(want) = want else { break };
                    // A draft that was dropped writes nothing more, unless it was being settled.
                    if wants.is_closed() && !self.shared.settling.load(Ordering::Acquire) {
                        break;
                    }
                    self.answer(want).await;
                }
                Some(change) = self.inbox.recv() => {
                    self.take_over(change);
                    let is_enough = self.pending.bytes() >= self.coalesce.bytes as u64;
                    if is_enough && self.not_before.is_none_or(|not_before| not_before <= Instant::now()) {
                        self.write_due().await;
                    }
                }
                () = at(flush_at) => self.write_due().await,
                () = at(renew_at) => self.renew().await,
            }
        }
        self.shared.end();
    }

    async fn answer(&mut self, want: Want) {
        // What its caller gave before comes before.
        while let Ok(change) = self.inbox.try_recv() {
            self.take_over(change);
        }
        match want {
            Want::Flush { until, reply } => drop(reply.send(self.flush(until).await)),
            Want::Settle { settlement, until, reply } => {
                let answer = self.settle(&settlement, until).await.map_err(|error| self.of_the_end(error));
                drop(reply.send(answer));
            }
        }
    }

    fn take_over(&mut self, change: ContentChange) {
        if self.settled.is_some() || self.shared.failure().is_some() {
            return;
        }
        self.pending.push(change);
        if self.flush_at.is_none() {
            // An interval too far off to be told never ends by itself.
            self.flush_at = Instant::now().checked_add(self.coalesce.interval);
        }
    }

    fn renew_at(&self) -> Option<Instant> {
        let is_open = self.settled.is_none() && self.shared.failure().is_none();
        // A write that is tried again renews the lease as well.
        let is_tried_again =
            self.not_before.is_some() && (self.doubtful.is_some() || !self.pending.is_empty());
        self.renew_at.filter(|_| is_open && !is_tried_again)
    }

    /// Makes one write of what waits. What waits beyond it is due as well, and comes after a caller who waits.
    async fn write_due(&mut self) {
        self.flush_at = None;
        if self.shared.failure().is_some() || self.settled.is_some() {
            return;
        }
        let until = self.db.deadline_from_now();
        // A failure that passes leaves everything waiting; any other is kept for the next caller.
        if self.resolve(until).await.is_err() {
            return;
        }
        if let Some(piece) = self.pending.pop()
            && self.write(Attempt::partial(piece), until).await.is_ok()
            && !self.pending.is_empty()
        {
            self.flush_at = Some(Instant::now());
        }
    }

    /// Writes everything that waits, in order.
    async fn flush(&mut self, until: Option<StdInstant>) -> Result<Watermark> {
        self.flush_at = None;
        if let Some(error) = self.shared.failure() {
            return Err(error);
        }
        if self.settled.is_none() {
            self.resolve(until).await?;
            while let Some(piece) = self.pending.pop() {
                self.write(Attempt::partial(piece), until).await?;
            }
        }
        Ok(*self.publish.borrow())
    }

    /// Writes everything that waits and settles the message with the last of it.
    async fn settle(&mut self, settlement: &Settlement, until: Option<StdInstant>) -> Result<ContentUpdated> {
        self.flush_at = None;
        self.resolve(until).await?;
        if let Some(error) = self.shared.failure() {
            match settlement {
                // It may have come about after this was asked for.
                Settlement::Finish => return Err(error),
                // What cannot be written must not stand in the way of giving up.
                Settlement::Abandon(_) => self.pending.clear(),
            }
        }
        while self.settled.is_none() {
            let piece = self.pending.pop().unwrap_or_else(Piece::nothing);
            let mode = if self.pending.is_empty() { settlement.mode() } else { UpdateMode::Partial };
            self.write(Attempt { piece, mode }, until).await?;
        }
        self.settled_as(settlement)
    }

    /// The error of a settlement says whether the message is settled, and not what became of a piece before the end.
    fn of_the_end(&self, error: PersistError) -> PersistError {
        let is_unknown = self.end_is_unknown || self.doubtful.as_ref().is_some_and(Attempt::ends);
        error.with_effect(if is_unknown { Effect::Unknown } else { Effect::NotApplied })
    }

    /// A settlement asked for twice is the same one, or a conflict with the first.
    fn settled_as(&self, settlement: &Settlement) -> Result<ContentUpdated> {
        match &self.settled {
            Some(settled) if settled.state == settlement.state() => Ok(settled.clone()),
            _ => Err(PersistError::new(ErrorKind::Stale, "the draft is settled already, in another way")
                .with_effect(Effect::NotApplied)
                .at_the_edge(OpKind::UpdateContent)
                .about(&self.thread, &self.id)),
        }
    }

    async fn renew(&mut self) {
        let until = self.db.deadline_from_now();
        let renewed = match self.resolve(until).await {
            Ok(()) if self.settled.is_none() => self.write(Attempt::partial(Piece::nothing()), until).await,
            resolved => resolved,
        };
        // A lease that could not be renewed is renewed as soon as the store takes writes again.
        let every = if renewed.is_ok() { self.renew_every } else { Some(self.retry_after()) };
        self.renew_at = every.and_then(|every| Instant::now().checked_add(every));
    }

    /// Makes the doubtful write again, as it was. Both are for the same revision, so at most one of them is applied.
    async fn resolve(&mut self, until: Option<StdInstant>) -> Result<()> {
        let resolved = self.resolve_doubt(until).await;
        self.note_doubt();
        resolved
    }

    /// Tells the draft whether it is unknown if the message is settled; what became known was told before.
    fn note_doubt(&self) {
        let ends = self.doubtful.as_ref().is_some_and(Attempt::ends);
        self.shared.in_doubt.store(ends, Ordering::Release);
    }

    async fn resolve_doubt(&mut self, until: Option<StdInstant>) -> Result<()> {
        let Some(attempt) = self.doubtful.take() else { return Ok(()) };
        let error = match self.attempt(&attempt, until).await {
            Ok(answer) => {
                self.done(&attempt, answer);
                return Ok(());
            }
            Err(error) => error,
        };
        if error.kind() == ErrorKind::Stale {
            return match self.look(until).await {
                // The first one was applied after all.
                Ok(Some((message, held))) if self.is_made_by(&message, &attempt) => {
                    self.done(&attempt, Answer { updated: as_updated(message), held });
                    Ok(())
                }
                Ok(found) => {
                    // At the one revision that both attempts were for stands somebody else's write: neither was applied.
                    let at_it = found.is_some_and(|(message, _)| message.revision == self.revision.next());
                    let effect = if at_it { Effect::NotApplied } else { Effect::Unknown };
                    self.end_is_unknown = attempt.ends() && !at_it;
                    Err(self.fail(error.with_effect(effect)))
                }
                Err(unread) => {
                    self.doubtful = Some(attempt);
                    Err(self.wait(unread.with_effect(Effect::Unknown)))
                }
            };
        }
        // What this attempt came to says nothing of the first one: it stays in doubt.
        if !lasts(&error) {
            self.doubtful = Some(attempt);
            return Err(self.wait(error.with_effect(Effect::Unknown)));
        }
        self.end_is_unknown = attempt.ends();
        Err(self.fail(error.with_effect(Effect::Unknown)))
    }

    /// Whether the message is what this write makes of it: one revision on, and in its state. A sweep, or whoever else
    /// gives the message up, gives another reason.
    fn is_made_by(&self, message: &Message, attempt: &Attempt) -> bool {
        message.revision == self.revision.next()
            && message.state == attempt.state()
            && match &attempt.mode {
                UpdateMode::Abandon { reason } => message.abandon_reason == *reason,
                UpdateMode::Partial | UpdateMode::Final | UpdateMode::Edit => true,
            }
    }

    /// Makes one write. Where the answer was lost, it is looked for at once; where time ran out, the store is given more
    /// of it.
    async fn write(&mut self, attempt: Attempt, until: Option<StdInstant>) -> Result<()> {
        let answer = self.attempt(&attempt, until).await;
        let taken = self.take(attempt, answer);
        self.note_doubt();
        match taken {
            Err(lost) if self.doubtful.is_some() && lost.kind() != ErrorKind::Timeout => {
                self.resolve(until).await.map_err(|_| lost)
            }
            taken => taken,
        }
    }

    async fn attempt(&self, attempt: &Attempt, until: Option<StdInstant>) -> Result<Answer> {
        let (thread, id) = (self.thread.clone(), self.id.clone());
        let update = UpdateContent::new(thread, id, attempt.piece.change.clone(), attempt.mode.clone());
        let reply = self.db.run(update.expecting(self.revision)).until(until).reply().await?;
        let held = held_back(&reply.extensions);
        Ok(Answer { updated: reply.output, held })
    }

    /// Takes note of what became of a write.
    fn take(&mut self, attempt: Attempt, answer: Result<Answer>) -> Result<()> {
        let error = match answer {
            Ok(answer) => {
                self.done(&attempt, answer);
                return Ok(());
            }
            Err(error) => error,
        };
        if attempt.renews_only() {
            // Whether it was applied makes no difference to the content, and the next one says the same.
            return Err(if lasts(&error) { self.fail(error) } else { error });
        }
        match (error.effect(), error.kind()) {
            (Effect::Unknown | Effect::Applied, _) => {
                self.doubtful = Some(attempt);
                Err(self.wait(error))
            }
            (Effect::NotApplied, ErrorKind::TooLarge) => match attempt.piece.part() {
                // Gathered text is written in the parts that it was given in.
                Ok((front, back)) => {
                    self.pending.put_back(back);
                    self.pending.put_back(front);
                    Ok(())
                }
                Err(_) => Err(self.fail(error)),
            },
            (Effect::NotApplied, _) if !lasts(&error) => {
                if !attempt.piece.change.is_none() {
                    self.pending.put_back(attempt.piece);
                }
                Err(self.wait(error))
            }
            (Effect::NotApplied, _) => Err(self.fail(error)),
        }
    }

    fn done(&mut self, attempt: &Attempt, Answer { updated, held }: Answer) {
        self.answered += attempt.piece.bytes;
        let durable = self.answered.saturating_sub(held);
        self.revision = updated.revision;
        self.renew_at = self.renew_every.and_then(|every| Instant::now().checked_add(every));
        self.not_before = None;
        self.shared.hinder(None);
        self.publish.send_modify(|mark| {
            mark.bytes = mark.bytes.max(durable);
            mark.revision = updated.revision;
        });
        self.shared.give_room(attempt.piece.room);
        if !matches!(attempt.mode, UpdateMode::Partial) {
            debug_assert!(self.pending.is_empty(), "nothing is taken while a settlement is in doubt");
            self.shared.settle();
            self.settled = Some(updated);
        }
    }

    /// The failure passes: everything waits for another time.
    fn wait(&mut self, error: PersistError) -> PersistError {
        let later = Instant::now().checked_add(self.retry_after());
        self.not_before = later;
        self.flush_at = later;
        self.shared.hinder(Some(error.clone()));
        error
    }

    fn retry_after(&self) -> Duration {
        self.coalesce.interval.clamp(RETRY_AFTER, RETRY_BY)
    }

    /// The failure does not pass: every caller from now on is told.
    fn fail(&mut self, error: PersistError) -> PersistError {
        self.shared.fail(error.clone());
        error
    }

    /// The message as it stands, and how much of it is held back.
    async fn look(&self, until: Option<StdInstant>) -> Result<Option<(Message, u64)>> {
        let get = GetMessage { thread: self.thread.clone(), id: self.id.clone() };
        let reply = self.db.run(ReadArgs::from(get)).until(until).reply().await?;
        let held = held_back(&reply.extensions);
        Ok(match reply.output {
            ReadResult::Get(message) => message.map(|message| (message, held)),
            _ => None,
        })
    }
}

fn held_back(extensions: &Extensions) -> u64 {
    extensions.get::<BufferedBytes>().map_or(0, |held| held.0 as u64)
}

/// What a write was answered with.
struct Answer {
    updated: ContentUpdated,
    /// Bytes of the message that a layer holds back still.
    held: u64,
}

/// A message as the answer to the write that made it so.
fn as_updated(message: Message) -> ContentUpdated {
    ContentUpdated {
        thread: message.thread,
        id: message.id,
        revision: message.revision,
        state: message.state,
        deduplicated: false,
    }
}

/// The shortest wait after a failure that passes, and the longest.
const RETRY_AFTER: Duration = Duration::from_millis(50);
const RETRY_BY: Duration = Duration::from_secs(1);

/// Whether a refusal lasts: the same write would be refused again, whatever becomes of the store. A store that has no space
/// takes writes again when something else was removed.
fn lasts(error: &PersistError) -> bool {
    let passes = error.kind().passes_with_time() || error.kind() == ErrorKind::StorageFull;
    error.effect() == Effect::NotApplied && (!passes || is_closed(error))
}

/// Whether the pipeline was closed, which does not pass.
fn is_closed(error: &PersistError) -> bool {
    error.kind() == ErrorKind::Unavailable && error.site() == Some(&Site::Edge)
}

async fn at(moment: Option<Instant>) {
    match moment {
        Some(moment) => sleep_until(moment).await,
        None => std::future::pending().await,
    }
}
