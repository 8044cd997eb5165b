//! Delays bulk work while live writes run.
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
//! let layer = BulkGateLayer::new().at_once(1).quiet(Duration::from_millis(100));
//! let db = Persistence::builder().layer(layer).backend(Nowhere).build()?;
//! db.thread("t").add(NewMessage::user("a live turn")).await.unwrap_err();
//! // Starts when no write ended within the last 100 ms.
//! db.on_thread(PurgeThread { thread: "old".parse()?, limit: 100 }).await.unwrap_err();
//! # Ok(())
//! # }
//! ```
//!
//! # Bulk and live calls
//! | call | class |
//! |---|---|
//! | an import; a prune, a purge or a rebuild of a thread | bulk |
//! | a backfill of sessions, and what drops a whole agent or runtime | bulk |
//! | a batch of more items than [`batch_items`](BulkGateLayer::batch_items) | bulk |
//! | calls that the host [classifies](BulkGateLayer::also) as bulk, including reads | bulk |
//! | a write of a consumer of the change feed; any other read | neither: it does not wait and delays no bulk work |
//! | every other write | live |
//!
//! The layer never delays a live call.
//!
//! # The wait of bulk work
//! A bulk call first waits for one of the [`at_once`](BulkGateLayer::at_once) permits. The tenants get them in rotation,
//! and the calls of one tenant in arrival order. It then waits until at most
//! [`max_live_writes`](BulkGateLayer::max_live_writes) live writes run and none has ended within the last
//! [`quiet`](BulkGateLayer::quiet) period. The time [`longest`](BulkGateLayer::longest) bounds the second wait; it
//! counts from the arrival of the call. The layer does not stop bulk work that has started.
//!
//! A call whose deadline expires while it waits fails as `Timeout` with the effect `NotApplied`. When
//! [`waiting`](BulkGateLayer::waiting) calls already wait, the next one fails as `Overloaded`. A call keeps its permit
//! until it is answered. A write that continues after its caller left or after an attempt timeout keeps the permit
//! until it ends.
//!
//! The layer fails closed: bulk work never starts early.

mod class;
mod future;
mod layer;
mod queue;
mod service;

pub use self::{future::BulkGateFuture, layer::BulkGateLayer, service::BulkGateService};
