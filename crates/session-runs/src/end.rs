//! The end of a run: the wait for its closure, and the call that records the result.

use std::{future::Future, sync::Arc};

use throughline_core::{
    ErrorKind, PersistError,
    contain::Panicked,
    ids::SessionId,
    sessions::{AfterFailure, Failure, RunReport, SessionRevision},
};
use tokio::{
    sync::watch,
    time::{Instant, sleep_until},
};

use super::{
    CompletedRun, RunError, RunFailure, RunSuccess, StopReason,
    active::{ActiveRun, EndResult},
    queue::Permit,
    state::RunState,
    stop::{StopRequest, StopSignal},
};

/// The result of a closure.
pub(crate) enum WorkResult<T> {
    Succeeded(RunSuccess<T>),
    Failed(RunFailure),
    Panicked(Panicked),
    /// The closure did not end before the deadline of a request to stop.
    Dropped,
}

/// Waits for the closure. Stops waiting at the deadline of a request to stop, and then drops the closure.
pub(crate) async fn wait_for_work<T>(
    state: &Arc<RunState>,
    work: impl Future<Output = Result<Result<RunSuccess<T>, RunFailure>, Panicked>>,
    signal: &mut StopSignal<'_>,
) -> WorkResult<T> {
    let mut work = std::pin::pin!(work);
    let mut requests = state.stop_requests();
    let mut signal_has_ended = false;
    loop {
        let deadline = requests.borrow_and_update().map(|request| request.deadline);
        tokio::select! {
            biased;
            done = &mut work => return match done {
                Ok(Ok(success)) => WorkResult::Succeeded(success),
                Ok(Err(failure)) => WorkResult::Failed(failure),
                Err(panic) => WorkResult::Panicked(panic),
            },
            () = reached(deadline) => return WorkResult::Dropped,
            () = signal.ended(), if !signal_has_ended => {
                signal_has_ended = true;
                state.request_stop(StopReason::Requested, Instant::now() + state.grace);
            }
            () = changed(&mut requests) => {}
        }
    }
}

async fn reached(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}

async fn changed(requests: &mut watch::Receiver<Option<StopRequest>>) {
    if requests.changed().await.is_err() {
        std::future::pending::<()>().await;
    }
}

/// Confirms a run whose closure succeeded: its writes and its pointer are one commit.
pub(crate) async fn confirm<T>(
    run: ActiveRun,
    success: RunSuccess<T>,
    refused: Option<SessionId>,
) -> Result<CompletedRun<T>, RunError<T>> {
    let state = run.state().clone();
    let attempt = state.begun.attempt.clone();
    let RunSuccess { output, report, writes } = success;
    let index_of_end = writes.len();
    let EndResult { run, answer } = run.confirm(report.clone(), writes).await;
    let error = match answer {
        Ok((changed, written)) => {
            let resolution = state.begun.resolution.clone();
            return Ok(CompletedRun { output, attempt, resolution, changed, written, refused });
        }
        Err(error) => error,
    };
    let Some(run) = run else { return Err(RunError::NotConfirmed { attempt, output, error }) };
    let is_about_the_end = error.batch_index().is_none_or(|index| index == index_of_end);
    match error.kind() {
        ErrorKind::Stale | ErrorKind::NotFound | ErrorKind::Gone if is_about_the_end => {
            Err(cancel_late(run, report, output).await)
        }
        kind if kind.is_refusal() => {
            // The store refused the writes, so the run is recorded as failed without them.
            let detail = Some(format!("its end was refused ({})", error.code()));
            drop(run.fail(Failure::Other, detail, report, Vec::new()).await);
            Err(RunError::NotConfirmed { attempt, output, error })
        }
        // The drop of the run cancels it, unless the lost call has confirmed it.
        _ => Err(RunError::NotConfirmed { attempt, output, error }),
    }
}

