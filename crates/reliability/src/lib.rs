//! Faults for the SQLite and the Postgres store, and what the checks under `tests/` share: how much they do, what they print, what they
//! could not check.
//!
//! ```
//! use throughline_reliability::Report;
//!
//! let mut report = Report::new("REL-0");
//! report.count("cycles", 3);
//! report.fired("fsync failed", 1); // a fault that was planned and never fired fails the check
//! report.finish();
//! ```

pub mod acks;
pub mod mount;
mod preload;
mod report;
mod scale;
mod second_library;
mod skip;
pub mod vfs;
pub mod worker;

pub use self::{
    preload::preload_library,
    report::Report,
    scale::scaled,
    second_library::{SecondConnection, SecondLibrary},
    skip::skipped,
};
