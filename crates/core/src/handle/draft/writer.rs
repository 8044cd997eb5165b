//! The task that writes a draft: one write at a time, none after the end.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
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
    ContentChange, ContentUpdated, Effect, ErrorKind, Extensions, GetMessage, HeldBack, Message, MessageId,
    MessageState, OpKind, PersistError, Persistence, ReadArgs, ReadResult, Reserved, Result, Revision, Site,
    ThreadId, UpdateContent, UpdateMode,
};

/// How many changes may wait for the task before an append waits too.
const QUEUE: usize = 256;

pub(super) enum Command {
    Change(ContentChange),
    Flush(oneshot::Sender<Result<Watermark>>),
    Settle(Settlement, oneshot::Sender<Result<ContentUpdated>>),
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

pub(super) fn spawn(db: &Persistence, reserved: Reserved, coalesce: Coalesce) -> Draft {
    let Reserved { message, deduplicated } = reserved;
    let (commands, inbox) = mpsc::channel(QUEUE);
    let (publish, watermark) = watch::channel(Watermark { bytes: 0, revision: message.revision });
    let shared = Arc::new(Shared::new());
    let lease = message.lease.map(|lease| lease.duration);
    let writer = Writer {
        thread: message.thread.clone(),
        id: message.id.clone(),
        revision: message.revision,
        pending: Pending::new(coalesce.bytes),
        doubtful: None,
        flush_at: None,
        not_before: None,
        renew_every: lease.map(|lease| lease / 3),
        renewed_at: Instant::now(),
        settled: None,
        answered: 0,
        coalesce,
        publish,
        shared: Arc::clone(&shared),
        db: db.clone(),
    };
    db.spawn(writer.run(inbox));
    Draft { message, deduplicated, commands, watermark, shared, streamed: 0 }
}

struct Writer {
    db: Persistence,
    thread: ThreadId,
    id: MessageId,
    revision: Revision,
    pending: Pending,
    /// A write whose outcome is not known yet. It stays as it was made, and nothing is written before it is settled.
    doubtful: Option<Attempt>,
    /// When what waits is written: set by the first change after a write, moved by none.
    flush_at: Option<Instant>,
    /// After a failure that passes: not before then, however much waits.
    not_before: Option<Instant>,
    renew_every: Option<Duration>,
    renewed_at: Instant,
    settled: Option<ContentUpdated>,
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
    async fn run(mut self, mut inbox: mpsc::Receiver<Command>) {
        loop {
            let flush_at = self.flush_at.max(self.flush_at.and(self.not_before));
            let renew_at = self.renew_at();
            tokio::select! {
                biased;
                command = inbox.recv() => {
                    let Some(command) = command else { break };
                    // A draft that was dropped writes nothing more, unless it was being settled.
                    if inbox.is_closed() && !self.shared.settling.load(Ordering::Acquire) {
                        break;
                    }
                    self.obey(command).await;
                }
                () = at(flush_at) => {
                    // A failure that passes leaves everything waiting; any other is kept for the next caller.
                    drop(self.flush().await);
                }
                () = at(renew_at) => self.renew().await,
            }
        }
        self.shared.room.close();
    }

    async fn obey(&mut self, command: Command) {
        match command {
            Command::Change(change) => {
                if self.settled.is_some() || self.shared.failure().is_some() {
                    return;
                }
                self.pending.push(change);
                if self.flush_at.is_none() {
                    // An interval too far off to be told never ends by itself.
                    self.flush_at = Instant::now().checked_add(self.coalesce.interval);
                }
                let may_write = self.not_before.is_none_or(|not_before| not_before <= Instant::now());
                if may_write && self.pending.bytes() >= self.coalesce.bytes as u64 {
                    drop(self.flush().await);
                }
            }
            Command::Flush(reply) => {
                let answer = self.flush().await;
                drop(reply.send(answer));
            }
            Command::Settle(settlement, reply) => {
                let answer = self.settle(&settlement).await;
                drop(reply.send(answer));
            }
        }
    }

    fn renew_at(&self) -> Option<Instant> {
        let every = self.renew_every?;
        let idle = self.settled.is_none() && self.shared.failure().is_none();
        idle.then(|| self.renewed_at + every)
    }

    /// Writes everything that waits, in order.
    async fn flush(&mut self) -> Result<Watermark> {
        self.flush_at = None;
        if let Some(error) = self.shared.failure() {
            return Err(error);
        }
        if self.settled.is_none() {
            self.resolve().await?;
            while let Some(piece) = self.pending.pop() {
                self.write(Attempt::partial(piece)).await?;
            }
        }
        Ok(*self.publish.borrow())
    }

