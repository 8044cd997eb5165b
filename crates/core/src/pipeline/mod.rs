//! The pipeline: a stack of layers in named phases, composed statically and type-erased once.
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
//!     .layer_as("access", Phase::Guard, identity)
//!     .backend(Nowhere)
//!     .build()?;
//! assert_eq!(db.describe().names().collect::<Vec<_>>(), ["access", "nowhere"]);
//! # Ok(())
//! # }
//! ```
//!
//!
//! # Order
//! The first registered layer is the outermost one. Every layer has a unique name and a [`Phase`]; a built-in layer also has a
//! rank inside its phase. [`Builder::build`](crate::Builder::build) refuses an order in which a phase or a rank decreases, and
//! suggests the right order. [`Persistence::describe`](crate::Persistence::describe) prints the stack.
//!
//! # The guard of each layer
//! A guard surrounds each layer. It records which site is at work, so that a deadline, a panic or an error without a site names
//! the right layer. It contains panics of `call` and `poll`. It checks both boundaries: the forwarded request and the answer must
//! have the same operation, thread and id as the call.
//!
//! # A layer that blocks
//! A layer that computes or waits without `.await` blocks its thread for all other calls. With the feature `tracing`, a watch
//! thread checks the polls of the process. It logs a warning while a layer or backend blocks a thread for half a second or
//! longer: the `site`, the operation and the thread, once for each poll. For a layer of an inner pipeline, the warning names the
//! layer that contains that pipeline.

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
mod shared_state;
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
    erased::{BoxFuture, Boxed},
    guard::{Answer, GuardedFuture, contract_violation, foreign_call, panicked, put_ready},
    in_flight::{InFlight, InFlightGuard},
    live_drafts::{LiveDraft, LiveDrafts},
    phase::CallerFilter,
    shared_state::SharedState,
    terminal::Terminal,
    watch::AtSite,
};
pub use crate::{
    context::{Clock, Extensions, SystemClock},
    request::{AttemptsMade, BufferedBytes, ContentLimit, Receipt},
};
