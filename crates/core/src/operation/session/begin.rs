use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::{
    AgentId, Lease, ThreadId,
    id::{AttemptId, SessionId, WorkDir},
    message::{SessionRevision, carries_nothing},
    message_lease_milliseconds,
    operation::{
        SessionSubject,
        facts::{AnswerFacts, Facts, StatesFacts, deduplicated_by_field},
        session::on_thread,
    },
    session::{Claimer, HandOff, Resolution},
};

/// Begins a run. One transaction takes the lease of the agent in the thread, decides which session the run resumes, and records
/// the run as an [`Attempt`](crate::sessions::Attempt).
///
/// If the lease of another run has expired, the new run takes it over; later calls of the old run fail as
/// [`Stale`](crate::ErrorKind::Stale).
///
/// # Errors
/// - [`Busy`](crate::ErrorKind::Busy) while another run holds the lease.
/// - [`AlreadyExists`](crate::ErrorKind::AlreadyExists) if [`attempt`](Self::attempt) was used before.
/// - [`Stale`](crate::ErrorKind::Stale) if [`expected`](Self::expected) does not match.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct BeginRun {
    /// The agent.
    pub agent: AgentId,
    /// The thread.
    pub thread: ThreadId,
    /// The id of the run, which must be new.
    pub attempt: AttemptId,
    /// The claimer. Boxed, to keep the enum of operations small.
    pub claimer: Box<Claimer>,
    /// The id of a fresh session, if the host assigns it. It is provisional: no claimer can resume it before the run has reported
    /// it. A run that resumes a session ignores it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub assigned: Option<SessionId>,
    /// The directory of the run. `None` for the directory of the resolution.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub work_dir: Option<WorkDir>,
    /// The work that the run continues for another agent. It must belong to the same thread.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub origin: Option<HandOff>,
    /// The required session revision, on which the claimer decided.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expected: Option<SessionRevision>,
    /// The lease of the run, in whole milliseconds: [`Reserve::MIN_LEASE`](crate::operation::Reserve::MIN_LEASE) to
    /// [`Reserve::MAX_LEASE`](crate::operation::Reserve::MAX_LEASE). [`RenewRun`] renews it.
    #[serde(with = "message_lease_milliseconds")]
    pub lease: Duration,
}

impl BeginRun {
    /// The default lease: one minute.
    pub const DEFAULT_LEASE: Duration = Duration::from_secs(60);

    /// Returns a run of this claimer, with a generated id.
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

    /// Sets the id of the run.
    #[must_use]
    pub fn named(mut self, attempt: AttemptId) -> Self {
        self.attempt = attempt;
        self
    }

    /// Sets the id of a fresh session.
    #[must_use]
    pub fn assigning(mut self, session: SessionId) -> Self {
        self.assigned = Some(session);
        self
    }

    /// Sets the directory.
    #[must_use]
    pub fn in_directory(mut self, work_dir: WorkDir) -> Self {
        self.work_dir = Some(work_dir);
        self
    }

    /// Sets the work that the run continues for another agent.
    #[must_use]
    pub fn handed_off(mut self, origin: HandOff) -> Self {
        self.origin = Some(origin);
        self
    }

    /// Requires this session revision.
    #[must_use]
    pub const fn expecting(mut self, revision: SessionRevision) -> Self {
        self.expected = Some(revision);
        self
    }

    /// Sets the lease.
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
    /// The number of the run among the runs of the agent in the thread, from 1.
    pub number: u64,
    /// The session that the run resumes. A [gap](Resolution::gap) in it is delivered only to this run.
    pub resolution: Resolution,
    /// The lease of the run.
    pub lease: Lease,
    /// Whether this answer replays an earlier call with the same idempotency key.
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

/// Renews the lease of a run, as a heartbeat. A clock that jumps back never shortens a lease.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RenewRun {
    /// The agent.
    pub agent: AgentId,
    /// The thread.
    pub thread: ThreadId,
    /// The run. A run that has ended or lost its lease fails as [`Stale`](crate::ErrorKind::Stale).
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
    /// The lease of the run.
    pub lease: Lease,
    /// Whether the sessions were reset or the thread was cleared since the run began. Such a run cannot be confirmed and should
    /// stop.
    pub superseded: bool,
    /// Whether this answer replays an earlier call with the same idempotency key.
    pub deduplicated: bool,
}

carries_nothing!(RunRenewed { agent: _, thread: _, attempt: _, lease: _, superseded: _, deduplicated: _ });

crate::operation::addressed_by_thread!(BeginRun, RunBegun, RenewRun, RunRenewed);

impl StatesFacts for BeginRun {
    fn facts(&self) -> Facts<'_> {
        Facts { grows: true, ..on_thread(&self.agent, Some(&self.attempt)) }
    }
}

impl AnswerFacts for RunBegun {
    deduplicated_by_field!();

    fn answers(&self, asked: Option<&SessionSubject>) -> bool {
        asked == Some(&SessionSubject::of_run(&self.agent, Some(&self.attempt)))
    }
}

impl StatesFacts for RenewRun {
    fn facts(&self) -> Facts<'_> {
        on_thread(&self.agent, Some(&self.attempt))
    }
}

impl AnswerFacts for RunRenewed {
    deduplicated_by_field!();

    fn answers(&self, asked: Option<&SessionSubject>) -> bool {
        asked == Some(&SessionSubject::of_run(&self.agent, Some(&self.attempt)))
    }
}
