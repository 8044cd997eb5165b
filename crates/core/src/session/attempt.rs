use serde::{Deserialize, Serialize};

use super::{Failure, Runtime};
use crate::message::debug_without_text;
use crate::{
    AgentId, ThreadId, Timestamp,
    id::{AttemptId, ProviderId, SessionId, WorkDir},
    message::SessionGeneration,
};

/// One run of an agent in a thread, as the store records it. Runs are in the order in which they began. They remain as long as
/// their thread, and the end of a run never changes.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Attempt {
    /// The id of the run.
    pub id: AttemptId,
    /// The number among the runs of the agent in the thread, from 1.
    pub number: u64,
    /// The session generation of the run.
    pub generation: SessionGeneration,
    /// The provider of the run.
    pub provider: ProviderId,
    /// The runtime of the run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub runtime: Option<Runtime>,
    /// The session that the run should resume.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resumes: Option<SessionId>,
    /// The session id that the host assigned. It does not prove that the session exists.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub assigned: Option<SessionId>,
    /// The session that the run reported.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session: Option<SessionId>,
    /// The directory of the run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub work_dir: Option<WorkDir>,
    /// The run that this run repeats.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rerun_of: Option<AttemptId>,
    /// The work that the run continues for another agent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub origin: Option<HandOff>,
    /// The state of the run.
    pub state: AttemptState,
    /// The text of the failure, in the words of the host.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
    /// The time at which it began.
    pub started_at: Timestamp,
    /// The time at which it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_at: Option<Timestamp>,
}

debug_without_text!(Attempt { id, number, generation, provider, runtime, resumes, assigned, session, work_dir, rerun_of, origin, state, started_at, ended_at } unshown { detail });

/// The state of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub enum AttemptState {
    /// The run has not ended, as far as the store knows.
    Running,
    /// It succeeded.
    Completed,
    /// It failed.
    Failed(Failure),
    /// It was stopped on purpose.
    Cancelled,
    /// The lease expired and another run took it over.
    Lapsed,
}

/// Work that one agent passes to another in the same thread. The receiving agent has its own sessions.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct HandOff {
    /// The agent that passed the work.
    pub agent: AgentId,
    /// The thread of the work.
    pub thread: ThreadId,
    /// The run that passed the work, if there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attempt: Option<AttemptId>,
}
