//! An active run: its heartbeat renews the lease, and its end releases the lease.

use std::{
    future::{Future, IntoFuture},
    sync::Arc,
    time::Duration,
};

use throughline_core::{
    Effect, ErrorKind, OpKind, PersistArgs, PersistError, PersistResult, Persistence, Result,
    messages::Batch,
    pipeline::Task,
    sessions::{
        BeginRun, CancelRun, ConfirmRun, FailRun, Failure, RenewRun, RunBegun, RunReport, SessionArgs,
        SessionChanged, SessionResult,
    },
};
use tokio::{
    sync::oneshot,
    time::{Instant, sleep_until, timeout_at},
};

use super::{
    begin::RunStart,
    queue::Permit,
    retry::{retry, retry_unless},
    state::RunState,
    stop::StopReason,
};

/// The divisor of the lease that gives the interval of heartbeats.
const HEARTBEATS_PER_LEASE: u32 = 3;

/// The divisor of the lease that gives the time for a stop: a run without a heartbeat receives a request to stop that long
/// before its lease expires.
const STOP_PART_OF_LEASE: u32 = 6;

/// A run that has begun. A drop before its end spawns a task of the pipeline that cancels the run. The cancellation keeps the
/// pinned session, and releases the permit afterwards.
pub(crate) struct ActiveRun {
    state: Arc<RunState>,
    permit: Option<Permit>,
    heartbeat: Task,
    has_ended: bool,
}

/// The error of a begin, and the permit if the runtime of the pipeline still runs.
pub(crate) type NotBegun = (PersistError, Option<Permit>);

/// Begins a run. If the caller drops the future, the run has not begun, or a task cancels it.
pub(crate) async fn begin(db: &Persistence, start: RunStart, permit: Permit) -> Result<ActiveRun, NotBegun> {
    let task = begin_in_task(db.clone(), start, permit);
    in_task(db, task).await.unwrap_or_else(|ended| Err((ended, None)))
}

async fn begin_in_task(db: Persistence, start: RunStart, permit: Permit) -> Result<ActiveRun, NotBegun> {
    let called = Instant::now();
    let begin = &start.begin;
    let is_busy = |error: &PersistError| error.kind() == ErrorKind::Busy;
    match retry_unless(|key| db.on_session(begin.clone()).key(key), is_busy).await {
        Ok(begun) => {
            let lease = begin.lease;
            let state = Arc::new(RunState::new(db, &start, begun));
            let heartbeat = state.db.spawn(renew_lease(Arc::clone(&state), lease, called));
            Ok(ActiveRun { state, permit: Some(permit), heartbeat, has_ended: false })
        }
        Err(error) => {
            if error.effect() != Effect::NotApplied {
                // The run may have begun although the answer is an error.
                let BeginRun { agent, thread, attempt, .. } = start.begin;
                let cancel = CancelRun { agent, thread, attempt, report: RunReport::default() };
                let task = cancel_run(db.clone(), cancel);
                drop(db.spawn(async move { drop(task.await) }));
            }
            Err((error, Some(permit)))
        }
    }
}

/// Completes `work` in a task of the pipeline, also if the caller drops the future.
async fn in_task<T: Send + 'static>(
    db: &Persistence,
    work: impl Future<Output = T> + Send + 'static,
) -> Result<T> {
    let (sender, receiver) = oneshot::channel();
    // If the receiver is gone, the task drops the value.
    drop(db.spawn(async move { drop(sender.send(work.await)) }));
    receiver.await.map_err(|_| {
        let ended = PersistError::new(ErrorKind::Cancelled, "the runtime of the pipeline has ended");
        ended.with_effect(Effect::Unknown).at_the_edge(OpKind::Session)
    })
}

async fn cancel_run(db: Persistence, cancel: CancelRun) -> Result<SessionChanged> {
    retry(|key| db.on_session(cancel.clone()).key(key)).await
}

/// The result of the call that ends a run.
pub(crate) struct EndResult {
    /// The run. `None` if the runtime of the pipeline has ended.
    pub(crate) run: Option<ActiveRun>,
    /// The new session record, and the answers to the writes.
    pub(crate) answer: Result<(SessionChanged, Vec<PersistResult>)>,
}

impl ActiveRun {
    pub(crate) const fn state(&self) -> &Arc<RunState> {
        &self.state
    }

    /// Returns the permit of a run that has ended. A run that has not ended is cancelled, and keeps its permit until then.
    pub(crate) fn into_permit(mut self) -> Option<Permit> {
        if self.has_ended { self.permit.take() } else { None }
    }

    /// Ends the run with success: its writes and its pointer are one commit.
    pub(crate) async fn confirm(self, report: RunReport, writes: Vec<PersistArgs>) -> EndResult {
        let RunBegun { agent, thread, attempt, .. } = self.state.begun.clone();
        let report = self.state.completed(report);
        self.end(SessionArgs::Confirm(ConfirmRun { agent, thread, attempt, report }), writes).await
    }

