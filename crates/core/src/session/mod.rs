//! Agent sessions: pointers, claims and attempts.

mod attempt;
mod claim;
mod failure;
mod pointer;
mod resolution;

pub use self::{
    attempt::{Attempt, AttemptState, HandOff},
    claim::{Claimer, Directory, Reach},
    failure::{AfterFailure, Failure},
    pointer::{Binding, GenerationCause, Pointer, PointerState, RunLease, Runtime},
    resolution::{Gap, Resolution, Withheld},
};
