//! What is done to agent sessions.
//!
//! What names a thread takes an idempotency key, scoped to that, and may be an item of a batch; what is done to a whole agent or
//! runtime speaks of no thread and does neither. Nothing of it is told among the changes.

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
use super::{Addressed, family::family};
use crate::{
    AgentId, MessageId, ThreadId,
    id::{AttemptId, RuntimeId},
};

family! {
    /// What is done to agent sessions. It goes through the same layers as the messages.
    #[derive(Eq)]
    SessionArgs in Session;
    /// The answers to [`SessionArgs`].
    #[derive(Eq)]
    SessionResult;

    /// Begins a run.
    Begin: BeginRun -> RunBegun as "beginRun";
    /// Renews the lease of a run.
    Renew: RenewRun -> RunRenewed as "renewRun";
    /// A run says which session it runs.
    Pin: PinSession -> SessionChanged as "pinSession";
    /// A run succeeded.
    Confirm: ConfirmRun -> SessionChanged as "confirmRun";
    /// A run failed.
    Fail: FailRun -> SessionChanged as "failRun";
    /// A run was stopped.
    Cancel: CancelRun -> SessionChanged as "cancelRun";
    /// Begins another generation.
    Reset: ResetSession -> SessionChanged as "resetSession";
    /// Declares a session unusable.
    Retire: RetireSession -> SessionChanged as "retireSession";
    /// Clears the pointer if it still points there.
    ClearIf: ClearPointerIf -> SessionChanged as "clearPointerIf";
    /// Takes over what another store kept.
    Adopt: AdoptSession -> SessionChanged as "adoptSession";
    /// Writes the runtime into a pointer that names none.
    Backfill: BackfillRuntime -> RuntimeBackfilled as "backfillRuntime";
    /// Begins another generation of every thread of an agent.
    ResetAgent: ResetAgent -> AgentChanged as "resetAgent";
    /// Forgets an agent.
    DropAgent: DropAgent -> AgentChanged as "dropAgent";
    /// Forgets a runtime.
    DropRuntime: DropRuntime -> RuntimeDropped as "dropRuntime";
}

/// What an operation or an answer is about beside its thread: what no layer may change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SessionSubject {
    agent: Option<AgentId>,
    runtime: Option<RuntimeId>,
    attempt: Option<AttemptId>,
}

impl SessionSubject {
    /// The agent that it is of, or the runtime.
    pub(crate) fn name(&self) -> Option<String> {
        let agent = self.agent.as_ref().map(ToString::to_string);
        agent.or_else(|| self.runtime.as_ref().map(ToString::to_string))
    }

    /// Of a whole agent, or of what it does in a thread.
    pub(crate) const fn of_agent(agent: AgentId) -> Self {
        Self { agent: Some(agent), runtime: None, attempt: None }
    }
}

impl SessionArgs {
    pub(crate) fn subject(&self) -> SessionSubject {
        let attempt = match self {
            Self::Begin(BeginRun { attempt, .. })
            | Self::Renew(RenewRun { attempt, .. })
            | Self::Pin(PinSession { attempt, .. })
            | Self::Confirm(ConfirmRun { attempt, .. })
            | Self::Fail(FailRun { attempt, .. })
            | Self::Cancel(CancelRun { attempt, .. }) => Some(attempt.clone()),
            Self::Reset(_)
            | Self::Retire(_)
            | Self::ClearIf(_)
            | Self::Adopt(_)
            | Self::Backfill(_)
            | Self::ResetAgent(_)
            | Self::DropAgent(_)
            | Self::DropRuntime(_) => None,
        };
        let runtime = match self {
            Self::DropRuntime(dropped) => Some(dropped.runtime.clone()),
            _ => None,
        };
        SessionSubject { agent: self.agent().cloned(), runtime, attempt }
    }