    /// Ends the run with a failure.
    pub(crate) async fn fail(
        self,
        failure: Failure,
        detail: Option<String>,
        report: RunReport,
        writes: Vec<PersistArgs>,
    ) -> EndResult {
        let RunBegun { agent, thread, attempt, .. } = self.state.begun.clone();
        let report = self.state.completed(report);
        let fail = FailRun { agent, thread, attempt, failure, detail, report };
        self.end(SessionArgs::Fail(fail), writes).await
    }

    /// Ends the run with a cancellation.
    pub(crate) async fn cancel(self, report: RunReport, writes: Vec<PersistArgs>) -> EndResult {
        let cancel = cancellation(&self.state, report);
        self.end(SessionArgs::Cancel(cancel), writes).await
    }

    /// Ends the run in a task, so that a drop of the future does not cancel completed work.
    async fn end(self, end: SessionArgs, writes: Vec<PersistArgs>) -> EndResult {
        let db = self.state.db.clone();
        let task = async move {
            let mut run = self;
            let answer = call_end(&run.state.db, end, writes).await;
            run.has_ended = answer.is_ok();
            EndResult { run: Some(run), answer }
        };
        in_task(&db, task).await.unwrap_or_else(|ended| EndResult { run: None, answer: Err(ended) })
    }
}

async fn call_end(
    db: &Persistence,
    end: SessionArgs,
    mut writes: Vec<PersistArgs>,
) -> Result<(SessionChanged, Vec<PersistResult>)> {
    let (result, written) = if writes.is_empty() {
        (retry(|key| db.run(end.clone()).key(key)).await?, Vec::new())
    } else {
        writes.push(end.into());
        let batch = Batch::of(writes);
        let mut outputs = retry(|key| db.batch(batch.clone()).key(key)).await?.outputs;
        match outputs.pop() {
            Some(PersistResult::Session(result)) => (result, outputs),
            other => {
                let answered = other.map_or("nothing", |other| other.kind().as_str());
                return Err(wrong_answer("session", answered));
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

/// Returns the error for the answer to another operation.
fn wrong_answer(called: &str, answered: &str) -> PersistError {
    let detail = format!("the call is `{called}`, and its answer is to `{answered}`");
    PersistError::new(ErrorKind::ContractViolation, detail)
}

fn cancellation(state: &RunState, report: RunReport) -> CancelRun {
    let RunBegun { agent, thread, attempt, .. } = state.begun.clone();
    CancelRun { agent, thread, attempt, report: state.completed(report) }
}

impl Drop for ActiveRun {
    fn drop(&mut self) {
        self.heartbeat.abort();
        if self.has_ended {
            return;
        }
        let permit = self.permit.take();
        let db = self.state.db.clone();
        let cancel = cancellation(&self.state, RunReport::default());
        let task = cancel_run(db.clone(), cancel);
        drop(db.spawn(async move {
            // A refusal means that the run has already ended. If the store is unreachable, the lease expires.
            drop(task.await);
            drop(permit);
        }));
    }
}

/// Renews the lease. Requests a stop if the lease cannot be renewed, or if the run was superseded.
async fn renew_lease(state: Arc<RunState>, lease: Duration, begun: Instant) {
    let RunBegun { agent, thread, attempt, .. } = state.begun.clone();
    let renew = RenewRun { agent, thread, attempt };
    let mut expires = begun + lease;
    let mut next = begun + lease / HEARTBEATS_PER_LEASE;
    loop {
        let last_moment = expires - lease / STOP_PART_OF_LEASE;
        sleep_until(next.min(last_moment)).await;
        if Instant::now() >= last_moment {
            return state.request_stop(StopReason::LeaseLost, expires);
        }
        // The lease counts from the call: its answer may arrive late.
        let called = Instant::now();
        let renewed = timeout_at(last_moment, state.db.on_session(renew.clone()).into_future()).await;
        match renewed {
            Ok(Ok(renewed)) => {
                expires = called + lease;
                next = called + lease / HEARTBEATS_PER_LEASE;
                if renewed.superseded && state.stop_reason().is_none() {
                    state.request_stop(StopReason::Superseded, Instant::now() + state.grace);
                }
            }
            // Another run holds the lease, or the thread is gone.
            Ok(Err(error))
                if matches!(error.kind(), ErrorKind::Stale | ErrorKind::NotFound | ErrorKind::Gone) =>
            {
                return state.request_stop(StopReason::LeaseLost, Instant::now());
            }
            Ok(Err(_)) | Err(_) => next = Instant::now() + lease / (HEARTBEATS_PER_LEASE * 4),
        }
    }
}
