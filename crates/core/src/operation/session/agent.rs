use serde::{Deserialize, Serialize};

use crate::{AgentId, id::RuntimeId, message::carries_nothing};

/// Begins another generation of the sessions of an agent in every thread, as [`ResetSession`](crate::operation::ResetSession) does in
/// one. However many threads there are, it is one short commit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ResetAgent {
    /// The agent.
    pub agent: AgentId,
}

carries_nothing!(ResetAgent { agent: _ });

/// An agent was deleted: nothing that was kept of it is found any more, and one that is made again under the same id
/// inherits nothing. Conversations stay.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct DropAgent {
    /// The agent.
    pub agent: AgentId,
}

carries_nothing!(DropAgent { agent: _ });

/// The answer to [`ResetAgent`] and [`DropAgent`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AgentChanged {
    /// The agent.
    pub agent: AgentId,
}

carries_nothing!(AgentChanged { agent: _ });

/// A runtime was deleted: pointers stay, name no runtime any more, and are offered to nobody. One that is set up again under the
/// same id begins anew, in the same directories.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct DropRuntime {
    /// The runtime, whatever its root.
    pub runtime: RuntimeId,
}

carries_nothing!(DropRuntime { runtime: _ });

/// The answer to [`DropRuntime`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RuntimeDropped {
    /// The runtime.
    pub runtime: RuntimeId,
}

carries_nothing!(RuntimeDropped { runtime: _ });
