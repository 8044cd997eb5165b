//! How a run ends.

use std::{future::Future, sync::Arc};

use tokio::{
    sync::watch,
    time::{Instant, sleep_until},
};

use super::{
    Finished, Permit, Ran, RunError, RunFailure, Stop,
    begin::Asked,
    lease::{Ended, Held},
    run::{Shared, Told},
};
use throughline_core::{
    ErrorKind, PersistError,
    contain::Panicked,
    ids::SessionId,
    sessions::RunReport,
    sessions::SessionRevision,
    sessions::{AfterFailure, Failure},
};

/// What became of a closure.
pub(super) enum AtWork<T> {
    Finished(Finished<T>),
    Failed(RunFailure),
    Panicked(Panicked),
    /// It was told to stop, and has not in time.
    Dropped,
}

/// Waits for the closure, and drops it where it has to end before.
pub(super) async fn at_work<T>(
    shared: &Arc<Shared>,
    theirs: impl Future<Output = Result<Result<Finished<T>, RunFailure>, Panicked>>,
    asked: &mut Asked<'_>,
) -> AtWork<T> {
    let mut theirs = std::pin::pin!(theirs);
    let mut told = shared.listen();
    let mut is_asked = false;
    loop {
        let until = told.borrow_and_update().map(|told| told.until);
        tokio::select! {
            biased;
            done = &mut theirs => return match done {
                Ok(Ok(finished)) => AtWork::Finished(finished),
                Ok(Err(failure)) => AtWork::Failed(failure),
                Err(panic) => AtWork::Panicked(panic),
            },
            () = over(until) => return AtWork::Dropped,
            () = asked.wait(), if !is_asked => {
                is_asked = true;
                shared.tell(Stop::Asked, Instant::now() + shared.grace);
            }
            () = changed(&mut told) => {}
        }
    }
}

async fn over(until: Option<Instant>) {
    match until {
        Some(until) => sleep_until(until).await,
        None => std::future::pending().await,
    }
}

async fn changed(told: &mut watch::Receiver<Option<Told>>) {
    if told.changed().await.is_err() {
        std::future::pending::<()>().await;
    }
}

/// The closure is done: its pointer and its writes are one commit.
pub(super) async fn confirm<T>(
    held: Held,
    finished: Finished<T>,
    refused: Option<SessionId>,
) -> Result<Ran<T>, RunError<T>> {
    let shared = held.shared().clone();
    let attempt = shared.begun.attempt.clone();
    let Finished { output, report, writes } = finished;
    let of_the_run = writes.len();
    let Ended { held, answer } = held.confirm(report.clone(), writes).await;
    let error = match answer {
        Ok((changed, written)) => {
            let resolution = shared.begun.resolution.clone();
            return Ok(Ran { output, attempt, resolution, changed, written, refused });
        }
        Err(error) => error,
    };
    let Some(held) = held else { return Err(RunError::NotConfirmed { attempt, output, error }) };
    let is_its_own = error.batch_index().is_none_or(|index| index == of_the_run);
    match error.kind() {
        ErrorKind::Stale | ErrorKind::NotFound | ErrorKind::Gone if is_its_own => {
            Err(stopped_late(held, report, output).await)
        }
        kind if kind.is_refusal() => {
            // What it had to write is refused, not the run.
            let detail = Some(format!("its end was refused ({})", error.code()));
            drop(held.fail(Failure::Other, detail, report, Vec::new()).await);
            Err(RunError::NotConfirmed { attempt, output, error })
        }
        // Dropping it cancels it, unless it was confirmed after all.
        _ => Err(RunError::NotConfirmed { attempt, output, error }),
    }
}

/// It came too late. Only a run that was superseded still has its lease, and can be cancelled.
async fn stopped_late<T>(held: Held, report: RunReport, output: T) -> RunError<T> {
    let attempt = held.shared().begun.attempt.clone();
    let Ended { held: _held, answer } = held.cancel(report, Vec::new()).await;
    let (why, unrecorded) = match answer {
        Ok(_) => (Stop::Superseded, None),
        Err(error) => (Stop::LeaseLost, Some(error)),
    };
    RunError::Stopped { attempt, why, output: Some(output), unrecorded }
}

/// It was told to stop, and has.
pub(super) async fn stopped<T>(held: Held, failure: Option<RunFailure>) -> RunError<T> {
    let attempt = held.shared().begun.attempt.clone();
    let why = held.shared().told().unwrap_or(Stop::LeaseLost);
    let (report, writes) = failure.map_or_else(Default::default, |failure| (failure.report, failure.writes));
    let Ended { held: _held, answer } = held.cancel(report, writes).await;
    RunError::Stopped { attempt, why, output: None, unrecorded: answer.err() }
}

pub(super) async fn panicked<T>(held: Held, panicked: Panicked) -> RunError<T> {
    let attempt = held.shared().begun.attempt.clone();
    let message = panicked.to_string();
    let detail = RunFailure::new(Failure::Other).because(message.clone()).detail();
    let Ended { held: _held, answer } =
        held.fail(Failure::Other, detail, RunReport::default(), Vec::new()).await;
    RunError::Panicked { attempt, message, unrecorded: answer.err() }
}

/// The session that was refused, where the run may be made again with a fresh one.
pub(super) fn refused(held: &Held, failure: &RunFailure) -> Option<SessionId> {
    let shared = held.shared();
    let resumed = shared.begun.resolution.session.as_ref()?;
    let is_evidence = failure.failure() == Failure::SessionNotFound;
    // One that runs another session by now has not been refused.
    let is_it = shared.learned().is_none_or(|(learned, _)| learned == *resumed);
    let reported = failure.report.session.as_ref().is_none_or(|reported| reported == resumed);
    let goes_on = shared.told().is_none() && !shared.has_used_a_tool();
    (is_evidence && is_it && reported && goes_on).then(|| resumed.clone())
}

/// The closure failed. Beside the error, what is needed to make it again where that is kept.
pub(super) async fn failed<T>(
    held: Held,
    failure: RunFailure,
) -> (RunError<T>, Option<(Permit, SessionRevision)>) {
    let shared = held.shared().clone();
    // A closure that ends because it was told to has not failed, unless it says something of its session.
    if shared.told().is_some() && failure.failure().session() == AfterFailure::Kept {
        return (stopped(held, Some(failure)).await, None);
    }
    let attempt = shared.begun.attempt.clone();
    let (report, writes) = (failure.report.clone(), failure.writes.clone());
    let Ended { held, answer } = held.fail(failure.failure(), failure.detail(), report.clone(), writes).await;
    match (answer, held) {
        (Ok((changed, _)), held) => {
            let permit = held.and_then(Held::into_permit);
            let error = RunError::Failed { attempt, failure, unrecorded: None };
            (error, permit.map(|permit| (permit, changed.binding.revision)))
        }
        (Err(error), held) => {
            let unrecorded = not_recorded(held, &failure, report, error).await;
            (RunError::Failed { attempt, failure, unrecorded: Some(unrecorded) }, None)
        }
    }
}

/// Where its writes were refused, the failure is kept without them.
async fn not_recorded(
    held: Option<Held>,
    failure: &RunFailure,
    report: RunReport,
    error: PersistError,
) -> PersistError {
    if let Some(held) = held.filter(|_| error.batch_index().is_some() && error.kind().is_refusal()) {
        drop(held.fail(failure.failure(), failure.detail(), report, Vec::new()).await);
    }
    error
}