    /// Writes everything that waits and settles the message with the last of it.
    async fn settle(&mut self, settlement: &Settlement) -> Result<ContentUpdated> {
        self.flush_at = None;
        self.resolve().await?;
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
            self.write(Attempt { piece, mode }).await?;
        }
        self.settled_as(settlement)
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
        // Lost renewals are made up for by the next one, a third of a lease later.
        if self.resolve().await.is_ok() && self.settled.is_none() {
            drop(self.write(Attempt::partial(Piece::nothing())).await);
        }
        self.renewed_at = Instant::now();
    }

    /// Makes the doubtful write again, as it was. Both are for the same revision, so at most one of them is applied.
    async fn resolve(&mut self) -> Result<()> {
        let resolved = self.resolve_doubt().await;
        self.note_doubt();
        resolved
    }

    /// Tells the draft whether it is unknown if the message is settled; what became known was told before.
    fn note_doubt(&self) {
        let ends = |attempt: &Attempt| !matches!(attempt.mode, UpdateMode::Partial);
        self.shared.in_doubt.store(self.doubtful.as_ref().is_some_and(ends), Ordering::Release);
    }

    async fn resolve_doubt(&mut self) -> Result<()> {
        let Some(attempt) = self.doubtful.take() else { return Ok(()) };
        let error = match self.attempt(&attempt).await {
            Ok(answer) => {
                self.done(&attempt, answer);
                return Ok(());
            }
            Err(error) => error,
        };
        if error.kind() == ErrorKind::Stale {
            return match self.look().await {
                // The first one was applied after all.
                Ok(Some((message, held))) if self.is_made_by(&message, &attempt) => {
                    self.done(&attempt, Answer { updated: as_updated(message), held });
                    Ok(())
                }
                Ok(found) => {
                    // At the one revision that both attempts were for stands somebody else's write: neither was applied.
                    let at_it = found.is_some_and(|(message, _)| message.revision == self.revision.next());
                    let effect = if at_it { Effect::NotApplied } else { Effect::Unknown };
                    Err(self.fail(error.with_effect(effect)))
                }
                Err(unread) => {
                    self.doubtful = Some(attempt);
                    Err(self.wait(unread))
                }
            };
        }
        // What this attempt came to says nothing of the first one: it stays in doubt.
        let lost = error.effect() != Effect::NotApplied;
        if lost || error.kind().passes_with_time() && !is_closed(&error) {
            self.doubtful = Some(attempt);
            return Err(self.wait(error));
        }
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
    async fn write(&mut self, attempt: Attempt) -> Result<()> {
        let answer = self.attempt(&attempt).await;
        let taken = self.take(attempt, answer);
        self.note_doubt();
        match taken {
            Err(lost) if self.doubtful.is_some() && lost.kind() != ErrorKind::Timeout => {
                self.resolve().await.map_err(|_| lost)
            }
            taken => taken,
        }
    }

    async fn attempt(&self, attempt: &Attempt) -> Result<Answer> {
        let (thread, id) = (self.thread.clone(), self.id.clone());
        let update = UpdateContent::new(thread, id, attempt.piece.change.clone(), attempt.mode.clone());
        let reply = self.db.run(update.expecting(self.revision)).reply().await?;
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
            let lost = !error.kind().passes_with_time() && error.effect() == Effect::NotApplied;
            return Err(if lost { self.fail(error) } else { error });
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
            (Effect::NotApplied, kind) if kind.passes_with_time() && !is_closed(&error) => {
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
        self.renewed_at = Instant::now();
        self.not_before = None;
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
        let later = Instant::now().checked_add(self.coalesce.interval.max(RETRY_AFTER));
        self.not_before = later;
        self.flush_at = later;
        error
    }

    /// The failure does not pass: every caller from now on is told.
    fn fail(&mut self, error: PersistError) -> PersistError {
        self.shared.fail(error.clone());
        error
    }

    /// The message as it stands, and how much of it is held back.
    async fn look(&self) -> Result<Option<(Message, u64)>> {
        let get = GetMessage { thread: self.thread.clone(), id: self.id.clone() };
        let reply = self.db.run(ReadArgs::from(get)).reply().await?;
        let held = held_back(&reply.extensions);
        Ok(match reply.output {
            ReadResult::Get(message) => message.map(|message| (message, held)),
            _ => None,
        })
    }
}

fn held_back(extensions: &Extensions) -> u64 {
    extensions.get::<HeldBack>().map_or(0, |held| held.0 as u64)
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

/// The shortest wait after a failure that passes.
const RETRY_AFTER: Duration = Duration::from_millis(50);

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
