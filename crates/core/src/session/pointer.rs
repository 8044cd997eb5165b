use serde::{Deserialize, Serialize};

use crate::{
    AgentId, Lease, ThreadId, Timestamp,
    id::{AttemptId, ProviderId, RootEpoch, RuntimeId, SessionId, WorkDir},
    message::{SessionGeneration, SessionRevision},
};

/// Where runs are carried out, with the installation or root that stands behind the name.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Runtime {
    /// Its name.
    pub id: RuntimeId,
    /// What stands behind it.
    pub root: RootEpoch,
}

impl Runtime {
    /// This runtime with this root.
    #[must_use]
    pub const fn new(id: RuntimeId, root: RootEpoch) -> Self {
        Self { id, root }
    }
}

/// Where an agent goes on: one value, only ever written whole.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Pointer {
    /// The session.
    pub session: SessionId,
    /// Who keeps it.
    pub provider: ProviderId,
    /// Where it was run; nothing where that was never said, or the runtime has been dropped.
    pub runtime: Option<Runtime>,
    /// The directory that it was run in.
    pub work_dir: Option<WorkDir>,
    /// The generation that it belongs to.
    pub generation: SessionGeneration,
    /// Where it is in its life.
    pub state: PointerState,
    /// The run that wrote it; nothing where it was taken over from another store.
    pub attempt: Option<AttemptId>,
}

/// Where a pointer is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum PointerState {
    /// A run that has not ended yet was given this id. Never offered.
    Provisional,
    /// A run has said that it is there.
    Confirmed,
    /// Never offered again.
    Retired,
}

/// What is kept of an agent in a thread.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Binding {
    /// The agent.
    pub agent: AgentId,
    /// The thread.
    pub thread: ThreadId,
    /// Where the agent goes on, whoever asks; what one claimer may have of it is for [`Resolution`](super::Resolution) to say.
    pub pointer: Option<Pointer>,
    /// How often it was begun anew.
    pub generation: SessionGeneration,
    /// What began this generation.
    pub cause: GenerationCause,
    /// Its version: what a claim is decided on.
    pub revision: SessionRevision,
    /// Who runs. A lease that has expired may be taken over by whoever begins next.
    pub running: Option<RunLease>,
    /// When anything was first kept.
    pub created_at: Timestamp,
    /// When anything but a lease was last changed.
    pub updated_at: Timestamp,
}

/// What began a generation.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub enum GenerationCause {
    /// It is the first.
    #[default]
    First,
    /// The sessions of this agent in this thread were reset.
    Reset,
    /// All sessions of the agent were reset.
    AgentReset,
    /// The thread was cleared: what came before is not resumed, whoever asks.
    ThreadCleared,
}

/// Who runs, and for how long that is believed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RunLease {
    /// The run.
    pub attempt: AttemptId,
    /// Its lease, renewed by [`RenewRun`](crate::operation::RenewRun).
    pub lease: Lease,
}
