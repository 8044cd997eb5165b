//! Runs that end well, or at least end.

mod again;
mod ended;
mod handle;
mod held;
mod lines;
mod outcome;
mod prepared;
mod runner;
mod wait;

pub(crate) use self::lines::Lines;
pub use self::{
    handle::{Run, Stop},
    outcome::{Finished, Ran, RunError, RunFailure},
    prepared::PreparedRun,
    runner::SessionRunner,
};
