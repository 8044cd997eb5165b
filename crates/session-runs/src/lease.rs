//! The lease of a run: kept alive while it is held, given back when it is not.

use std::{
    fmt,
    future::{Future, IntoFuture},
    sync::Arc,
    time::Duration,
};

use tokio::{
    sync::oneshot,
    time::{Instant, sleep_until, timeout_at},
};

use super::{
    Permit, Stop,
    retry::{repeated, repeated_unless},
    run::Shared,
};
use throughline_core::pipeline::Task;
use throughline_core::{
    Effect, ErrorKind, OpKind, PersistArgs, PersistError, PersistResult, Persistence, Result,
    ids::SessionId,
    messages::Batch,
    sessions::Failure,
    sessions::{
        BeginRun, CancelRun, ConfirmRun, FailRun, RenewRun, RunBegun, RunReport, SessionArgs, SessionChanged,
        SessionResult,
    },
};

/// A lease is renewed after this part of it.
const RENEWED_AFTER: u32 = 3;

/// A run whose lease could not be renewed is told to stop when this part of it is left.
const LEFT_TO_STOP: u32 = 6;

/// A run that was begun. Dropped before it was ended, it is cancelled by a task of the pipeline's, which keeps what it had learned
/// and lets the next one in line begin afterwards.
pub(super) struct Held {
    shared: Arc<Shared>,
    permit: Option<Permit>,
    beats: Task,
    over: bool,
}

/// Why a run was not begun, and its permit, where that was not lost.
pub(super) type NotBegun = (PersistError, Option<Permit>);

/// A run that is to be begun.
#[derive(Debug, Clone)]
pub(super) struct Start {
    pub(super) begin: BeginRun,
    /// How long it has when it is told to stop.
    pub(super) grace: Duration,
    /// The session that was refused, where it is begun for want of that.
    pub(super) refused: Option<SessionId>,
}

/// Begins a run. Whoever does not wait for the answer has begun nothing, or a run that is cancelled.
pub(super) async fn begin(db: &Persistence, start: Start, permit: Permit) -> Result<Held, NotBegun> {
    let task = begin_in_task(db.clone(), start, permit);
    in_task(db, task).await.unwrap_or_else(|ended| Err((ended, None)))
}

async fn begin_in_task(db: Persistence, start: Start, permit: Permit) -> Result<Held, NotBegun> {
    let asked = Instant::now();
    let begin = &start.begin;
    let is_busy = |error: &PersistError| error.kind() == ErrorKind::Busy;
    match repeated_unless(|key| db.on_session(begin.clone()).key(key), is_busy).await {
        Ok(begun) => {
            let lease = begin.lease;
            let shared = Arc::new(Shared::new(db, &start, begun));
            let beats = shared.db.spawn(beat(Arc::clone(&shared), lease, asked));
            Ok(Held { shared, permit: Some(permit), beats, over: false })
        }
        Err(error) => {
            if error.effect() != Effect::NotApplied {
                // It may have begun all the same.
                let BeginRun { agent, thread, attempt, .. } = start.begin;
                let cancel = CancelRun { agent, thread, attempt, report: RunReport::default() };
                let task = cancelled(db.clone(), cancel);
                drop(db.spawn(async move { drop(task.await) }));
            }
            Err((error, Some(permit)))
        }
    }
}

/// Sees work through in a task of the pipeline's, whether or not anybody waits for it.
async fn in_task<T: Send + 'static>(
    db: &Persistence,
    work: impl Future<Output = T> + Send + 'static,
) -> Result<T> {
    let (answer, done) = oneshot::channel();
    // What nobody takes is dropped, in the task.
    drop(db.spawn(async move { drop(answer.send(work.await)) }));
    done.await.map_err(|_| {
        let ended = PersistError::new(ErrorKind::Cancelled, "the runtime of the pipeline has ended");
        ended.with_effect(Effect::Unknown).at_the_edge(OpKind::Session)
    })
}

async fn cancelled(db: Persistence, cancel: CancelRun) -> Result<SessionChanged> {
    repeated(|key| db.on_session(cancel.clone()).key(key)).await
}

/// What became of the end of a run: what is kept, and the answers to its writes.
pub(super) struct Ended {
    /// Nothing where the runtime of the pipeline has ended.
    pub(super) held: Option<Held>,
    pub(super) answer: Result<(SessionChanged, Vec<PersistResult>)>,
}

impl Held {
    pub(super) const fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    /// The run is over: whoever is next may begin. Where it is not, it is cancelled first.
    pub(super) fn into_permit(mut self) -> Option<Permit> {
        if self.over { self.permit.take() } else { None }
    }

    /// It succeeded: its writes and its end, in one commit.
    pub(super) async fn confirm(self, report: RunReport, writes: Vec<PersistArgs>) -> Ended {
        let RunBegun { agent, thread, attempt, .. } = self.shared.begun.clone();
        let report = self.shared.completed(report);
        self.end(SessionArgs::Confirm(ConfirmRun { agent, thread, attempt, report }), writes).await
    }

