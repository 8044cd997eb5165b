use serde::{Deserialize, Serialize};

use super::{Failure, Runtime};
use crate::message::debug_without_text;
use crate::{
    AgentId, ThreadId, Timestamp,
    id::{AttemptId, ProviderId, SessionId, WorkDir},
    message::SessionGeneration,
};

/// One run of an agent in a thread, as the history tells it. Runs are kept in the order in which they began, none is taken
/// away while its thread is there, and one that has ended keeps its end.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Attempt {
    /// Its name.
    pub id: AttemptId,
    /// Its place among the runs of the agent in the thread, from 1 on.
    pub number: u64,
    /// The generation that it belongs to.
    pub generation: SessionGeneration,
    /// Whose session it ran.
    pub provider: ProviderId,
    /// Where it ran.
    pub runtime: Option<Runtime>,
    /// The session that it was to go on with.
    pub resumes: Option<SessionId>,
    /// The id that it was to give to a session of its own. Not evidence of one.
    pub assigned: Option<SessionId>,
    /// The session that it has reported.
    pub session: Option<SessionId>,
    /// The directory that it worked in.
    pub work_dir: Option<WorkDir>,
    /// The run that it made again.
    pub rerun_of: Option<AttemptId>,
    /// Whose work it carried on.
    pub origin: Option<HandOff>,
    /// How far it is.
    pub state: AttemptState,
    /// What it failed with, in the host's words.
    pub detail: Option<String>,
    /// The time at which it began.
    pub started_at: Timestamp,
    /// The time at which it ended.
    pub ended_at: Option<Timestamp>,
}

debug_without_text!(Attempt { id, number, generation, provider, runtime, resumes, assigned, session, work_dir, rerun_of, origin, state, started_at, ended_at } unshown { detail });

/// How far a run is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub enum AttemptState {
    /// It has not ended, as far as anybody said.
    Running,
    /// It succeeded.
    Completed,
    /// It failed.
    Failed(Failure),
    /// It was stopped on purpose.
    Cancelled,
    /// Its lease ended and another run took its place.
    Lapsed,
}

/// Work that one agent hands to another. It stays in the thread that it came from: the receiving agent has its own sessions
/// there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct HandOff {
    /// Who handed it on.
    pub agent: AgentId,
    /// The thread that it came from: the scope of the work.
    pub thread: ThreadId,
    /// The run that handed it on, where there was one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attempt: Option<AttemptId>,
}