    /// The agent that it is of; none where it is of a runtime.
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
    /// Whether it may answer an operation about `asked`.
    pub(crate) fn answers(&self, asked: &SessionSubject) -> bool {
        let (agent, runtime, attempt) = match self {
            Self::Begin(RunBegun { agent, attempt, .. }) | Self::Renew(RunRenewed { agent, attempt, .. }) => {
                (Some(agent), None, Some(attempt))
            }
            Self::Pin(changed)
            | Self::Confirm(changed)
            | Self::Fail(changed)
            | Self::Cancel(changed)
            | Self::Reset(changed)
            | Self::Retire(changed)
            | Self::ClearIf(changed)
            | Self::Adopt(changed) => (Some(&changed.binding.agent), None, asked.attempt.as_ref()),
            Self::Backfill(filled) => (Some(&filled.agent), None, None),
            Self::ResetAgent(AgentChanged { agent }) | Self::DropAgent(AgentChanged { agent }) => {
                (Some(agent), None, None)
            }
            Self::DropRuntime(dropped) => (None, Some(&dropped.runtime), None),
        };
        (agent, runtime, attempt) == (asked.agent.as_ref(), asked.runtime.as_ref(), asked.attempt.as_ref())
    }

    /// Whether an earlier call with the same idempotency key had done it.
    #[must_use]
    pub const fn is_deduplicated(&self) -> bool {
        match self {
            Self::Begin(RunBegun { deduplicated, .. })
            | Self::Renew(RunRenewed { deduplicated, .. })
            | Self::Backfill(RuntimeBackfilled { deduplicated, .. }) => *deduplicated,
            Self::Pin(changed)
            | Self::Confirm(changed)
            | Self::Fail(changed)
            | Self::Cancel(changed)
            | Self::Reset(changed)
            | Self::Retire(changed)
            | Self::ClearIf(changed)
            | Self::Adopt(changed) => changed.deduplicated,
            Self::ResetAgent(_) | Self::DropAgent(_) | Self::DropRuntime(_) => false,
        }
    }

    /// The same as the answer to a repeated call.
    pub(crate) fn replayed(mut self) -> Self {
        match &mut self {
            Self::Begin(RunBegun { deduplicated, .. })
            | Self::Renew(RunRenewed { deduplicated, .. })
            | Self::Backfill(RuntimeBackfilled { deduplicated, .. }) => *deduplicated = true,
            Self::Pin(changed)
            | Self::Confirm(changed)
            | Self::Fail(changed)
            | Self::Cancel(changed)
            | Self::Reset(changed)
            | Self::Retire(changed)
            | Self::ClearIf(changed)
            | Self::Adopt(changed) => changed.deduplicated = true,
            Self::ResetAgent(_) | Self::DropAgent(_) | Self::DropRuntime(_) => {}
        }
        self
    }
}

/// A whole agent and a runtime are of the tenant: they speak of no thread.
impl Addressed for SessionArgs {
    fn thread(&self) -> Option<&ThreadId> {
        match self {
            Self::Begin(BeginRun { thread, .. })
            | Self::Renew(RenewRun { thread, .. })
            | Self::Pin(PinSession { thread, .. })
            | Self::Confirm(ConfirmRun { thread, .. })
            | Self::Fail(FailRun { thread, .. })
            | Self::Cancel(CancelRun { thread, .. })
            | Self::Reset(ResetSession { thread, .. })
            | Self::Retire(RetireSession { thread, .. })
            | Self::ClearIf(ClearPointerIf { thread, .. })
            | Self::Adopt(AdoptSession { thread, .. })
            | Self::Backfill(BackfillRuntime { thread, .. }) => Some(thread),
            Self::ResetAgent(_) | Self::DropAgent(_) | Self::DropRuntime(_) => None,
        }
    }

    fn message(&self) -> Option<&MessageId> {
        None
    }
}

impl Addressed for SessionResult {
    fn thread(&self) -> Option<&ThreadId> {
        match self {
            Self::Begin(RunBegun { thread, .. })
            | Self::Renew(RunRenewed { thread, .. })
            | Self::Backfill(RuntimeBackfilled { thread, .. }) => Some(thread),
            Self::Pin(changed)
            | Self::Confirm(changed)
            | Self::Fail(changed)
            | Self::Cancel(changed)
            | Self::Reset(changed)
            | Self::Retire(changed)
            | Self::ClearIf(changed)
            | Self::Adopt(changed) => Some(&changed.binding.thread),
            Self::ResetAgent(_) | Self::DropAgent(_) | Self::DropRuntime(_) => None,
        }
    }

    fn message(&self) -> Option<&MessageId> {
        None
    }
}
