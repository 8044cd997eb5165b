//! Repeats what failed and passes with time.
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
//! # What is repeated
//! An attempt is repeated when its error [is transient](throughline_core::PersistError::is_transient): the kind passes with time,
//! and either nothing was applied, or the call has an idempotency key, which makes a second application impossible.
//! Every operation is treated alike. Id, key and content are those of the first attempt; the timestamp and
//! [`Context::attempt`](throughline_core::Context::attempt) are the attempt's own.
//!
//! An answer that took more than one attempt says so in its extensions ([`AttemptsMade`](throughline_core::pipeline::AttemptsMade)).
//! An error that comes out names the attempts and stays transient; another retry layer further out does not repeat it.
//! Between attempts it waits exponentially longer, with jitter, or as long as the error asks. A wait that would end
//! after the deadline of the call is not begun.
//!
//! # Budget
//! All calls through one layer share a budget of repetitions, so that a store that is down is not asked several times as
//! often as usual: each first attempt adds a part of a repetition to it, each repetition takes one.

mod budget;
mod future;
mod layer;
mod service;

pub use self::{future::RetryFuture, layer::RetryLayer, service::RetryService};
