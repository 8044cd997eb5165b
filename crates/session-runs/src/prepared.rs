use std::{fmt, future::Future, time::Duration};

use throughline_core::{
    Persistence,
    contain::catch_future,
    ids::AttemptId,
    sessions::{BeginRun, Reach, Resolution},
};
use tokio::time::Instant;

use super::{
    CompletedRun, Run, RunError, RunFailure, RunSuccess,
    begin::{ReachCheck, RunStart, RunStarter},
    end::{self, WorkResult},
    stop::StopSignal,
};

/// A prepared run. [`run`](Self::run) begins it.
#[must_use = "nothing happens before `run`"]
pub struct PreparedRun<'a> {
    db: Persistence,
    begin: BeginRun,
    wait: Duration,
    grace: Duration,
    stop: StopSignal<'a>,
    reach_check: Option<ReachCheck<'a>>,
}

impl<'a> PreparedRun<'a> {
    pub(super) fn new(db: Persistence, begin: BeginRun, wait: Duration, grace: Duration) -> Self {
        Self { db, begin, wait, grace, stop: StopSignal::never(), reach_check: None }
    }

    /// Stops the run when `signal` ends. A waiting run does not begin. An active run receives a
    /// [request to stop](Run::stop_requested), and the runner drops its closure after the grace period. The next run resumes the
    /// session that the stopped run has pinned.
    pub fn until(mut self, signal: impl Future<Output = ()> + Send + 'a) -> Self {
        self.stop = StopSignal::new(signal);
        self
    }

    /// Calls `check` before the run begins, with the session and the directory that it would resume. `check` reports whether the
    /// directory is the same, and whether the session is missing. If the pointer changes before the run begins, the runner calls
    /// `check` again.
    ///
    /// The runner does not call `check` if there is neither a session nor a directory. It also does not call it if the run
    /// [expects](BeginRun::expecting) a revision: the host has then checked that revision.
    pub fn check_reach<F, C>(mut self, check: C) -> Self
    where
        C: Fn(Resolution) -> F + Send + Sync + 'a,
        F: Future<Output = Reach> + Send + 'a,
    {
        self.reach_check = Some(Box::new(move |resolution| Box::pin(check(resolution))));
        self
    }

    /// Begins the run, calls `work` with it, and ends it.
    ///
    /// The runner calls `work` once, or twice if the provider refused the session. `work` must not block its thread: another task
    /// renews the lease, but the runner can drop `work` only at an `.await`.
    ///
    /// # Errors
    /// [`RunError`] states whether the run began, how it ended, and the effect of its writes.
    ///
    /// # Cancel safety
    /// Dropping the future drops the closure. A task of the pipeline then cancels a run that has begun. The run keeps its pinned
    /// session, and the next run begins after the cancellation. If that task cannot reach the store, or if the runtime of the
    /// pipeline has ended, the lease expires. If the closure has already returned, a task completes the end of the run.
    pub async fn run<T, F, W>(self, mut work: W) -> Result<CompletedRun<T>, RunError<T>>
    where
        W: FnMut(Run) -> F + Send,
        F: Future<Output = Result<RunSuccess<T>, RunFailure>> + Send,
        T: Send,
    {
        let Self { db, begin, wait, grace, mut stop, reach_check } = self;
        let deadline = Instant::now().checked_add(wait).unwrap_or_else(|| Instant::now() + LONGEST_WAIT);
        let starter = RunStarter { db, reach_check, deadline };
        let mut start = RunStart { begin, grace, refused: None };
        let permit = starter.acquire(&start, &mut stop).await.map_err(RunError::NotBegun)?;
        let mut active = starter.begin(start.clone(), permit, &mut stop).await.map_err(RunError::NotBegun)?;
        loop {
            let run = Run(active.state().clone());
            let work = catch_future(async { work(run).await });
            let failure = match end::wait_for_work(active.state(), work, &mut stop).await {
                WorkResult::Succeeded(success) => return end::confirm(active, success, start.refused).await,
                WorkResult::Panicked(panic) => return Err(end::record_panic(active, panic).await),
                WorkResult::Dropped => return Err(end::cancel(active, None).await),
                WorkResult::Failed(failure) => failure,
            };
            let refused = end::refused_session(&active, &failure).filter(|_| start.refused.is_none());
            let state = active.state().clone();
            let (error, recorded) = end::fail(active, failure).await;
            let (Some(session), Some((permit, revision))) = (refused, recorded) else { return Err(error) };
            let claimer = &mut start.begin.claimer;
            claimer.generation = Some(state.begun.resolution.generation);
            claimer.force_fresh = true;
            start.begin.attempt = AttemptId::mint();
            start.begin.work_dir = state.work_dir.clone();
            start.begin.expected = Some(revision);
            start.refused = Some(session);
            active = match starter.begin(start.clone(), permit, &mut stop).await {
                Ok(active) => active,
                // A run of another process began first, or the host stopped this one. The first failure is the result.
                Err(_) => return Err(error),
            };
        }
    }
}

/// The wait that replaces one beyond the range of `Instant`.
const LONGEST_WAIT: Duration = Duration::from_secs(365 * 24 * 3600);

impl fmt::Debug for PreparedRun<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PreparedRun")
            .field("begin", &self.begin)
            .field("wait", &self.wait)
            .field("grace", &self.grace)
            .finish_non_exhaustive()
    }
}
