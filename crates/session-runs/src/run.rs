use std::{fmt, sync::Arc};

use throughline_core::{
    Result,
    ids::{AttemptId, SessionId, WorkDir},
    sessions::{Gap, PinSession, Resolution, RunBegun},
};

use super::{retry::retry, state::RunState, stop::StopReason};

/// An active run, as its closure sees it. A clone is the same run, for the tasks of the closure.
#[derive(Clone)]
pub struct Run(pub(super) Arc<RunState>);

impl Run {
    /// Returns the id of the run.
    #[must_use]
    pub fn attempt(&self) -> &AttemptId {
        &self.0.begun.attempt
    }

    /// Returns the session to resume. `None` means that the agent begins a fresh session.
    #[must_use]
    pub fn session(&self) -> Option<&SessionId> {
        self.0.begun.resolution.session.as_ref()
    }

    /// Returns the id for a fresh session, if the host chose one. Call [`pin_session`](Self::pin_session) when the provider has
    /// created the session.
    #[must_use]
    pub fn assigned(&self) -> Option<&SessionId> {
        self.0.assigned.as_ref()
    }

    /// Returns the directory to work in.
    #[must_use]
    pub fn work_dir(&self) -> Option<&WorkDir> {
        self.0.work_dir.as_ref()
    }

    /// Returns the gap in the memory of the agent, with its reason. Show it to the user: no other run receives it.
    #[must_use]
    pub fn gap(&self) -> Option<&Gap> {
        self.0.gap.as_ref()
    }

    /// Returns the complete decision of the store.
    #[must_use]
    pub fn resolution(&self) -> &Resolution {
        &self.0.begun.resolution
    }

    /// Records the session that the provider runs and can resume. If the run is cancelled or its process dies after that, the
    /// next run resumes this session. Pass the id that the provider reported: it may have begun another session than the
    /// requested one.
    ///
    /// # Errors
    /// [`Stale`](throughline_core::ErrorKind::Stale) if the run was superseded or has lost its lease. Otherwise the errors of the
    /// store. After an error the session is not lost: the end of the run reports it again.
    ///
    /// # Cancel safety
    /// If the future is dropped, the store may have recorded the session or not. The end of the run reports it in both cases.
    pub async fn pin_session(&self, session: SessionId) -> Result<()> {
        self.pin(session, None).await
    }

    /// Like [`pin_session`](Self::pin_session), for a session in another directory than [`work_dir`](Self::work_dir).
    ///
    /// # Errors
    /// As [`pin_session`](Self::pin_session).
    ///
    /// # Cancel safety
    /// As [`pin_session`](Self::pin_session).
    pub async fn pin_session_in(&self, session: SessionId, work_dir: WorkDir) -> Result<()> {
        self.pin(session, Some(work_dir)).await
    }

    async fn pin(&self, session: SessionId, work_dir: Option<WorkDir>) -> Result<()> {
        let state = &*self.0;
        state.set_pinned(session.clone(), work_dir.clone());
        let RunBegun { agent, thread, attempt, .. } = &state.begun;
        let (agent, thread, attempt) = (agent.clone(), thread.clone(), attempt.clone());
        let pin = PinSession { agent, thread, attempt, session, work_dir };
        retry(|key| state.db.on_session(pin.clone()).key(key)).await.map(drop)
    }

    /// Records that the agent has called a tool, or is about to. The runner does not repeat the run after that.
    pub fn record_tool_call(&self) {
        self.0.record_tool_call();
    }

    /// Returns the reason of the request to stop, if there is one.
    #[must_use]
    pub fn stop_reason(&self) -> Option<StopReason> {
        self.0.stop_reason()
    }

    /// Waits for a request to stop. The closure then has the [grace period](crate::SessionRunner::with_grace) to clean up, before the
    /// runner drops it.
    ///
    /// # Cancel safety
    /// The future only waits: dropping it changes nothing.
    pub async fn stop_requested(&self) -> StopReason {
        let mut requests = self.0.stop_requests();
        match requests.wait_for(Option::is_some).await.map(|request| *request) {
            Ok(Some(request)) => request.reason,
            // The sender is part of the state that this run holds, so that it cannot be gone.
            _ => std::future::pending().await,
        }
    }
}

impl fmt::Debug for Run {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let RunBegun { agent, thread, attempt, .. } = &self.0.begun;
        f.debug_struct("Run")
            .field("agent", agent)
            .field("thread", thread)
            .field("attempt", attempt)
            .field("session", &self.session())
            .field("stop", &self.stop_reason())
            .finish_non_exhaustive()
    }
}
