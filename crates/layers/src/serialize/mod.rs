//! Runs the writes of one thread one at a time, in arrival order.
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
//! // The second write starts when the first one is answered.
//! let (first, second) = tokio::join!(
//!     thread.add(NewMessage::user("one")).into_future(),
//!     thread.add(NewMessage::user("two")).into_future(),
//! );
//! # assert!(first.is_err() && second.is_err());
//! # Ok(())
//! # }
//! ```
//!
//! # Order
//! | call | waits for |
//! |---|---|
//! | a write of one thread | all earlier writes of that thread |
//! | a batch with several threads | all earlier writes of all of them |
//! | a read | nothing |
//! | a write without a thread, such as that of a consumer or of a whole agent | nothing |
//!
//! A call enters the queues of all its threads in one step when it reaches this layer. So two batches cannot wait for
//! each other, and no call overtakes another. While a batch waits for one of its threads, later writes of its other
//! threads wait behind it.
//!
//! # How long a permit is held
//! A call keeps its permit until it is answered. A write that continues after its caller left or after an attempt
//! [timeout](super::timeout) keeps the permit until it ends. A dropped call leaves the queue; a call whose deadline
//! expires fails as `Timeout` with the effect `NotApplied`, with this layer as the site. A thread without writes takes
//! no memory.
//!
//! Each pipeline has its own queues: if two pipelines write to one store, the store orders their writes. An inner layer
//! must not write to the same thread through a handle of the same pipeline and wait for the answer: that write would
//! wait for the call that it is part of.
//!
//! The layer fails closed: no write starts early.

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
