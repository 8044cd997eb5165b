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
use super::{Addressed, family::family};
use crate::{
    AgentId, MessageId, ThreadId,
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

    /// Returns the subject of a whole agent, or of an agent in a thread.
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
    /// Whether this can answer an operation on `asked`.
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

    /// Whether this answer replays an earlier call with the same idempotency key.
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

    /// Returns the same answer, marked as a replay.
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

/// An operation on a whole agent or runtime belongs to the tenant and addresses no thread.
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
