use serde::{Deserialize, Serialize};

use crate::{
    AgentId, ThreadId,
    id::SessionId,
    message::{SessionGeneration, carries_nothing},
    operation::{
        SessionSubject,
        facts::{AnswerFacts, Facts, StatesFacts, deduplicated_by_field},
        session::on_thread,
    },
    session::{Binding, Runtime},
};

/// Starts a new generation of the sessions of an agent in a thread. A claim of the new generation cannot resume a session of an
/// earlier one, until a run of the new generation is confirmed. A current run can no longer be confirmed, but keeps its lease
/// until it ends.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ResetSession {
    /// The agent.
    pub agent: AgentId,
    /// The thread.
    pub thread: ThreadId,
    /// The required session generation; with another one the reset fails as [`Stale`](crate::ErrorKind::Stale).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expected: Option<SessionGeneration>,
}

carries_nothing!(ResetSession { agent: _, thread: _, expected: _ });

/// Retires a session: no claimer can resume it again, even after a successful run on it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RetireSession {
    /// The agent.
    pub agent: AgentId,
    /// The thread.
    pub thread: ThreadId,
    /// The session.
    pub session: SessionId,
}

carries_nothing!(RetireSession { agent: _, thread: _, session: _ });

/// Clears the pointer if it still names this session. The session cannot be resumed until a run succeeds on it. A pointer to
/// another session does not change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ClearPointerIf {
    /// The agent.
    pub agent: AgentId,
    /// The thread.
    pub thread: ThreadId,
    /// The required session of the pointer.
    pub session: SessionId,
    /// The required runtime of the pointer. `None` for any runtime or none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub runtime: Option<Runtime>,
}

carries_nothing!(ClearPointerIf { agent: _, thread: _, session: _, runtime: _ });

/// The answer to most operations on the sessions of an agent in a thread: their state after the operation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SessionChanged {
    /// The state of the sessions, in a box because it is large.
    pub binding: Box<Binding>,
    /// Whether the operation changed the pointer.
    pub moved: bool,
    /// Whether this answer replays an earlier call with the same idempotency key. The other fields are then those of the first
    /// answer.
    pub deduplicated: bool,
}

carries_nothing!(SessionChanged { binding: _, moved: _, deduplicated: _ });

crate::operation::addressed_by_thread!(ResetSession, RetireSession, ClearPointerIf, SessionChanged in binding);

impl StatesFacts for ResetSession {
    fn facts(&self) -> Facts<'_> {
        Facts { grows: true, ..on_thread(&self.agent, None) }
    }
}

impl StatesFacts for RetireSession {
    fn facts(&self) -> Facts<'_> {
        Facts { grows: true, ..on_thread(&self.agent, None) }
    }
}

impl StatesFacts for ClearPointerIf {
    fn facts(&self) -> Facts<'_> {
        Facts { grows: true, ..on_thread(&self.agent, None) }
    }
}

impl AnswerFacts for SessionChanged {
    deduplicated_by_field!();

    // The binding does not name the run that changed it.
    fn answers(&self, asked: Option<&SessionSubject>) -> bool {
        asked.is_some_and(|asked| asked.is_about(&self.binding.agent))
    }
}
