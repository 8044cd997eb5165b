//! A writer task: takes waiting writes, applies them in one transaction, answers after the commit.

use std::{
    pin::pin,
    time::{Duration, Instant},
};

use sqlx::{AssertSqlSafe, PgConnection};
use throughline_core::{
    Effect, ErrorKind, MessageId, PersistArgs, PersistError, Position, Result, changes::CommitNotifier,
};
use tokio::{
    sync::mpsc,
    time::{sleep, sleep_until, timeout_at},
};

use super::{
    Link,
    attempt::{Prepared, Unprepared, WriterState, Written, commit, prepare, roll_back},
    decide::Decided,
    link::in_time,
    optimistic::{Answer, Optimistic, applied_without_position},
    outcome::was_committed,
};
use crate::{
    error::{Failure, Phase, Reach},
    options::Settings,
    queue::{Committed, Pending},
    rows::{Loading, MintedIds, ThreadCache},
};

/// The most operations of a transaction, and the bytes after which it takes no more.
const MOST: usize = 512;
const LARGE: usize = 8 << 20;

/// How long the writer waits for as many operations as the last batch had. Timers of the runtime are no finer.
const GATHER_LIMIT: Duration = Duration::from_millis(1);

/// How long a notification waits while writes wait.
const NOTIFICATION_LIMIT: Duration = Duration::from_millis(5);

/// The shortest and the longest pause before a retry.
const PAUSE: Duration = Duration::from_millis(5);
const LONGEST_PAUSE: Duration = Duration::from_millis(500);

pub(super) struct Worker {
    settings: Settings,
    queue: mpsc::UnboundedReceiver<Pending>,
    commits: CommitNotifier,
    link: Link,
    state: WriterState,
    /// The last position that is not sent to other processes yet, and since when one waits.
    unsent: Option<(Position, Instant)>,
}

/// The result of an attempt.
enum Ended {
    /// Every operation was answered.
    Answered,
    /// Nothing was applied; these operations must be answered or retried.
    Failed(Vec<Pending>, Failure),
}

/// The result of a batch that one statement writes.
enum AtOnce {
    Ended(Ended),
    /// Nothing was applied, because something has changed: the connection and the operations.
    Stale(PgConnection, Vec<Pending>),
}

impl Worker {
    pub(super) fn new(
        settings: Settings,
        queue: mpsc::UnboundedReceiver<Pending>,
        commits: CommitNotifier,
    ) -> Self {
        let link = Link::new(settings.clone());
        let state = WriterState {
            name: MessageId::mint().as_str().to_owned(),
            batch: 0,
            fence_transaction_count: Some(0),
            threads: ThreadCache::default(),
            is_trim_due: false,
        };
        Self { settings, queue, commits, link, state, unsent: None }
    }

    /// Runs until the queue is closed and every operation is answered.
    pub(super) async fn run(mut self) {
        // Callers that were answered together often write again together.
        let mut batch_size = 1;
        while let Some(first) = self.queue.recv().await {
            let batch = self.gather(first, batch_size).await;
            batch_size = batch.len();
            self.apply(batch).await;
            self.send_notification().await;
        }
        self.link.close().await;
    }

    /// Takes the waiting operations. Callers that were answered together write again one after the other; a
    /// transaction for the first one alone would delay all others. So the writer waits once, for a millisecond,
    /// until there are as many operations as in the last batch.
    async fn gather(&mut self, first: Pending, batch_size: usize) -> Vec<Pending> {
        let until = Instant::now() + GATHER_LIMIT;
        let mut bytes = first.bytes;
        // A replication operation is a transaction of its own.
        let most = if matches!(first.write.args, PersistArgs::Replica(_)) { 1 } else { MOST };
        let mut batch = vec![first];
        while batch.len() < most && bytes < LARGE {
            let next = match self.queue.try_recv() {
                Ok(next) => next,
                Err(_) if batch.len() >= batch_size => break,
                Err(_) => match timeout_at(until.into(), self.queue.recv()).await {
                    Ok(Some(next)) => next,
                    Ok(None) | Err(_) => break,
                },
            };
            bytes += next.bytes;
            batch.push(next);
        }
        batch
    }

