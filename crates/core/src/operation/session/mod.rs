//! The operations on agent sessions.
//!
//! An operation on one thread takes an idempotency key of that thread, and can be an item of a batch. An operation on a whole
//! agent or runtime addresses no thread; it takes no key and cannot be an item. None of them emits a change event.

mod adopt;
mod agent;
mod begin;
mod change;
mod end;

pub use self::{
    adopt::{AdoptSession, AdoptedPointer, AdoptedRun, BackfillRuntime, RuntimeBackfilled},
    agent::{AgentChanged, DropAgent, DropRuntime, ResetAgent, RuntimeDropped},
    begin::{BeginRun, RenewRun, RunBegun, RunRenewed},
    change::{ClearPointerIf, ResetSession, RetireSession, SessionChanged},
    end::{CancelRun, ConfirmRun, FailRun, PinSession, RunReport},
};
use super::{
    Verb,
    facts::{Facts, Split},
    family::family,
};
use crate::{
    AgentId,
    id::{AttemptId, RuntimeId},
};

family! {
    /// The operations on agent sessions. They pass through the same layers as messages.
    #[derive(Eq)]
    SessionArgs in Session;
    /// The answers to [`SessionArgs`].
    #[derive(Eq)]
    SessionResult;

    /// Begins a run.
    Begin: BeginRun -> RunBegun as "beginRun";
    /// Renews the lease of a run.
    Renew: RenewRun -> RunRenewed as "renewRun";
    /// Records the session of a run.
    Pin: PinSession -> SessionChanged as "pinSession";
    /// Ends a run with success.
    Confirm: ConfirmRun -> SessionChanged as "confirmRun";
    /// Ends a run with a failure.
    Fail: FailRun -> SessionChanged as "failRun";
    /// Ends a run that was stopped.
    Cancel: CancelRun -> SessionChanged as "cancelRun";
    /// Starts a new generation of sessions in one thread.
    Reset: ResetSession -> SessionChanged as "resetSession";
    /// Retires a session.
    Retire: RetireSession -> SessionChanged as "retireSession";
    /// Clears the pointer if it still names a session.
    ClearIf: ClearPointerIf -> SessionChanged as "clearPointerIf";
    /// Imports sessions from another store.
    Adopt: AdoptSession -> SessionChanged as "adoptSession";
    /// Adds the missing runtime to a pointer.
    Backfill: BackfillRuntime -> RuntimeBackfilled as "backfillRuntime";
    /// Starts a new generation of the sessions of an agent in all threads.
    ResetAgent: ResetAgent -> AgentChanged as "resetAgent";
    /// Drops an agent.
    DropAgent: DropAgent -> AgentChanged as "dropAgent";
    /// Drops a runtime.
    DropRuntime: DropRuntime -> RuntimeDropped as "dropRuntime";
}

/// The subject of an operation or an answer apart from its thread. No layer may change it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SessionSubject {
    agent: Option<AgentId>,
    runtime: Option<RuntimeId>,
    attempt: Option<AttemptId>,
}

impl SessionSubject {
    /// The name of the agent or the runtime.
    pub(crate) fn name(&self) -> Option<String> {
        let agent = self.agent.as_ref().map(ToString::to_string);
        agent.or_else(|| self.runtime.as_ref().map(ToString::to_string))
    }

    /// Returns the subject of a run, or of an agent without one.
    pub(crate) fn of_run(agent: &AgentId, attempt: Option<&AttemptId>) -> Self {
        Self { agent: Some(agent.clone()), runtime: None, attempt: attempt.cloned() }
    }

    /// Returns the subject of a whole runtime.
    pub(crate) fn of_runtime(runtime: &RuntimeId) -> Self {
        Self { agent: None, runtime: Some(runtime.clone()), attempt: None }
    }

    /// Whether this is about the agent.
    pub(crate) fn is_about(&self, agent: &AgentId) -> bool {
        self.agent.as_ref() == Some(agent)
    }
}

/// The facts that the operations on the sessions of an agent in a thread share.
fn on_thread(agent: &AgentId, attempt: Option<&AttemptId>) -> Facts<'static> {
    Facts {
        session: Some(SessionSubject::of_run(agent, attempt)),
        is_batchable: true,
        split_by_message: Split::Here,
        ..Facts::needing(&[Verb::Sessions])
    }
}

/// The facts that the operations on a whole agent or runtime share.
fn on_every_thread(subject: SessionSubject) -> Facts<'static> {
    Facts {
        session: Some(subject),
        grows: true,
        split_by_message: Split::Here,
        ..Facts::needing(&[Verb::Sessions])
    }
}

impl SessionArgs {
    /// The agent of the operation. `None` for an operation on a runtime.
    #[must_use]
    pub const fn agent(&self) -> Option<&AgentId> {
        Some(match self {
            Self::Begin(BeginRun { agent, .. })
            | Self::Renew(RenewRun { agent, .. })
            | Self::Pin(PinSession { agent, .. })
            | Self::Confirm(ConfirmRun { agent, .. })
            | Self::Fail(FailRun { agent, .. })
            | Self::Cancel(CancelRun { agent, .. })
            | Self::Reset(ResetSession { agent, .. })
            | Self::Retire(RetireSession { agent, .. })
            | Self::ClearIf(ClearPointerIf { agent, .. })
            | Self::Adopt(AdoptSession { agent, .. })
            | Self::Backfill(BackfillRuntime { agent, .. })
            | Self::ResetAgent(ResetAgent { agent })
            | Self::DropAgent(DropAgent { agent }) => agent,
            Self::DropRuntime(_) => return None,
        })
    }
}

impl SessionResult {
    /// Whether this answer replays an earlier call with the same idempotency key.
    #[must_use]
    pub fn is_deduplicated(&self) -> bool {
        self.facts().is_deduplicated()
    }
}