    /// It failed.
    pub(super) async fn fail(
        self,
        failure: Failure,
        detail: Option<String>,
        report: RunReport,
        writes: Vec<PersistArgs>,
    ) -> Ended {
        let RunBegun { agent, thread, attempt, .. } = self.shared.begun.clone();
        let report = self.shared.completed(report);
        let fail = FailRun { agent, thread, attempt, failure, detail, report };
        self.end(SessionArgs::Fail(fail), writes).await
    }

    /// It was stopped.
    pub(super) async fn cancel(self, report: RunReport, writes: Vec<PersistArgs>) -> Ended {
        let cancel = cancellation(&self.shared, report);
        self.end(SessionArgs::Cancel(cancel), writes).await
    }

    /// Ends it in a task, so that a run that has done its work is not cancelled by who drops it now.
    async fn end(self, end: SessionArgs, writes: Vec<PersistArgs>) -> Ended {
        let db = self.shared.db.clone();
        let task = async move {
            let mut held = self;
            let answer = end_of(&held.shared.db, end, writes).await;
            held.over = answer.is_ok();
            Ended { held: Some(held), answer }
        };
        in_task(&db, task).await.unwrap_or_else(|ended| Ended { held: None, answer: Err(ended) })
    }
}

async fn end_of(
    db: &Persistence,
    end: SessionArgs,
    mut writes: Vec<PersistArgs>,
) -> Result<(SessionChanged, Vec<PersistResult>)> {
    let (result, written) = if writes.is_empty() {
        (repeated(|key| db.run(end.clone()).key(key)).await?, Vec::new())
    } else {
        writes.push(end.into());
        let batch = Batch::of(writes);
        let mut outputs = repeated(|key| db.batch(batch.clone()).key(key)).await?.outputs;
        match outputs.pop() {
            Some(PersistResult::Session(result)) => (result, outputs),
            other => {
                let found = other.map_or("nothing", |other| other.kind().as_str());
                return Err(wrong_answer("session", found));
            }
        }
    };
    match result {
        SessionResult::Confirm(changed) | SessionResult::Fail(changed) | SessionResult::Cancel(changed) => {
            Ok((changed, written))
        }
        other => Err(wrong_answer("the end of a run", other.as_str())),
    }
}

/// Returns the error for the answer of another operation.
fn wrong_answer(asked: &str, answered: &str) -> PersistError {
    let detail = format!("the call is `{asked}`, and its answer is to `{answered}`");
    PersistError::new(ErrorKind::ContractViolation, detail)
}

fn cancellation(shared: &Shared, report: RunReport) -> CancelRun {
    let RunBegun { agent, thread, attempt, .. } = shared.begun.clone();
    CancelRun { agent, thread, attempt, report: shared.completed(report) }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.beats.abort();
        if self.over {
            return;
        }
        let permit = self.permit.take();
        let db = self.shared.db.clone();
        let cancel = cancellation(&self.shared, RunReport::default());
        let task = cancelled(db.clone(), cancel);
        drop(db.spawn(async move {
            // Where it is refused the run is over already; where the store is out of reach, its lease ends it.
            drop(task.await);
            drop(permit);
        }));
    }
}

impl fmt::Debug for Held {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Held").field("attempt", &self.shared.begun.attempt).finish_non_exhaustive()
    }
}

/// Renews the lease, and tells the run when it cannot, or when it has been superseded.
async fn beat(shared: Arc<Shared>, lease: Duration, asked: Instant) {
    let RunBegun { agent, thread, attempt, .. } = shared.begun.clone();
    let renew = RenewRun { agent, thread, attempt };
    let mut ends = asked + lease;
    let mut next = asked + lease / RENEWED_AFTER;
    loop {
        let late = ends - lease / LEFT_TO_STOP;
        sleep_until(next.min(late)).await;
        if Instant::now() >= late {
            return shared.tell(Stop::LeaseLost, ends);
        }
        let asked = Instant::now();
        let renewed = timeout_at(late, shared.db.on_session(renew.clone()).into_future()).await;
        match renewed {
            Ok(Ok(renewed)) => {
                ends = asked + lease;
                next = asked + lease / RENEWED_AFTER;
                if renewed.superseded && shared.told().is_none() {
                    shared.tell(Stop::Superseded, Instant::now() + shared.grace);
                }
            }
            // Another run has taken its place, or its thread is gone.
            Ok(Err(error))
                if matches!(error.kind(), ErrorKind::Stale | ErrorKind::NotFound | ErrorKind::Gone) =>
            {
                return shared.tell(Stop::LeaseLost, Instant::now());
            }
            Ok(Err(_)) | Err(_) => next = Instant::now() + lease / (RENEWED_AFTER * 4),
        }
    }
}
