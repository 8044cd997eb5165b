use serde::{Deserialize, Serialize};

use crate::{
    AgentId, ThreadId, Timestamp,
    id::{AttemptId, ProviderId, SessionId, WorkDir},
    message::carries_nothing,
    session::{AttemptState, Runtime},
};

/// Takes over what another store kept of an agent in a thread: its pointer as it stands, and its runs. Refused as
/// [`AlreadyExists`](crate::ErrorKind::AlreadyExists) where anything is kept here.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct AdoptSession {
    /// The agent.
    pub agent: AgentId,
    /// The thread. What was kept of no thread belongs to an isolated one.
    pub thread: ThreadId,
    /// Where the agent went on.
    pub pointer: Option<AdoptedPointer>,
    /// Its runs, the oldest first. At most [`MAX_RUNS`](Self::MAX_RUNS), each with a name of its own.
    pub runs: Vec<AdoptedRun>,
}

impl AdoptSession {
    /// The most runs that are taken over: the latest count.
    pub const MAX_RUNS: usize = 1000;
}

carries_nothing!(AdoptSession { agent: _, thread: _, pointer: _, runs: _ });

/// A pointer as another store kept it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct AdoptedPointer {
    /// The session.
    pub session: SessionId,
    /// Who keeps it.
    pub provider: ProviderId,
    /// Where it was run, if that was kept.
    pub runtime: Option<Runtime>,
    /// The directory that it was run in.
    pub work_dir: Option<WorkDir>,
}

/// A run as another store kept it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct AdoptedRun {
    /// Its name.
    pub id: AttemptId,
    /// Whose session it ran.
    pub provider: ProviderId,
    /// Where it ran, if that was kept.
    pub runtime: Option<Runtime>,
    /// The session that it reported.
    pub session: Option<SessionId>,
    /// The directory that it worked in.
    pub work_dir: Option<WorkDir>,
    /// How it ended. One that had not ended is taken over as [`Lapsed`](AttemptState::Lapsed).
    pub state: AttemptState,
    /// When it began.
    pub started_at: Timestamp,
    /// When it ended.
    pub ended_at: Option<Timestamp>,
}

/// Writes the runtime into a pointer that names none, if the latest run that reported a session reported this very one and
/// said where it ran. Nothing else is evidence: an older session is never paired with a newer runtime. Done again, it changes nothing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct BackfillRuntime {
    /// The agent.
    pub agent: AgentId,
    /// The thread.
    pub thread: ThreadId,
    /// Whether it is only to be told what would be written.
    #[serde(default)]
    pub dry_run: bool,
}

carries_nothing!(BackfillRuntime { agent: _, thread: _, dry_run: _ });

/// The answer to [`BackfillRuntime`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RuntimeBackfilled {
    /// The agent.
    pub agent: AgentId,
    /// The thread.
    pub thread: ThreadId,
    /// The runtime that was written, or would be.
    pub runtime: Option<Runtime>,
    /// Whether it was written.
    pub written: bool,
    /// Whether an earlier call with the same idempotency key had done it.
    pub deduplicated: bool,
}

carries_nothing!(RuntimeBackfilled { agent: _, thread: _, runtime: _, written: _, deduplicated: _ });
