//! The conformance kit: a test suite for backends and layers of Throughline, its own and those of other authors.
//!
//! The author of a backend writes a fixture and a `main` of one line, in a test target with `harness = false`:
//!
//! ```no_run
//! use std::process::ExitCode;
//! use throughline_conformance::{Fixture, StoreLocation, Profile};
//! use throughline_core::BoxError;
//! use throughline_memory::MemoryBackend;
//!
//! struct Memory;
//!
//! impl Fixture for Memory {
//!     type Backend = MemoryBackend;
//!
//!     fn profile(&self) -> Profile {
//!         Profile::new("memory")
//!     }
//!
//!     async fn open(&self, _location: &StoreLocation) -> Result<MemoryBackend, BoxError> {
//!         Ok(MemoryBackend::new())
//!     }
//! }
//!
//! fn main() -> ExitCode {
//!     throughline_conformance::main(Memory)
//! }
//! ```
//!
//! ```toml
//! [[test]]
//! name = "conformance"
//! harness = false
//! ```
//!
//! The program runs under `cargo test` and under runners with one process per test. It accepts the arguments of a Rust test program:
//! `cargo test --test conformance -- VL-S12`, and `--report FILE` for a [report](report::Report) as JSON. [`laws`] are the same for layers. The [`mutants`] test the checks themselves.
//!
//! # Checks
//! A [`Check`] has a stable id: an area and a sentence, such as `messages.deleted_id_cannot_be_reused`. A check that implements an acceptance
//! scenario prints the scenario after its id: `messages.appends_are_concatenated (VL-S12)`. The id selects a single check on the command line and in
//! [`Profile::expect_fail`]. Each check runs at its own [`StoreLocation`], in its own runtime, against the backend alone. No layer repeats or changes the
//! answers of the backend, unless the check is about that layer.
//!
//! - **Capabilities.** A check runs if the backend claims the [`Capabilities`](throughline_core::Capabilities) that the check needs. Otherwise
//!   the test program lists it as *ignored*, and the report does not count it as passed. The checks `capabilities.*` verify that the backend
//!   refuses unclaimed operations without effect. A check is also ignored if this machine cannot measure its result.
//! - **Levels.** A store in memory can pass every [`Level::Core`] check. A backend has the level `core` if it passes all core checks, and `full`
//!   if it also passes all others.
//! - **Known failures.** [`Profile::expect_fail`] names a check and a reason. The suite fails if such a check passes.
//! - **Time.** No check waits for real time: the checks advance clocks and timers. Real time only ends a check that hangs.
//! - **Processes.** The checks of durability start the test program again and kill it (`kill -9`). They verify what survives the end of a
//!   process. They do not verify what survives a power failure.
//!
//! # Environment
//! | variable | meaning |
//! |---|---|
//! | `THROUGHLINE_CONFORMANCE_CASES` | the number of random sequences that the checks `models.*` run |
//! | `THROUGHLINE_CONFORMANCE_SEED` | the seed of the random sequences; a failure prints it |
//! | `THROUGHLINE_CONFORMANCE_REPORT` | the directory of the [`report`] of runners with one process per test |
//! | `THROUGHLINE_CONFORMANCE_NOT_CLAIMED` | `list` prints every check that does not apply; otherwise the report counts them |
//! | `THROUGHLINE_CONFORMANCE_MATRIX` | `full` runs every check against every one of the [`mutants`] |

mod call;
mod check;
mod checks;
mod child;
mod clock;
mod erased;
mod expectation;
mod fake;
mod fixture;
mod harness;
mod history;
pub mod laws;
mod model;
pub mod mutants;
mod profile;
pub mod report;
mod rig;
mod runner;
mod shorthand;
mod tap;
mod thread_log;
mod timers;

pub use self::{
    call::call,
    check::{Check, Level},
    checks::all as checks,
    fake::{FakeBackend, FakeService},
    fixture::{Fixture, StoreLocation},
    harness::main,
    profile::Profile,
};