    /// Applies a batch. If it fails because of one operation, applies each operation by itself.
    async fn apply(&mut self, batch: Vec<Pending>) {
        let Some((batch, failure)) = self.settle(batch).await else { return };
        if failure.reach == Reach::Operation && batch.len() > 1 {
            for pending in batch {
                if let Some((batch, failure)) = self.settle(vec![pending]).await {
                    refuse(batch, &failure);
                }
            }
        } else {
            refuse(batch, &failure);
        }
    }

    /// Retries a batch until it is committed, times out, or fails for a permanent reason. Returns the unanswered
    /// operations and the failure.
    async fn settle(&mut self, mut batch: Vec<Pending>) -> Option<(Vec<Pending>, Failure)> {
        let mut pause = PAUSE;
        let mut last: Option<Failure> = None;
        loop {
            batch = without_the_late(batch, last.as_ref());
            if batch.is_empty() {
                return None;
            }
            match self.attempt(batch, last.as_ref()).await {
                Ended::Answered => return None,
                Ended::Failed(left, failure) if failure.passes => {
                    tracing::debug!(kind = %failure.kind, "a transaction is retried");
                    batch = left;
                    // Not longer than until the earliest deadline of the batch.
                    let again = Instant::now() + pause.mul_f64(0.5 + fastrand::f64());
                    sleep_until(soonest(&batch).map_or(again, |soonest| again.min(soonest)).into()).await;
                    pause = if failure.is_outage() { (pause * 2).min(LONGEST_PAUSE) } else { PAUSE };
                    last = Some(failure.after(last));
                }
                Ended::Failed(left, failure) => return Some((left, failure)),
            }
        }
    }

