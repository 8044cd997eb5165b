//! Runs that end well, or at least end.

mod again;
mod ended;
mod handle;
mod held;
mod outcome;
mod prepared;
mod runner;
mod wait;

use crate::{AgentId, TenantId, ThreadId, keyed_queue::KeyedPermit};

type Permit = KeyedPermit<(TenantId, AgentId, ThreadId)>;

pub use self::{
    handle::{Run, Stop},
    outcome::{Finished, Ran, RunError, RunFailure},
    prepared::PreparedRun,
    runner::SessionRunner,
};
