use serde::{Deserialize, Serialize};

use crate::{
    AgentId, ThreadId,
    id::SessionId,
    message::{SessionGeneration, carries_nothing},
    session::{Binding, Runtime},
};

/// Begins another generation of the sessions of an agent in a thread: nothing of the present one is offered to a claim of
/// the new one. It lasts until a run of the new generation is confirmed, whatever fails before. A run that is under way cannot confirm any more, and
/// keeps its lease until it ends.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ResetSession {
    /// The agent.
    pub agent: AgentId,
    /// The thread.
    pub thread: ThreadId,
    /// The generation that the caller saw; with another one it is refused as [`Stale`](crate::ErrorKind::Stale).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expected: Option<SessionGeneration>,
}

carries_nothing!(ResetSession { agent: _, thread: _, expected: _ });

/// Declares a session unusable for good: it is offered on no path, whatever succeeds on it.
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

/// Clears the pointer if it still points there. The session is not offered any more until a run has succeeded on it; a pointer that
/// has moved on is left alone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ClearPointerIf {
    /// The agent.
    pub agent: AgentId,
    /// The thread.
    pub thread: ThreadId,
    /// The session that it has to point to.
    pub session: SessionId,
    /// The runtime that it has to name; any, or none, where nothing is said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub runtime: Option<Runtime>,
}

carries_nothing!(ClearPointerIf { agent: _, thread: _, session: _, runtime: _ });

/// The answer to what is done to the sessions of an agent in a thread: what is kept by now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SessionChanged {
    /// What is kept.
    pub binding: Binding,
    /// Whether the pointer was changed by it.
    pub moved: bool,
    /// Whether an earlier call with the same idempotency key had done it. The rest is then what that one was answered.
    pub deduplicated: bool,
}

carries_nothing!(SessionChanged { binding: _, moved: _, deduplicated: _ });
