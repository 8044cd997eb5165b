use serde::{Deserialize, Serialize};

use crate::{
    AgentId,
    id::RuntimeId,
    message::carries_nothing,
    operation::{
        SessionSubject,
        facts::{AnswerFacts, Facts, StatesFacts},
        session::on_every_thread,
    },
};

/// Starts a new generation of the sessions of an agent in every thread, as [`ResetSession`](crate::operation::ResetSession) does
/// in one thread. It is one short transaction for any number of threads.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ResetAgent {
    /// The agent.
    pub agent: AgentId,
}

carries_nothing!(ResetAgent { agent: _ });

/// Drops an agent: its sessions and runs are no longer readable, and a new agent with the same id does not inherit them. Messages
/// remain.
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

/// Drops a runtime: its pointers remain but have no runtime, so that no claimer can resume them. A new runtime with the same id
/// starts with fresh sessions in the same directories.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct DropRuntime {
    /// The runtime, with any root.
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

crate::operation::addresses_no_thread!(ResetAgent, DropAgent, AgentChanged, DropRuntime, RuntimeDropped);

impl StatesFacts for ResetAgent {
    fn facts(&self) -> Facts<'_> {
        on_every_thread(SessionSubject::of_run(&self.agent, None))
    }
}

impl StatesFacts for DropAgent {
    fn facts(&self) -> Facts<'_> {
        on_every_thread(SessionSubject::of_run(&self.agent, None))
    }
}

impl AnswerFacts for AgentChanged {
    fn answers(&self, asked: Option<&SessionSubject>) -> bool {
        asked == Some(&SessionSubject::of_run(&self.agent, None))
    }
}

impl StatesFacts for DropRuntime {
    fn facts(&self) -> Facts<'_> {
        on_every_thread(SessionSubject::of_runtime(&self.runtime))
    }
}

impl AnswerFacts for RuntimeDropped {
    fn answers(&self, asked: Option<&SessionSubject>) -> bool {
        asked == Some(&SessionSubject::of_runtime(&self.runtime))
    }
}
