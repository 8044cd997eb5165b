use serde::{Deserialize, Serialize};

use crate::{
    AgentId, Lease, ThreadId, Timestamp,
    id::{AttemptId, ProviderId, SessionId, WorkDir},
    message::{Generation, SessionGeneration, SessionRevision},
    session::{Attempt, Failure, GenerationCause, RunLease, Runtime},
};

/// Where an agent and a thread stand, as their own rows say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionAddress {
    /// The agent.
    pub agent: AgentId,
    /// The thread.
    pub thread: ThreadId,
    /// How often the thread was begun: [`Generation::FIRST`] where there is none yet.
    pub cleared: Generation,
    /// How often all sessions of the agent were reset.
    pub resets: u64,
}

impl SessionAddress {
    /// The generation of sessions that were reset by themselves so often.
    #[must_use]
    pub const fn generation(&self, own: u64) -> SessionGeneration {
        SessionGeneration::new(self.cleared.get() + self.resets + own)
    }
}

/// An agent of a tenant as a whole.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AgentRecord {
    /// How often it was dropped. The rows of an agent are kept under its name *and* this number.
    pub incarnation: u64,
    /// How often all its sessions were reset.
    pub resets: u64,
}

impl AgentRecord {
    /// By how much a drop raises the count of resets: by more than anybody has reset the agent in one thread, which is counted
    /// there and begins anew.
    const BEYOND: u64 = 1 << 32;

    /// All its sessions are reset.
    #[must_use]
    pub const fn reset(self) -> Self {
        Self { resets: self.resets + 1, ..self }
    }

    /// It is dropped. The resets are counted on, far beyond those of each thread, so that work which was queued before stays older
    /// than everything that comes.
    #[must_use]
    pub const fn dropped(self) -> Self {
        Self { incarnation: self.incarnation + 1, resets: self.resets + Self::BEYOND }
    }
}

/// A runtime as a run had it: one that was dropped since is another.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BoundRuntime {
    /// The runtime.
    pub runtime: Runtime,
    /// How often it had been dropped.
    pub incarnation: u64,
}

/// What a run produced: one value, of which no part is ever written without the others.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SessionValue {
    /// The session.
    pub session: SessionId,
    /// Who keeps it.
    pub provider: ProviderId,
    /// Where it was run.
    pub runtime: Option<BoundRuntime>,
    /// The directory that it was run in.
    pub work_dir: Option<WorkDir>,
    /// The generation that it belongs to.
    pub generation: SessionGeneration,
    /// The number of the run; 0 of a pointer that was adopted.
    pub number: u64,
    /// The run.
    pub attempt: Option<AttemptId>,
}

/// Whether a session can be resumed, by the latest run on it that says so.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Health {
    /// It can.
    #[default]
    Good,
    /// The run failed in a way that it would fail again.
    Poisoned(Failure),
    /// What it is made of is missing.
    Missing,
    /// The pointer to it was cleared.
    Cleared,
}

/// A session of an agent in a thread.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct KnownSession {
    /// Its name.
    pub id: SessionId,
    /// What the latest run on it produced; nothing where it was retired before any run reported it.
    pub value: Option<SessionValue>,
    /// Whether it can be resumed.
    pub health: Health,
    /// Whether it is never to be offered again.
    pub retired: bool,
    /// The number of its value when the user was last told that it is not gone on with.
    pub told: Option<u64>,
}

impl KnownSession {
    /// Whether nothing of its own speaks against it.
    #[must_use]
    pub fn is_usable(&self) -> bool {
        self.value.is_some() && self.health == Health::Good && !self.retired
    }

    /// Whether it is usable and what is wanted.
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

/// What a claimer can resume.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wanted<'a> {
    /// Of this generation.
    pub generation: SessionGeneration,
    /// Of this provider.
    pub provider: &'a ProviderId,
    /// Run there.
    pub runtime: &'a Runtime,
    /// Since it was dropped so often.
    pub incarnation: u64,
    /// Not this one: its row is out of date.
    pub besides: Option<&'a SessionId>,
}

/// A run as it is kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AttemptRecord {
    /// What is told of it.
    pub attempt: Attempt,
    /// How often its runtime had been dropped when it began.
    pub incarnation: u64,
    /// The generation that was the present one when it began, which may be a later one than its own.
    pub begun_under: SessionGeneration,
}

impl AttemptRecord {
    /// What it produced, with this session.
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

/// Who runs.
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

/// What is kept of an agent in a thread as a whole.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SessionHead {
    /// How often it was reset by itself.
    pub own: u64,
    /// How often the thread had been begun.
    pub cleared: Generation,
    /// How often all sessions of the agent had been reset.
    pub resets: u64,
    /// The first generation after the thread was last cleared: nothing before it is resumed, whoever asks.
    pub floor: SessionGeneration,
    /// What began the present generation.
    pub cause: GenerationCause,
    /// Its version.
    pub revision: SessionRevision,
    /// Where the agent goes on.
    pub pointer: Option<SessionValue>,
    /// Who runs.
    pub running: Option<Running>,
    /// The number of the last run.
    pub attempts: u64,
    /// The last run.
    pub last: Option<AttemptId>,
    /// When it was first written.
    pub created_at: Timestamp,
    /// When it was last changed, but for a lease.
    pub updated_at: Timestamp,
}
