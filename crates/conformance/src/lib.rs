//! Is it a backend of Throughline? Is it a layer? This crate answers, for those of the framework and for yours.
//!
//! The whole of what the author of a backend writes is a fixture and one line, in a test target with `harness = false`:
//!
//! ```no_run
//! use std::process::ExitCode;
//! use throughline_conformance::{Fixture, Place, Profile};
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
//!     async fn open(&self, _place: &Place) -> Result<MemoryBackend, BoxError> {
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
//! It runs under `cargo test` and under runners with a process for each test, and understands their arguments:
//! `cargo test --test conformance -- VL-S1`. For layers there are [`laws`]; who tests all of these tests is told at
//! [`mutants`].
//!
//! # Checks
//! A [`Check`] has a stable id, under which it can be run alone, looked up and expected to fail: a scenario of the
//! framework (`VL-S9`, split ones as `VL-S9.batch`), one of the stores that hosts wrote by hand before (`T3-S2`, `RR-S12`), or
//! a plain rule (`delete.tombstone`). Each runs at a [`Place`] of its own, on a runtime of its own, against the backend alone:
//! no layer repeats or softens what it answers, except where the check is about that layer.
//!
//! - **Gates.** What a check needs is compared with the [`Capabilities`](throughline_core::Capabilities) of the backend. A
//!   check that does not apply is listed as *ignored*: never absent, never passed. What is not claimed is checked for
//!   being refused without a trace (`claims.…`). A check that looks at what this machine does not tell is ignored too.
//! - **Levels.** A [`Level::Core`] check needs nothing that a store in memory could not do. A backend has the level
//!   `core` when all of these have passed, and `full` when all others have as well.
//! - **Known gaps.** [`Profile::expect_fail`] names them, with a reason. Such a check must fail, or the suite does.
//! - **Time.** No check waits for time to pass: clocks and timers are turned. Only a hang is ended by a clock.
//! - **Processes.** Checks of durability start the test program again and kill it (`kill -9`). They show what survives the
//!   end of a process; what survives the loss of power is claimed, and not shown.
//!
//! # Environment
//! | variable | meaning |
//! |---|---|
//! | `THROUGHLINE_CONFORMANCE_CASES` | how many random sequences `model.sequences` and `model.sessions` run |
//! | `THROUGHLINE_CONFORMANCE_SEED` | which ones; a failure names its seed |
//! | `THROUGHLINE_CONFORMANCE_REPORT` | a directory for the [`report`], where each test is a process |
//! | `THROUGHLINE_CONFORMANCE_MATRIX` | `full` runs every check against every one of the [`mutants`] |

mod call;
mod check;
mod checks;
mod child;
mod clock;
mod erased;
mod fake;
mod fixture;
mod harness;
mod history;
mod judge;
pub mod laws;
mod model;
pub mod mutants;
mod profile;
pub mod report;
mod rig;
mod shorthand;
mod tap;
mod turned;
mod verdict;

pub use self::{
    call::call,
    check::{Check, Level},
    checks::all as checks,
    fake::{FakeBackend, FakeService},
    fixture::{Fixture, Place},
    harness::main,
    profile::Profile,
};
