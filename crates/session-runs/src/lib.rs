//! Runs that end well, or at least end.

mod begin;
mod end;
mod lease;
mod outcome;
mod prepared;
mod retry;
mod run;
mod runner;

use throughline_core::{
    AgentId, TenantId, ThreadId,
    keyed_queue::{KeyedPermit, KeyedQueue},
};

type RunKey = (TenantId, AgentId, ThreadId);
type Permit = KeyedPermit<RunKey>;

/// The queues of one pipeline: one for each agent and thread.
#[derive(Debug, Default)]
struct RunQueue(KeyedQueue<RunKey>);

pub use self::{
    outcome::{Finished, Ran, RunError, RunFailure},
    prepared::PreparedRun,
    run::{Run, Stop},
    runner::SessionRunner,
};
