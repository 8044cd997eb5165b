//! What the closure of a run holds.

use std::{
    fmt,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use tokio::{sync::watch, time::Instant};

use super::{lease::Start, retry::repeated};
use throughline_core::{
    Persistence, Result,
    ids::{AttemptId, SessionId, WorkDir},
    sessions::{Gap, Resolution, Withheld},
    sessions::{PinSession, RunBegun, RunReport},
};

/// Why a run is to stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Stop {
    /// The host has asked for it.
    Asked,
    /// The sessions were reset, or the thread was cleared, since it began: it cannot be confirmed any more.
    Superseded,
    /// Its lease ends or has ended: the store could not be reached for too long, or another run has taken its place.
    LeaseLost,
}

impl fmt::Display for Stop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Asked => "the host asked for it",
            Self::Superseded => "the sessions were reset since it began",
            Self::LeaseLost => "its lease was lost",
        })
    }
}

/// That a run is to stop, and when it is stopped if it has not.
#[derive(Debug, Clone, Copy)]
pub(super) struct Told {
    pub(super) why: Stop,
    pub(super) until: Instant,
}

/// What a run and whoever looks after it tell each other.
pub(super) struct Shared {
    pub(super) db: Persistence,
    pub(super) begun: RunBegun,
    /// How long the run has when it is told to stop.
    pub(super) grace: Duration,
    assigned: Option<SessionId>,
    work_dir: Option<WorkDir>,
    gap: Option<Gap>,
    told: watch::Sender<Option<Told>>,
    learned: Mutex<Option<(SessionId, Option<WorkDir>)>>,
    tool_ran: AtomicBool,
}

impl Shared {
    pub(super) fn new(db: Persistence, start: &Start, begun: RunBegun) -> Self {
        let Start { begin, grace, refused } = start;
        let resolution = &begun.resolution;
        let mut gap = resolution.gap.clone();
        // It was forced because the session was refused, which the store was told of the run before.
        if let Some(gap) = gap.as_mut().filter(|gap| gap.session.is_some() && gap.session == *refused) {
            gap.reason = Withheld::ArtifactMissing;
        }
        Self {
            db,
            grace: *grace,
            assigned: begin.assigned.clone().filter(|_| resolution.session.is_none()),
            work_dir: begin.work_dir.clone().or_else(|| resolution.work_dir.clone()),
            gap,
            told: watch::Sender::new(None),
            learned: Mutex::new(None),
            tool_ran: AtomicBool::new(false),
            begun,
        }
    }

    /// Tells the run to stop. The first reason stands, but that a lost lease is more than any other; the earliest end does.
    pub(super) fn tell(&self, why: Stop, until: Instant) {
        self.told.send_modify(|told| match told {
            Some(told) => {
                if why == Stop::LeaseLost {
                    told.why = why;
                }
                told.until = told.until.min(until);
            }
            None => *told = Some(Told { why, until }),
        });
    }

    pub(super) fn told(&self) -> Option<Stop> {
        self.told.borrow().map(|told| told.why)
    }

    pub(super) fn listen(&self) -> watch::Receiver<Option<Told>> {
        self.told.subscribe()
    }

    pub(super) fn has_used_a_tool(&self) -> bool {
        self.tool_ran.load(Ordering::Acquire)
    }

    pub(super) fn learned(&self) -> Option<(SessionId, Option<WorkDir>)> {
        self.learned.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// What is reported at the end: what was learned stands where nothing else is said, also if its pin was lost.
    pub(super) fn completed(&self, mut report: RunReport) -> RunReport {
        if report.session.is_none()
            && let Some((session, work_dir)) = self.learned()
        {
            report.session = Some(session);
            report.work_dir = report.work_dir.or(work_dir);
        }
        report
    }
}

/// A run, as its closure sees it. A clone is the same run, for the tasks of the closure.
#[derive(Clone)]
pub struct Run(pub(super) Arc<Shared>);

impl Run {
    /// Its name.
    #[must_use]
    pub fn attempt(&self) -> &AttemptId {
        &self.0.begun.attempt
    }

    /// The session to resume; nothing: begin a fresh one.
    #[must_use]
    pub fn session(&self) -> Option<&SessionId> {
        self.0.begun.resolution.session.as_ref()
    }

    /// The id that a fresh session is to have, where the host gave one. To be [learned](Self::learned) once the provider has it.
    #[must_use]
    pub fn assigned(&self) -> Option<&SessionId> {
        self.0.assigned.as_ref()
    }

    /// The directory to work in.
    #[must_use]
    pub fn work_dir(&self) -> Option<&WorkDir> {
        self.0.work_dir.as_ref()
    }

    /// What the user has to be told, with its reason: that the agent does not remember. No other run is told.
    #[must_use]
    pub fn gap(&self) -> Option<&Gap> {
        self.0.gap.as_ref()
    }

    /// All that was decided.
    #[must_use]
    pub fn resolution(&self) -> &Resolution {
        &self.0.begun.resolution
    }

    /// The provider has said which session it runs, and that it can be resumed: if the run dies or is cancelled from now on, it
    /// is. Only what the provider said: it may have begun another session than it was asked to resume.
    ///
    /// # Errors
    /// [`Stale`](throughline_core::ErrorKind::Stale) where the run has been superseded or has lost its lease, and what the store answers.
    /// Where the answer was lost, nothing else is: the end of the run reports the session again.
    ///
    /// # Cancel safety
    /// Dropped, the session is pinned or not; the end of the run reports it all the same.
    pub async fn learned(&self, session: SessionId) -> Result<()> {
        self.pin(session, None).await
    }

    /// The same, with the directory that it works in, where that is another than [`work_dir`](Self::work_dir).
    ///
    /// # Errors
    /// As [`learned`](Self::learned).
    ///
    /// # Cancel safety
    /// As [`learned`](Self::learned).
    pub async fn learned_in(&self, session: SessionId, work_dir: WorkDir) -> Result<()> {
        self.pin(session, Some(work_dir)).await
    }

    async fn pin(&self, session: SessionId, work_dir: Option<WorkDir>) -> Result<()> {
        let shared = &*self.0;
        *shared.learned.lock().unwrap_or_else(PoisonError::into_inner) =
            Some((session.clone(), work_dir.clone()));
        let RunBegun { agent, thread, attempt, .. } = &shared.begun;
        let (agent, thread, attempt) = (agent.clone(), thread.clone(), attempt.clone());
        let pin = PinSession { agent, thread, attempt, session, work_dir };
        repeated(|key| shared.db.on_session(pin.clone()).key(key)).await.map(drop)
    }

    /// A tool has run, or is about to: from now on the run is not made again by itself.
    pub fn tool_ran(&self) {
        self.0.tool_ran.store(true, Ordering::Release);
    }

    /// Why the run is to stop, if it is.
    #[must_use]
    pub fn stop(&self) -> Option<Stop> {
        self.0.told()
    }

    /// Waits until the run is to stop. Its closure has a little time then to put things away, before it is dropped.
    ///
    /// # Cancel safety
    /// Dropped, it has only waited.
    pub async fn stopped(&self) -> Stop {
        let mut told = self.0.listen();
        match told.wait_for(Option::is_some).await.map(|told| *told) {
            Ok(Some(told)) => told.why,
            // Nobody is left to say so.
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
            .field("stop", &self.stop())
            .finish_non_exhaustive()
    }
}