/// Cancels a run that was stopped before it could be confirmed. Only a superseded run still has its lease.
async fn cancel_late<T>(run: ActiveRun, report: RunReport, output: T) -> RunError<T> {
    let attempt = run.state().begun.attempt.clone();
    let EndResult { run: _run, answer } = run.cancel(report, Vec::new()).await;
    let (reason, record_error) = match answer {
        Ok(_) => (StopReason::Superseded, None),
        Err(error) => (StopReason::LeaseLost, Some(error)),
    };
    RunError::Stopped { attempt, reason, output: Some(output), record_error }
}

/// Cancels a run after a request to stop.
pub(crate) async fn cancel<T>(run: ActiveRun, failure: Option<RunFailure>) -> RunError<T> {
    let attempt = run.state().begun.attempt.clone();
    let reason = run.state().stop_reason().unwrap_or(StopReason::LeaseLost);
    let (report, writes) = failure.map_or_else(Default::default, |failure| (failure.report, failure.writes));
    let EndResult { run: _run, answer } = run.cancel(report, writes).await;
    RunError::Stopped { attempt, reason, output: None, record_error: answer.err() }
}

/// Records the panic of a closure as a failure.
pub(crate) async fn record_panic<T>(run: ActiveRun, panic: Panicked) -> RunError<T> {
    let attempt = run.state().begun.attempt.clone();
    let message = panic.to_string();
    let detail = RunFailure::new(Failure::Other).with_cause(message.clone()).detail();
    let EndResult { run: _run, answer } =
        run.fail(Failure::Other, detail, RunReport::default(), Vec::new()).await;
    RunError::Panicked { attempt, message, record_error: answer.err() }
}

/// Returns the session that the provider refused, if the runner may repeat the run with a fresh one.
pub(crate) fn refused_session(run: &ActiveRun, failure: &RunFailure) -> Option<SessionId> {
    let state = run.state();
    let resumed = state.begun.resolution.session.as_ref()?;
    let is_refusal = failure.failure() == Failure::SessionNotFound;
    // A run that pinned or reported another session was not refused.
    let pinned_no_other = state.pinned().is_none_or(|(pinned, _)| pinned == *resumed);
    let reported_no_other = failure.report.session.as_ref().is_none_or(|reported| reported == resumed);
    let may_continue = state.stop_reason().is_none() && !state.has_called_a_tool();
    (is_refusal && pinned_no_other && reported_no_other && may_continue).then(|| resumed.clone())
}

/// Records the failure of a closure. After a success, also returns the permit and the revision for a repeated run.
pub(crate) async fn fail<T>(
    run: ActiveRun,
    failure: RunFailure,
) -> (RunError<T>, Option<(Permit, SessionRevision)>) {
    let state = run.state().clone();
    // A failure after a request to stop is a cancellation, unless the failure has a verdict on the session.
    if state.stop_reason().is_some() && failure.failure().session() == AfterFailure::Kept {
        return (cancel(run, Some(failure)).await, None);
    }
    let attempt = state.begun.attempt.clone();
    let (report, writes) = (failure.report.clone(), failure.writes.clone());
    let EndResult { run, answer } =
        run.fail(failure.failure(), failure.detail(), report.clone(), writes).await;
    match (answer, run) {
        (Ok((changed, _)), run) => {
            let permit = run.and_then(ActiveRun::into_permit);
            let error = RunError::Failed { attempt, failure, record_error: None };
            (error, permit.map(|permit| (permit, changed.binding.revision)))
        }
        (Err(error), run) => {
            let record_error = fail_without_writes(run, &failure, report, error).await;
            (RunError::Failed { attempt, failure, record_error: Some(record_error) }, None)
        }
    }
}

/// Records the failure alone, if the store refused one of its writes. Returns the error of the write.
async fn fail_without_writes(
    run: Option<ActiveRun>,
    failure: &RunFailure,
    report: RunReport,
    error: PersistError,
) -> PersistError {
    if let Some(run) = run.filter(|_| error.batch_index().is_some() && error.kind().is_refusal()) {
        drop(run.fail(failure.failure(), failure.detail(), report, Vec::new()).await);
    }
    error
}
