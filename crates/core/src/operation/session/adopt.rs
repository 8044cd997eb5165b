use serde::{Deserialize, Serialize};

use crate::{
    AgentId, ThreadId, Timestamp,
    id::{AttemptId, ProviderId, SessionId, WorkDir},
    message::carries_nothing,
    operation::{
        SessionSubject,
        facts::{AnswerFacts, Facts, StatesFacts, deduplicated_by_field},
        session::on_thread,
    },
    session::{AttemptState, Runtime},
};

/// Imports the sessions of an agent in a thread from another store: its pointer and its runs.
///
/// # Errors
/// [`AlreadyExists`](crate::ErrorKind::AlreadyExists) if this store already has sessions of the agent in the thread.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct AdoptSession {
    /// The agent.
    pub agent: AgentId,
    /// The thread. Import sessions without a thread into a separate thread of their own.
    pub thread: ThreadId,
    /// The pointer of the agent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pointer: Option<AdoptedPointer>,
    /// The runs, the oldest first: at most [`MAX_RUNS`](Self::MAX_RUNS), each with its own id.
    pub runs: Vec<AdoptedRun>,
}

impl AdoptSession {
    /// The most runs of one call: 1000. Of more runs, import the latest.
    pub const MAX_RUNS: usize = 1000;
}

carries_nothing!(AdoptSession { agent: _, thread: _, pointer: _, runs: _ });

/// A pointer in another store.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct AdoptedPointer {
    /// The session.
    pub session: SessionId,
    /// The provider that keeps the session.
    pub provider: ProviderId,
    /// The runtime of the session, if it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub runtime: Option<Runtime>,
    /// The directory of the session.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub work_dir: Option<WorkDir>,
}

/// A run in another store.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct AdoptedRun {
    /// The id of the run.
    pub id: AttemptId,
    /// The provider of the run.
    pub provider: ProviderId,
    /// The runtime of the run, if it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub runtime: Option<Runtime>,
    /// The session that the run reported.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session: Option<SessionId>,
    /// The directory of the run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub work_dir: Option<WorkDir>,
    /// The end of the run. A run that has not ended is imported as [`Lapsed`](AttemptState::Lapsed).
    pub state: AttemptState,
    /// The time at which the run began.
    pub started_at: Timestamp,
    /// The time at which the run ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_at: Option<Timestamp>,
}

/// Adds the missing runtime to a pointer. The store adds it only if the latest run that reported a session reported the session
/// of the pointer, and named its runtime. An older session is never combined with a newer runtime. A repeated call changes
/// nothing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct BackfillRuntime {
    /// The agent.
    pub agent: AgentId,
    /// The thread.
    pub thread: ThreadId,
    /// Whether to return the runtime without writing it.
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
    /// The runtime that the store wrote, or would write.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub runtime: Option<Runtime>,
    /// Whether the store wrote it.
    pub written: bool,
    /// Whether this answer replays an earlier call with the same idempotency key.
    pub deduplicated: bool,
}

carries_nothing!(RuntimeBackfilled { agent: _, thread: _, runtime: _, written: _, deduplicated: _ });

crate::operation::addressed_by_thread!(AdoptSession, BackfillRuntime, RuntimeBackfilled);

impl StatesFacts for AdoptSession {
    fn facts(&self) -> Facts<'_> {
        Facts { grows: true, ..on_thread(&self.agent, None) }
    }
}

impl StatesFacts for BackfillRuntime {
    fn facts(&self) -> Facts<'_> {
        Facts { grows: true, ..on_thread(&self.agent, None) }
    }
}

impl AnswerFacts for RuntimeBackfilled {
    deduplicated_by_field!();

    fn answers(&self, asked: Option<&SessionSubject>) -> bool {
        asked == Some(&SessionSubject::of_run(&self.agent, None))
    }
}