    /// Sends the notification of commits that sent none by themselves. While writes wait, the next commits have their turn first.
    async fn send_notification(&mut self) {
        let Some((position, since)) = self.unsent else { return };
        if !self.queue.is_empty() && since.elapsed() < NOTIFICATION_LIMIT {
            return;
        }
        self.unsent = None;
        let Some(mut db) = self.link.take() else { return };
        let sql = format!("SELECT pg_notify('{}', '{}')", crate::commits::CHANNEL, position.get());
        let sent = async { sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut db).await.map(drop) };
        // Without it, other processes read the position a second later.
        match in_time(self.settings.options.answer_limit, sent).await {
            Ok(()) => self.link.bring_back(db),
            Err(failure) => tracing::debug!(kind = %failure.kind, "a commit notification was not sent"),
        }
    }

    async fn attempt(&mut self, mut batch: Vec<Pending>, last: Option<&Failure>) -> Ended {
        if let Err(failure) = connect(&mut self.link, &mut batch, last).await {
            return Ended::Failed(batch, failure);
        }
        // Taken out of the link: if this task ends in the middle of the transaction, the connection closes.
        let Some(mut db) = self.link.take() else { return Ended::Failed(batch, Failure::lost()) };
        self.state.batch += 1;
        if let Some(fence_transaction_count) =
            self.state.fence_transaction_count.filter(|_| !self.state.is_trim_due)
            && let Some(optimistic) = Optimistic::decide(&self.settings, &mut self.state.threads, &batch)
        {
            match self.write_at_once(db, batch, optimistic, fence_transaction_count).await {
                AtOnce::Ended(ended) => return ended,
                // Decided again on loaded rows.
                AtOnce::Stale(same, left) => (db, batch) = (same, left),
            }
        }
        let mut prepared = self.prepare(&mut db, &batch, Loading::Together).await;
        if let (Err(failure), [_]) = (&prepared, &*batch)
            && failure.is_damage()
        {
            prepared = match roll_back(&self.settings, &mut db).await {
                Ok(()) => self.prepare(&mut db, &batch, Loading::OneByOne).await,
                Err(failure) => Err(failure),
            };
        }
        let Prepared { decided, written, cacheable } = match prepared {
            Ok(prepared) => prepared,
            Err(failure) => {
                let is_usable =
                    failure.reach != Reach::Connection && roll_back(&self.settings, &mut db).await.is_ok();
                if is_usable {
                    self.link.bring_back(db);
                }
                return Ended::Failed(batch, failure);
            }
        };
        let Some(uncommitted) = written else {
            if roll_back(&self.settings, &mut db).await.is_ok() {
                self.link.bring_back(db);
            }
            answer(batch, decided, None);
            return Ended::Answered;
        };
        self.link.set_timeline(uncommitted.written.timeline);
        for pending in &mut batch {
            pending.committing = true;
        }
        let committed = match commit(&self.settings, &mut db, &uncommitted).await {
            // Another server was promoted in the meantime: the store asks that one.
            Ok(()) if !self.link.is_current() => Err(Failure::lost()),
            committed => committed,
        };
        match committed {
            Ok(()) => self.link.bring_back(db),
            Err(failure) => {
                drop(db);
                match self.resolve().await {
                    Some(true) => {}
                    Some(false) => {
                        not_committing(&mut batch);
                        // The transaction was not committed, so it may be retried.
                        return Ended::Failed(batch, failure.retryable());
                    }
                    None => {
                        for pending in batch {
                            pending.answer(Err(failure.to_persist(Phase::Commit)));
                        }
                        return Ended::Answered;
                    }
                }
            }
        }
        // A transaction without changes deletes no old ones.
        self.state.is_trim_due &= uncommitted.written.taken == 0;
        self.unsent = None;
        if let Some(staged) = cacheable.filter(|_| Optimistic::is_possible(&self.settings)) {
            self.state.threads.keep(&staged);
        }
        self.committed(batch, decided, &uncommitted.written)
    }

    /// Answers the callers of a committed transaction.
    fn committed(&mut self, batch: Vec<Pending>, decided: Vec<Decided>, written: &Written) -> Ended {
        self.link.saw(written.last());
        self.commits.notify(written.last());
        answer(batch, decided, Some(written));
        Ended::Answered
    }

    /// Writes a batch with one statement, which commits by itself.
    async fn write_at_once(
        &mut self,
        mut db: PgConnection,
        mut batch: Vec<Pending>,
        mut optimistic: Optimistic,
        fence_transaction_count: u64,
    ) -> AtOnce {
        let since = self.settings.servers.before().position();
        for pending in &mut batch {
            pending.committing = true;
        }
        let answer =
            match optimistic.write(&self.settings, &mut db, &self.state, fence_transaction_count).await {
                // Another server was promoted in the meantime: the store asks that one.
                Answer::Committed(_) if !self.link.is_current() => Answer::Unknown(Failure::lost()),
                answer => answer,
            };
        let written = match answer {
            Answer::Committed(written) => {
                self.link.bring_back(db);
                written
            }
            Answer::Stale => {
                self.state.threads.forget(&optimistic.staged);
                not_committing(&mut batch);
                return AtOnce::Stale(db, batch);
            }
            Answer::Refused(failure) => {
                if failure.reach != Reach::Connection {
                    self.link.bring_back(db);
                }
                self.state.threads.forget(&optimistic.staged);
                not_committing(&mut batch);
                return AtOnce::Ended(Ended::Failed(batch, failure));
            }
            Answer::Unknown(failure) => {
                drop(db);
                self.state.threads.forget(&optimistic.staged);
                match self.resolve().await {
                    Some(true) => {}
                    Some(false) => {
                        not_committing(&mut batch);
                        return AtOnce::Ended(Ended::Failed(batch, failure.retryable()));
                    }
                    None => {
                        for pending in batch {
                            pending.answer(Err(failure.to_persist(Phase::Commit)));
                        }
                        return AtOnce::Ended(Ended::Answered);
                    }
                }
                let found = match self.link.get().await {
                    Ok(db) => optimistic.find(&self.settings, db, since).await,
                    // The fence transaction has shown that the statement was committed.
                    Err(_) => Err(applied_without_position()),
                };
                match found {
                    Ok(written) => written,
                    Err(error) => {
                        for pending in batch {
                            pending.answer(Err(error.clone()));
                        }
                        return AtOnce::Ended(Ended::Answered);
                    }
                }
            }
        };
        self.state.is_trim_due = written.is_trim_due();
        self.unsent = written.is_heard.then(|| {
            let since = self.unsent.map_or_else(Instant::now, |(_, since)| since);
            (written.last(), since)
        });
        let Optimistic { decided, staged, .. } = optimistic;
        self.state.threads.keep(&staged);
        AtOnce::Ended(self.committed(batch, decided, &written))
    }

    /// Runs everything except the commit. Minted ids are taken for new at first.
    async fn prepare(
        &mut self,
        db: &mut PgConnection,
        batch: &[Pending],
        loading: Loading,
    ) -> std::result::Result<Prepared, Failure> {
        let (settings, state) = (&self.settings, &mut self.state);
        let prepared = match prepare(settings, db, batch, (MintedIds::AreNew, loading), state).await {
            Err(Unprepared::KnownIds) => match roll_back(settings, db).await {
                Ok(()) => prepare(settings, db, batch, (MintedIds::MayBeKnown, loading), state).await,
                Err(failure) => Err(failure.into()),
            },
            prepared => prepared,
        };
        prepared.map_err(|unprepared| match unprepared {
            Unprepared::Failed(failure) => failure,
            // Every id was looked up, so none was assumed to be new: two hosts have declared metadata fields.
            Unprepared::KnownIds => Failure::lost(),
        })
    }

    /// Returns whether the last transaction was committed; `None` if that could not be determined in time.
    async fn resolve(&mut self) -> Option<bool> {
        let until = Instant::now() + self.settings.options.resolve_limit;
        let mut pause = PAUSE;
        loop {
            self.state.fence_transaction_count = None;
            let (name, batch) = (&*self.state.name, self.state.batch);
            match was_committed(&self.settings, &mut self.link, name, batch).await {
                Ok(fenced) => {
                    self.state.fence_transaction_count = Some(fenced.fence_transaction_count);
                    return Some(fenced.was_committed);
                }
                Err(failure) if Instant::now() + pause < until => {
                    tracing::debug!(kind = %failure.kind, "the outcome of a transaction is not known yet");
                    self.link.lose();
                    sleep(pause).await;
                    pause = (pause * 2).min(LONGEST_PAUSE);
                }
                Err(failure) => {
                    tracing::warn!(kind = %failure.kind, "the outcome of a transaction stays unknown");
                    self.link.lose();
                    return None;
                }
            }
        }
    }
}

