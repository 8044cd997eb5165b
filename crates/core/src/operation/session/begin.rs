use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::{
    AgentId, Lease, ThreadId,
    id::{AttemptId, SessionId, WorkDir},
    message::{SessionRevision, carries_nothing},
    message_lease_milliseconds,
    session::{Claimer, HandOff, Resolution},
};

/// Begins a run: takes the lease of the agent in the thread, decides in the same commit what the run resumes, and takes it down
/// as an [`Attempt`](crate::sessions::Attempt).
///
/// While the lease of another run is alive it is refused as [`Busy`](crate::ErrorKind::Busy). One that has expired is taken over: its run
/// is over, and what it still says is refused as [`Stale`](crate::ErrorKind::Stale).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct BeginRun {
    /// The agent.
    pub agent: AgentId,
    /// The thread.
    pub thread: ThreadId,
    /// The name of the run. One that was used before is refused as [`AlreadyExists`](crate::ErrorKind::AlreadyExists).
    pub attempt: AttemptId,
    /// Who wants to run. In a box, so that the other operations are not as large as this one.
    pub claimer: Box<Claimer>,
    /// The id that a session of its own is to have, where the host gives it. It is provisional: never offered before the run
    /// has reported it. A run that resumes has no use for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub assigned: Option<SessionId>,
    /// The directory that it works in; the one that was resolved where nothing is said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub work_dir: Option<WorkDir>,
    /// Whose work it carries on. It must be of the same thread.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub origin: Option<HandOff>,
    /// The revision that the claimer decided on; with another one it is refused as [`Stale`](crate::ErrorKind::Stale).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expected: Option<SessionRevision>,
    /// How long it is taken to be alive without a [`RenewRun`], in whole milliseconds:
    /// [`Reserve::MIN_LEASE`](crate::operation::Reserve::MIN_LEASE) to [`Reserve::MAX_LEASE`](crate::operation::Reserve::MAX_LEASE).
    #[serde(with = "message_lease_milliseconds")]
    pub lease: Duration,
}

impl BeginRun {
    /// The lease where nothing else is said: one minute.
    pub const DEFAULT_LEASE: Duration = Duration::from_secs(60);

    /// A run of this claimer, with an id that is made up.
    #[must_use]
    pub fn new(agent: AgentId, thread: ThreadId, claimer: Claimer) -> Self {
        Self {
            agent,
            thread,
            attempt: AttemptId::mint(),
            claimer: Box::new(claimer),
            assigned: None,
            work_dir: None,
            origin: None,
            expected: None,
            lease: Self::DEFAULT_LEASE,
        }
    }

    /// Under this name.
    #[must_use]
    pub fn named(mut self, attempt: AttemptId) -> Self {
        self.attempt = attempt;
        self
    }

    /// With this id for a session of its own.
    #[must_use]
    pub fn assigning(mut self, session: SessionId) -> Self {
        self.assigned = Some(session);
        self
    }

    /// In this directory.
    #[must_use]
    pub fn in_directory(mut self, work_dir: WorkDir) -> Self {
        self.work_dir = Some(work_dir);
        self
    }

    /// Carrying on this work.
    #[must_use]
    pub fn handed_off(mut self, origin: HandOff) -> Self {
        self.origin = Some(origin);
        self
    }

    /// Only while what it was decided on stands.
    #[must_use]
    pub const fn expecting(mut self, revision: SessionRevision) -> Self {
        self.expected = Some(revision);
        self
    }

    /// With this lease.
    #[must_use]
    pub const fn with_lease(mut self, lease: Duration) -> Self {
        self.lease = lease;
        self
    }
}

carries_nothing!(BeginRun {
    agent: _,
    thread: _,
    attempt: _,
    claimer: _,
    assigned: _,
    work_dir: _,
    origin: _,
    expected: _,
    lease: _
});

/// The answer to [`BeginRun`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RunBegun {
    /// The agent.
    pub agent: AgentId,
    /// The thread.
    pub thread: ThreadId,
    /// The run.
    pub attempt: AttemptId,
    /// Its place among the runs of the agent in the thread.
    pub number: u64,
    /// What it goes on with. A [gap](Resolution::gap) in it was delivered to this run and is to no other.
    pub resolution: Resolution,
    /// Its lease.
    pub lease: Lease,
    /// Whether an earlier call with the same idempotency key had begun it.
    pub deduplicated: bool,
}

carries_nothing!(RunBegun {
    agent: _,
    thread: _,
    attempt: _,
    number: _,
    resolution: _,
    lease: _,
    deduplicated: _
});

/// Renews the lease of a run: the heartbeat. It changes nothing else, and a clock that jumps back shortens no lease.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RenewRun {
    /// The agent.
    pub agent: AgentId,
    /// The thread.
    pub thread: ThreadId,
    /// The run; one that has ended or was taken over is refused as [`Stale`](crate::ErrorKind::Stale).
    pub attempt: AttemptId,
}

carries_nothing!(RenewRun { agent: _, thread: _, attempt: _ });

/// The answer to [`RenewRun`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RunRenewed {
    /// The agent.
    pub agent: AgentId,
    /// The thread.
    pub thread: ThreadId,
    /// The run.
    pub attempt: AttemptId,
    /// Its lease.
    pub lease: Lease,
    /// Whether the sessions were reset or the thread was cleared since it began: it cannot confirm any more, and had better
    /// stop.
    pub superseded: bool,
    /// Whether an earlier call with the same idempotency key had renewed it.
    pub deduplicated: bool,
}

carries_nothing!(RunRenewed { agent: _, thread: _, attempt: _, lease: _, superseded: _, deduplicated: _ });
