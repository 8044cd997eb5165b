//! The writes of one thread, one after the other in the order in which they came.
//!
//! ```
//! # use throughline_core::{Admitted, Backend, Capabilities, Durability};
//! # struct Nowhere;
//! # impl Backend for Nowhere {
//! #     fn name(&self) -> &str { "nowhere" }
//! #     fn capabilities(&self) -> Capabilities { Capabilities::new(Durability::Volatile) }
//! # }
//! use throughline_core::{NewMessage, Persistence};
//! use throughline_layers::{serialize::SerializeLayer};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> throughline_core::Result<()> {
//! let db = Persistence::builder().layer(SerializeLayer::new()).backend(Nowhere).build()?;
//! let thread = db.thread("t");
//! // The second one goes on when the first one is answered.
//! let (first, second) = tokio::join!(
//!     thread.add(NewMessage::user("one")).into_future(),
//!     thread.add(NewMessage::user("two")).into_future(),
//! );
//! # assert!(first.is_err() && second.is_err());
//! # Ok(())
//! # }
//! ```
//!
//! # What waits for what
//! | call | waits for |
//! |---|---|
//! | a write of one thread | the writes of that thread, of this tenant, that came before |
//! | a batch that speaks of several threads | the writes of all of them that came before |
//! | a read | nothing |
//! | a write of no thread, such as one of a consumer or of a whole agent | nothing |
//!
//! A call joins the queues of all its threads in one step when it comes to this layer. So two batches cannot wait
//! for each other, and nobody overtakes. While a batch waits for one of its threads, later writes of its other threads wait
//! behind it.
//!
//! # How long a permit is held
//! Until the call is answered, also when its caller left after the hand-over. A write that an attempt
//! [timeout](super::timeout) gave up and that still goes on holds it to its end. A caller that leaves while it waits leaves
//! its place; one whose deadline passes is told `Timeout` and `NotApplied`, with this layer as the site. A thread that nobody
//! writes to takes no memory.
//!
//! Each pipeline has queues of its own: a store that two pipelines write to orders their writes itself. A layer further in must
//! not write to the same thread through a handle of the same pipeline and wait for the answer, because that write waits for the
//! one it is a part of.
//!
//! It fails closed: no write goes on out of turn.

mod future;
mod layer;
mod service;

use throughline_core::{
    TenantId, ThreadId,
    keyed_queue::{KeyedPermit, KeyedQueue},
};

/// One queue for each thread of a tenant.
type Queue = KeyedQueue<(TenantId, ThreadId)>;
type Permit = KeyedPermit<(TenantId, ThreadId)>;

pub use self::{future::SerializeFuture, layer::SerializeLayer, service::SerializeService};
