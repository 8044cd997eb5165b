//! The begin of a run: the queue of this process, the check of the host, and the lease.

use std::{future::Future, pin::Pin, time::Duration};

use throughline_core::{
    Effect, ErrorKind, OpKind, PersistError, Persistence, Result,
    ids::SessionId,
    sessions::{BeginRun, Reach, Resolution, ResolveSession, SessionRevision},
};
use tokio::time::{Instant, sleep_until, timeout_at};

use super::{
    active::{self, ActiveRun},
    queue::{Permit, RunQueue},
    stop::StopSignal,
};

/// The delay between attempts to begin while a run of another process holds the lease.
const RETRY_DELAY: Duration = Duration::from_millis(250);

/// The function with which a host checks the directory and the session of a resolution.
pub(crate) type ReachCheck<'a> =
    Box<dyn Fn(Resolution) -> Pin<Box<dyn Future<Output = Reach> + Send + 'a>> + Send + Sync + 'a>;

/// The arguments of a run that is about to begin.
#[derive(Debug, Clone)]
pub(crate) struct RunStart {
    pub(crate) begin: BeginRun,
    /// How long the closure may continue after a request to stop.
    pub(crate) grace: Duration,
    /// The session that the provider refused, if this run repeats another one for that reason.
    pub(crate) refused: Option<SessionId>,
}

/// Begins runs over one pipeline, until a deadline.
pub(crate) struct RunStarter<'a> {
    pub(crate) db: Persistence,
    pub(crate) reach_check: Option<ReachCheck<'a>>,
    pub(crate) deadline: Instant,
}

impl RunStarter<'_> {
    /// Waits for the earlier runs of this process.
    pub(crate) async fn acquire(&self, start: &RunStart, stop: &mut StopSignal<'_>) -> Result<Permit> {
        let key = (self.db.tenant().clone(), start.begin.agent.clone(), start.begin.thread.clone());
        let queue = self.db.shared_state::<RunQueue>();
        tokio::select! {
            biased;
            () = stop.ended() => Err(stopped_before_begin()),
            acquired = timeout_at(self.deadline, queue.acquire(key)) => acquired.map_err(|_| {
                let detail = format!(
                    "the runs of the agent `{}` in the thread `{}` took too long",
                    start.begin.agent, start.begin.thread
                );
                PersistError::new(ErrorKind::Busy, detail)
                    .with_effect(Effect::NotApplied)
                    .at_the_edge(OpKind::Session)
            }),
        }
    }

    /// Begins the run as soon as no process has an active run of the agent in the thread.
    pub(crate) async fn begin(
        &self,
        mut start: RunStart,
        mut permit: Permit,
        stop: &mut StopSignal<'_>,
    ) -> Result<ActiveRun> {
        let expected = start.begin.expected;
        loop {
            let checked = match &self.reach_check {
                Some(check) if expected.is_none() => {
                    let revision = tokio::select! {
                        biased;
                        () = stop.ended() => return Err(stopped_before_begin()),
                        revision = self.check_reach(check, &mut start) => revision?,
                    };
                    Some(revision)
                }
                _ => None,
            };
            let begun = tokio::select! {
                biased;
                () = stop.ended() => return Err(stopped_before_begin()),
                begun = active::begin(&self.db, start.clone(), permit) => begun,
            };
            let (error, returned) = match begun {
                Ok(run) => return Ok(run),
                Err(not_begun) => not_begun,
            };
            let Some(returned) = returned else { return Err(error) };
            permit = returned;
            if error.effect() != Effect::NotApplied {
                return Err(error);
            }
            match error.kind() {
                ErrorKind::Busy => {
                    let next = Instant::now() + RETRY_DELAY;
                    if next > self.deadline {
                        return Err(error);
                    }
                    tokio::select! {
                        () = stop.ended() => return Err(stopped_before_begin()),
                        () = sleep_until(next) => {}
                    }
                }
                // The pointer changed after the check, which must run again.
                ErrorKind::Stale if self.has_changed(&start, checked).await? => {}
                _ => return Err(error),
            }
        }
    }

    /// Resolves the session, lets the host check it, and sets the revision that the run expects.
    async fn check_reach(&self, check: &ReachCheck<'_>, start: &mut RunStart) -> Result<SessionRevision> {
        start.begin.claimer.reach = Default::default();
        let resolution = self.db.read(resolve(start)).await?.resolution;
        let revision = resolution.revision;
        if resolution.session.is_some() || resolution.work_dir.is_some() {
            start.begin.claimer.reach = check(resolution).await;
        }
        start.begin.expected = Some(revision);
        Ok(revision)
    }

    /// Whether the pointer has another revision than the checked one.
    async fn has_changed(&self, start: &RunStart, checked: Option<SessionRevision>) -> Result<bool> {
        let Some(checked) = checked else { return Ok(false) };
        Ok(self.db.read(resolve(start)).await?.resolution.revision != checked)
    }
}

fn resolve(start: &RunStart) -> ResolveSession {
    let begin = &start.begin;
    ResolveSession {
        agent: begin.agent.clone(),
        thread: begin.thread.clone(),
        claimer: (*begin.claimer).clone(),
    }
}

fn stopped_before_begin() -> PersistError {
    PersistError::new(ErrorKind::Cancelled, "the run was asked to stop before it began")
        .with_effect(Effect::NotApplied)
        .at_the_edge(OpKind::Session)
}
