//! Agent sessions: where an agent goes on in a thread, kept so that it never points wrong.
//!
//! A provider keeps the session itself; the store keeps the [`Pointer`] to it, under the tuple (tenant, agent, thread). A
//! pointer is one value that is only ever written whole, so that nobody sees a session beside a runtime that never had it.
//! Each run is an [`Attempt`]: begun under a lease, confirmed or failed once. What a claim may resume is decided from both,
//! and where a session that is known is not offered, the answer says [why](Withheld):
//!
//! ```
//! use throughline_core::session::{Claimer, Runtime, Withheld};
//!
//! let claimer = Claimer::new("claude".parse()?, Runtime::new("laptop".parse()?, "root-1".parse()?));
//! // A host that says nothing of its runtime is offered nothing: no runtime is like no other.
//! let unknown = Claimer { runtime: None, ..claimer };
//! assert!(unknown.runtime.is_none());
//! assert_eq!(Withheld::RuntimeMismatch.as_str(), "runtimeMismatch");
//! # Ok::<(), throughline_core::InvalidId>(())
//! ```
//!
//! A host hands a run to a [`SessionRunner`], which begins it, keeps its lease and ends it, whatever becomes of it.

mod attempt;
mod claim;
mod failure;
mod pointer;
mod resolution;
mod run;

pub(crate) use self::run::Lines;
pub use self::{
    attempt::{Attempt, AttemptState, HandOff},
    claim::{Claimer, Directory, Reach},
    failure::{AfterFailure, Failure},
    pointer::{Binding, GenerationCause, Pointer, PointerState, RunLease, Runtime},
    resolution::{Gap, Resolution, Withheld},
    run::{Finished, PreparedRun, Ran, Run, RunError, RunFailure, SessionRunner, Stop},
};
