//! A worker process that a test kills, and its control by the test.
//!
//! The process itself is the program `worker` of this crate. A test starts it with a [`Job`]:
//!
//! ```no_run
//! use throughline_reliability::worker::{Job, Worker};
//!
//! # fn main() -> std::io::Result<()> {
//! # let (store, acks) = (std::path::Path::new("chat.db"), std::path::Path::new("acks"));
//! # let program = "worker"; // in a test: env!("CARGO_BIN_EXE_worker")
//! let job = Job { operations: Some(100), ..Job::new(store, acks, "1") };
//! let mut worker = Worker::start(program, &job)?;
//! assert_eq!(worker.line().as_deref(), Some("open"));
//! worker.kill()?;
//! assert!(worker.end()?.was_killed());
//! # Ok(())
//! # }
//! ```

mod job;
mod process;

pub use self::{
    job::{Interference, Job, Mix, Then, Work},
    process::{End, Worker},
};

use throughline_layers::audit::AuditKey;

/// The key of every audit log of the checks.
#[must_use]
pub fn audit_key() -> AuditKey {
    AuditKey::new(&[36; 32])
}