fn soonest(batch: &[Pending]) -> Option<Instant> {
    batch.iter().map(|pending| pending.wait_until).min()
}

/// Connects while an operation waits. Meanwhile, answers operations whose deadline has passed.
async fn connect(
    link: &mut Link,
    batch: &mut Vec<Pending>,
    last: Option<&Failure>,
) -> std::result::Result<(), Failure> {
    let timed_out = Failure::timed_out();
    let mut connecting = pin!(link.get());
    while let Some(soonest) = soonest(batch) {
        match timeout_at(soonest.into(), connecting.as_mut()).await {
            Ok(connected) => return connected.map(drop),
            Err(_) => *batch = without_the_late(std::mem::take(batch), last.or(Some(&timed_out))),
        }
    }
    Err(timed_out)
}

/// Answers the operations that timed out, and drops those whose callers no longer wait.
fn without_the_late(batch: Vec<Pending>, last: Option<&Failure>) -> Vec<Pending> {
    let now = Instant::now();
    let mut left = Vec::with_capacity(batch.len());
    for pending in batch {
        if pending.is_abandoned() {
            continue;
        }
        if pending.wait_until > now {
            left.push(pending);
            continue;
        }
        let error = match last {
            Some(failure) => failure.to_persist(Phase::Before),
            None => {
                PersistError::new(ErrorKind::Overloaded, "the write timed out in the queue of the writer")
                    .with_effect(Effect::NotApplied)
            }
        };
        pending.answer(Err(error));
    }
    left
}

/// Records that no commit was sent for the operations, or that the sent one was not applied.
fn not_committing(batch: &mut [Pending]) {
    for pending in batch {
        pending.committing = false;
    }
}

fn refuse(batch: Vec<Pending>, failure: &Failure) {
    for pending in batch {
        pending.answer(Err(failure.to_persist(Phase::Before)));
    }
}

fn answer(batch: Vec<Pending>, decided: Vec<Decided>, written: Option<&Written>) {
    for (pending, Decided { outcome, events }) in batch.into_iter().zip(decided) {
        let position = events.zip(written).map(|(events, written)| written.position(events));
        let answer: Result<Committed> = outcome.map(|outcome| Committed { result: outcome.result, position });
        pending.answer(answer);
    }
}
