//! The stack: layers in named phases, composed statically, erased once.
//!
//! ```
//! # use throughline_core::{Admitted, Backend, Capabilities, Durability, Reply, messages::Add};
//! # struct Nowhere;
//! # impl Backend for Nowhere {
//! #     fn name(&self) -> &str { "nowhere" }
//! #     fn capabilities(&self) -> Capabilities { Capabilities::new(Durability::Volatile) }
//! # }
//! use throughline_core::{Persistence, Phase, PersistRequest};
//! use tower::layer::layer_fn;
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> throughline_core::Result<()> {
//! // Any tower layer over `PersistRequest` fits, once it has a name and a phase.
//! let identity = tower::layer::util::Identity::new();
//! let db = Persistence::builder()
//!     .layer_as("gate", Phase::Guard, identity)
//!     .backend(Nowhere)
//!     .build()?;
//! assert_eq!(db.describe().names().collect::<Vec<_>>(), ["gate", "nowhere"]);
//! # Ok(())
//! # }
//! ```
//!
//! # Order
//! The first layer registered is the outermost. Every layer has a unique name and a [`Phase`], and a built-in one a
//! rank inside it; [`Builder::build`](crate::Builder::build) refuses an order in which a phase or a rank goes backwards, and says the right
//! one. [`Persistence::describe`](crate::Persistence::describe) prints what was built.
//!
//! # What surrounds each layer
//! Each layer is wrapped in a guard: it knows which site is at work (so that a deadline, a panic or an error without a
//! name is put down to the right layer), contains panics of `call` and of `poll`, and checks both boundaries: what a
//! layer passes on and what it answers must be of the same operation, thread and id as the call.
//!
//! # A layer that blocks
//! A layer that computes or waits without `.await` keeps its thread from every other call. With the feature `tracing` a thread of the
//! process looks at what is polled, and logs a warning when one layer or backend has kept a thread for half a second, while it
//! still does: its name as `site`, the operation, and the thread. It is said once for each poll. A layer of a pipeline
//! inside another is named as the layer that holds that pipeline.

mod admission;
mod audit_budget;
mod audit_trail;
mod auto_key;
mod core;
mod deadline;
mod description;
mod edge;
mod erased;
mod guard;
mod in_flight;
mod inner;
mod layer_list;
mod live_drafts;
pub(crate) mod order;
mod phase;
mod service_backend;
#[cfg(test)]
mod sizes;
mod task;
mod terminal;
mod validate;
#[cfg_attr(not(feature = "tracing"), path = "unwatched.rs")]
mod watch;

pub use self::{
    admission::Admission,
    audit_budget::RejectedCallBudget,
    auto_key::Keyless,
    description::{DescribedSite, Description},
    erased::{Oneshot, PersistService, SharedService},
    guard::{Guard, Guarded},
    inner::InnerService,
    layer_list::{BoxedLayers, LayerList},
    phase::{Described, Phase, SiteSpec},
    service_backend::ServiceBackend,
    task::Task,
};
pub(crate) use self::{
    audit_trail::{AuditTrail, Sealing},
    auto_key::AutoKey,
    core::{Core, Parts},
    deadline::{Deadline, Expired},
    edge::Execution,
    guard::{GuardedFuture, contract_violation, panicked, put_ready, strange},
    in_flight::{InFlight, Ticket},
    live_drafts::{LiveDraft, LiveDrafts},
    phase::CallerFilter,
    terminal::Terminal,
    watch::AtSite,
};
pub use crate::{
    context::{Clock, Extensions, SystemClock},
    request::{AttemptsMade, BufferedBytes, ContentLimit, Receipt},
};

/// One queue for the runs of each agent in a thread.
pub(crate) type RunQueue = crate::keyed_queue::KeyedQueue<(crate::TenantId, crate::AgentId, crate::ThreadId)>;
