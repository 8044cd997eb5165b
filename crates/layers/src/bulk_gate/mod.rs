//! Lets live turns go before bulk work.
//!
//! ```
//! # use throughline_core::{Admitted, Backend, Capabilities, Durability};
//! # struct Nowhere;
//! # impl Backend for Nowhere {
//! #     fn name(&self) -> &str { "nowhere" }
//! #     fn capabilities(&self) -> Capabilities { Capabilities::new(Durability::Volatile) }
//! # }
//! use std::time::Duration;
//! use throughline_core::{NewMessage, Persistence, threads::PurgeThread};
//! use throughline_layers::{bulk_gate::BulkGateLayer};
//!
//! # #[tokio::main(flavor = "current_thread", start_paused = true)]
//! # async fn main() -> throughline_core::Result<()> {
//! let gate = BulkGateLayer::new().at_once(1).quiet(Duration::from_millis(100));
//! let db = Persistence::builder().layer(gate).backend(Nowhere).build()?;
//! db.thread("t").add(NewMessage::user("a live turn")).await.unwrap_err();
//! // Begins when nothing was written for 100 ms.
//! db.on_thread(PurgeThread { thread: "old".parse()?, limit: 100 }).await.unwrap_err();
//! # Ok(())
//! # }
//! ```
//!
//! # What is bulk, and what is live
//! | call | is |
//! |---|---|
//! | an import; a prune, a purge or a rebuild of a thread | bulk |
//! | a backfill of sessions, and what drops a whole agent or runtime | bulk |
//! | a batch of more items than [`batch_items`](BulkGateLayer::batch_items) | bulk |
//! | what the host [says](BulkGateLayer::also) is bulk, reads included | bulk |
//! | a write of a consumer of the changes; any other read | neither: it passes, and holds nothing up |
//! | every other write | live |
//!
//! A live call is never delayed.
//!
//! # What bulk work waits for
//! For one of [`at_once`](BulkGateLayer::at_once) places, in the order in which it came; then until no more than
//! [`beside`](BulkGateLayer::beside) live writes are under way and none has ended for [`quiet`](BulkGateLayer::quiet). After
//! [`longest`](BulkGateLayer::longest), counted from when it came, live writes do not hold it up any more: it goes on as soon as it
//! has a place. What has begun is not stopped.
//!
//! A caller whose deadline passes while it waits is told `Timeout` and `NotApplied`; when
//! [`waiting`](BulkGateLayer::waiting) wait already, the next one is refused as `Overloaded`. A call keeps its place until it is
//! answered, also when its caller left after the hand-over, and while a write goes on that an attempt timeout gave up.
//!
//! It fails closed: bulk work does not begin out of turn.

mod bulk;
mod future;
mod gate;
mod layer;
mod service;

pub use self::{future::BulkGateFuture, layer::BulkGateLayer, service::BulkGateService};
