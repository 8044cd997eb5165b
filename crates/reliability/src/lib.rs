//! Fault injection for the SQLite and Postgres stores, and the shared parts of the checks under `tests/`: scale,
//! report and skips.
//!
//! ```
//! use throughline_reliability::Report;
//!
//! let mut report = Report::new("REL-0");
//! report.count("cycles", 3);
//! report.fired("fsync failed", 1); // a planned fault that never fired fails the check
//! report.finish();
//! ```

pub mod acks;
mod health;
pub mod mount;
mod preload;
mod report;
mod scale;
mod second_library;
mod skip;
pub mod vfs;
pub mod worker;

pub use self::{
    health::health_when,
    preload::preload_library,
    report::Report,
    scale::scaled,
    second_library::{SecondConnection, SecondLibrary},
    skip::skipped,
};
