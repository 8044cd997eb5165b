use serde::{Deserialize, Serialize};

use crate::{
    AgentId, Lease, ThreadId, Timestamp,
    id::{AttemptId, ProviderId, SessionId, WorkDir},
    message::{Generation, SessionGeneration, SessionRevision},
    session::{Attempt, Failure, GenerationCause, RunLease, Runtime},
};

/// The counters that identify the sessions of an agent in a thread.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionAddress {
    /// The agent.
    pub agent: AgentId,
    /// The thread.
    pub thread: ThreadId,
    /// The generation of the thread; [`Generation::FIRST`] if there is no thread yet.
    pub cleared: Generation,
    /// The number of resets of all sessions of the agent.
    pub resets: u64,
}

impl SessionAddress {
    /// Returns the session generation after `own` resets of this agent in this thread.
    #[must_use]
    pub const fn generation(&self, own: u64) -> SessionGeneration {
        SessionGeneration::new(self.cleared.get() + self.resets + own)
    }
}

/// The counters of an agent.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AgentRecord {
    /// The number of drops. Rows of an agent are kept under its id *and* this number.
    pub incarnation: u64,
    /// The number of resets of all its sessions.
    pub resets: u64,
}

impl AgentRecord {
    /// The amount that a drop adds to the resets. It is larger than any number of resets in one thread, which start again at zero
    /// after a drop.
    const BEYOND: u64 = 1 << 32;

    /// Counts a reset of all sessions.
    #[must_use]
    pub const fn reset(self) -> Self {
        Self { resets: self.resets + 1, ..self }
    }

    /// Counts a drop. The resets increase far beyond those of each thread, so that work that was queued before the drop stays
    /// older than all later work.
    #[must_use]
    pub const fn dropped(self) -> Self {
        Self { incarnation: self.incarnation + 1, resets: self.resets + Self::BEYOND }
    }
}

/// The runtime of a run, with its drop counter. A runtime that was dropped since does not match.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BoundRuntime {
    /// The runtime.
    pub runtime: Runtime,
    /// The number of drops when the run began.
    pub incarnation: u64,
}

/// The result of a run: one value, which is always written as a whole.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SessionValue {
    /// The session.
    pub session: SessionId,
    /// The provider that keeps the session.
    pub provider: ProviderId,
    /// The runtime of the session.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub runtime: Option<BoundRuntime>,
    /// The directory of the session.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub work_dir: Option<WorkDir>,
    /// The generation of the session.
    pub generation: SessionGeneration,
    /// The number of the run; 0 for an adopted pointer.
    pub number: u64,
    /// The run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attempt: Option<AttemptId>,
}

/// Whether a session can be resumed, according to the latest run that reported it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Health {
    /// The session can be resumed.
    #[default]
    Good,
    /// The run failed, and another run on the session would fail again.
    Poisoned(Failure),
    /// The data of the session is missing.
    Missing,
    /// The pointer to it was cleared.
    Cleared,
}

/// A session of an agent in a thread.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct KnownSession {
    /// The id of the session.
    pub id: SessionId,
    /// The result of the latest run on the session. `None` if the session was retired before any run reported it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<SessionValue>,
    /// The health of the session.
    pub health: Health,
    /// Whether the session is retired.
    pub retired: bool,
    /// The number of its value when a gap about this session was last delivered to the user.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delivered_gap: Option<u64>,
}

impl KnownSession {
    /// Whether the session is healthy, reported and not retired.
    #[must_use]
    pub fn is_usable(&self) -> bool {
        self.value.is_some() && self.health == Health::Good && !self.retired
    }

    /// Whether the session is usable and matches the claim.
    #[must_use]
    pub fn is_wanted(&self, wanted: &Wanted<'_>) -> bool {
        let Some(value) = &self.value else { return false };
        let is_there = |bound: &BoundRuntime| {
            bound.runtime == *wanted.runtime && bound.incarnation == wanted.incarnation
        };
        self.is_usable()
            && wanted.besides != Some(&self.id)
            && value.generation == wanted.generation
            && value.provider == *wanted.provider
            && value.runtime.as_ref().is_some_and(is_there)
    }
}

/// The conditions of a claim.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wanted<'a> {
    /// The required generation.
    pub generation: SessionGeneration,
    /// The required provider.
    pub provider: &'a ProviderId,
    /// The required runtime.
    pub runtime: &'a Runtime,
    /// The required drop counter of the runtime.
    pub incarnation: u64,
    /// A session to ignore, because its row is out of date.
    pub besides: Option<&'a SessionId>,
}

/// A run as a store keeps it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AttemptRecord {
    /// The run as readers see it.
    pub attempt: Attempt,
    /// The drop counter of its runtime when the run began.
    pub incarnation: u64,
    /// The current generation when the run began. It can be later than the generation of the run.
    pub begun_under: SessionGeneration,
}

impl AttemptRecord {
    /// Returns the result of the run, with this session.
    pub(crate) fn value(&self, session: &SessionId) -> SessionValue {
        let attempt = &self.attempt;
        let bind =
            |runtime: &Runtime| BoundRuntime { runtime: runtime.clone(), incarnation: self.incarnation };
        SessionValue {
            session: session.clone(),
            provider: attempt.provider.clone(),
            runtime: attempt.runtime.as_ref().map(bind),
            work_dir: attempt.work_dir.clone(),
            generation: attempt.generation,
            number: attempt.number,
            attempt: Some(attempt.id.clone()),
        }
    }
}

/// The current run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Running {
    /// The run.
    pub attempt: AttemptId,
    /// Its lease.
    pub lease: Lease,
}

impl From<Running> for RunLease {
    fn from(Running { attempt, lease }: Running) -> Self {
        Self { attempt, lease }
    }
}

/// The head row of the sessions of an agent in a thread.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SessionHead {
    /// The number of resets of this agent in this thread.
    pub own: u64,
    /// The generation of the thread.
    pub cleared: Generation,
    /// The number of resets of all sessions of the agent.
    pub resets: u64,
    /// The first generation after the thread was last cleared. No claimer can resume an earlier session.
    pub floor: SessionGeneration,
    /// The cause of the present generation.
    pub cause: GenerationCause,
    /// The session revision.
    pub revision: SessionRevision,
    /// The pointer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pointer: Option<SessionValue>,
    /// The current run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub running: Option<Running>,
    /// The number of the last run.
    pub attempts: u64,
    /// The last run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last: Option<AttemptId>,
    /// The time of the first write.
    pub created_at: Timestamp,
    /// The time of the last change other than a lease.
    pub updated_at: Timestamp,
}
