use serde::{Deserialize, Serialize};

use crate::{
    AgentId, Lease, ThreadId, Timestamp,
    id::{AttemptId, ProviderId, RootEpoch, RuntimeId, SessionId, WorkDir},
    message::{SessionGeneration, SessionRevision},
};

/// The runtime of a run, with the epoch of its root directory.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Runtime {
    /// The id of the runtime.
    pub id: RuntimeId,
    /// The epoch of its installation or root directory.
    pub root: RootEpoch,
}

impl Runtime {
    /// Returns this runtime with this root.
    #[must_use]
    pub const fn new(id: RuntimeId, root: RootEpoch) -> Self {
        Self { id, root }
    }
}

/// The record of the session that an agent resumes in a thread. A store always writes it as a whole.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Pointer {
    /// The session.
    pub session: SessionId,
    /// The provider that keeps the session.
    pub provider: ProviderId,
    /// The runtime of the session. `None` if it is unknown, or was dropped.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub runtime: Option<Runtime>,
    /// The directory of the session.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub work_dir: Option<WorkDir>,
    /// The session generation.
    pub generation: SessionGeneration,
    /// The state of the pointer.
    pub state: PointerState,
    /// The run that wrote it. `None` if it was imported from another store.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attempt: Option<AttemptId>,
}

/// The state of a pointer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum PointerState {
    /// A run received this id and has not ended. No claimer can resume it.
    Provisional,
    /// A run has confirmed the session.
    Confirmed,
    /// No claimer can resume it again.
    Retired,
}

/// The state of an agent's sessions in a thread.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Binding {
    /// The agent.
    pub agent: AgentId,
    /// The thread.
    pub thread: ThreadId,
    /// The pointer, independent of a claimer. [`Resolution`](super::Resolution) states which session one claimer may resume.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pointer: Option<Pointer>,
    /// The session generation.
    pub generation: SessionGeneration,
    /// The cause of this generation.
    pub cause: GenerationCause,
    /// The session revision, which a claim can require.
    pub revision: SessionRevision,
    /// The current run. Another run can take over an expired lease.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub running: Option<RunLease>,
    /// The time of the first write.
    pub created_at: Timestamp,
    /// The time of the last change other than a lease.
    pub updated_at: Timestamp,
}

/// The cause of a session generation.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub enum GenerationCause {
    /// The first generation.
    #[default]
    First,
    /// The sessions of this agent in this thread were reset.
    Reset,
    /// All sessions of the agent were reset.
    AgentReset,
    /// The thread was cleared. No claimer can resume an earlier session.
    ThreadCleared,
}

/// The current run and its lease.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RunLease {
    /// The run.
    pub attempt: AttemptId,
    /// The lease, which [`RenewRun`](crate::operation::RenewRun) renews.
    pub lease: Lease,
}
