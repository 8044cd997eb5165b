//! Runs of agents: each run begins under a lease, resumes a provider session, and ends once.
//!
//! - [`SessionRunner`] prepares runs over one pipeline. It holds the wait limit and the grace period.
//! - [`PreparedRun`] begins one run, calls a closure with it, and ends it.
//! - [`Run`] is the view of the closure: the session to resume, the work directory, and the request to stop.
//! - [`RunSuccess`] and [`RunFailure`] are the answers of the closure. [`CompletedRun`] and [`RunError`] are the results for
//!   the host.
//!
//! The operations and handles of sessions are in [`throughline_core::sessions`]. A host that ends its runs by hand needs only
//! those.
//!
//! ```no_run
//! use throughline_core::{
//!     NewMessage, Persistence,
//!     messages::Add,
//!     sessions::{Claimer, Runtime},
//! };
//! use throughline_session_runs::{RunSuccess, SessionRunner};
//!
//! # async fn example(db: Persistence) -> Result<(), Box<dyn std::error::Error>> {
//! let runner = SessionRunner::new(db.clone());
//! let claimer = Claimer::new("claude".parse()?, Runtime::new("laptop".parse()?, "root-1".parse()?));
//! let agent = db.agent("coder").on("telegram:42");
//! let completed = runner
//!     .prepare(agent.run(claimer)?)
//!     .run(async |run| {
//!         if let Some(gap) = run.gap() {
//!             println!("(the agent does not remember: {})", gap.reason);
//!         }
//!         // … start the agent with `run.session()` in `run.work_dir()`, and read the id of its session …
//!         run.pin_session("session-7".parse()?).await?;
//!         let answer = NewMessage::assistant("Done.");
//!         Ok(RunSuccess::new(()).with_write(Add::new("telegram:42".parse()?, answer)))
//!     })
//!     .await?;
//! assert!(completed.changed.moved);
//! # Ok(())
//! # }
//! ```

mod active;
mod begin;
mod end;
mod outcome;
mod prepared;
mod queue;
mod retry;
mod run;
mod runner;
mod state;
mod stop;

pub use self::{
    outcome::{CompletedRun, RunError, RunFailure, RunSuccess},
    prepared::PreparedRun,
    run::Run,
    runner::SessionRunner,
    stop::StopReason,
};
