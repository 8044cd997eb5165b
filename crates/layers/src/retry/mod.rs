//! Repeats calls with transient errors.
//!
//! ```
//! # use std::sync::atomic::{AtomicU32, Ordering};
//! # use throughline_core::{
//! #     Admitted, Backend, Capabilities, Durability, ErrorKind, MessageState, OpKind,
//! #     PersistError, Reply, Result, Revision, Seq,
//! #     messages::{Delete, Deleted},
//! # };
//! # struct BusyTwice(AtomicU32);
//! # impl Backend for BusyTwice {
//! #     fn name(&self) -> &str { "busy-twice" }
//! #     fn capabilities(&self) -> Capabilities {
//! #         Capabilities::new(Durability::Volatile).with_operations(&[OpKind::Delete])
//! #     }
//! #     async fn delete(&self, call: Admitted<'_, Delete>) -> Result<Reply<Delete>> {
//! #         if self.0.fetch_add(1, Ordering::Relaxed) < 2 {
//! #             return Err(PersistError::new(ErrorKind::Busy, "locked"));
//! #         }
//! #         let (op, _, _) = call.into_parts();
//! #         Ok(Reply::new(Deleted {
//! #             thread: op.thread, id: op.id, seq: Seq::FIRST, revision: Revision::FIRST,
//! #             state: MessageState::Final, attachments: vec![], deduplicated: false,
//! #         }))
//! #     }
//! # }
//! use throughline_core::{Persistence};
//! use throughline_layers::{retry::RetryLayer};
//!
//! # #[tokio::main(flavor = "current_thread", start_paused = true)]
//! # async fn main() -> Result<()> {
//! // A store that is busy for the first two attempts.
//! let store = BusyTwice(AtomicU32::new(0));
//! let db = Persistence::builder().layer(RetryLayer::new()).backend(store).build()?;
//! assert!(db.thread("t").delete("m".parse()?).await.is_ok());
//! # Ok(())
//! # }
//! ```
//!
//! # Repeated calls
//! The layer repeats an attempt when its error [is transient](throughline_core::PersistError::is_transient). Then the
//! condition is temporary, and a second application is impossible: either nothing was applied, or the call has an
//! idempotency key. All operations are treated alike. Each attempt has the id, key and content of the first one, but
//! its own timestamp and [`Context::attempt`](throughline_core::Context::attempt).
//!
//! An answer after more than one attempt carries their number in its extensions
//! ([`AttemptsMade`](throughline_core::pipeline::AttemptsMade)). An error also carries the number of attempts and stays
//! transient; an outer retry layer does not repeat it. The layer waits between attempts with exponential backoff and
//! jitter, or as long as the error requests. It stops when the wait would end after the deadline of the call.
//!
//! # Budget
//! All calls of one layer share a budget of repetitions, so that an unavailable store does not receive a multiple of
//! its usual load. Each first attempt adds a fraction of a repetition to the budget, and each repetition takes one.

mod budget;
mod future;
mod layer;
mod service;

pub use self::{future::RetryFuture, layer::RetryLayer, service::RetryService};
