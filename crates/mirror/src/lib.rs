//! A mirror, which keeps a second store equal to the first, and the switchover between them while the host runs.
//!
//! - [`Mirror`] copies a store into an empty one and keeps the copy current. It copies messages with ids, sequence numbers,
//!   states, revisions, content, leases and times, tombstones, thread stats, agent sessions, provider aliases, idempotency keys,
//!   consumer cursors, changes with their positions, and the audit log. After a crash it continues, because the replica stores
//!   its progress.
//! - [`compare`] lists every difference between two stores, and repairs none.
//! - [`Switch`] is a backend over a primary and a replica. [`switch_over`](Switch::switch_over) makes the second store the
//!   primary, and [`switch_back`](Switch::switch_back) the first.
//!
//! Both stores are pipelines without layers. Layers that encrypt or redact are outside of the switch, so that both stores have
//! the same bytes.
//!
//! ```
//! # use throughline_core::{Admitted, Backend, Capabilities, Durability};
//! # struct Nowhere(&'static str);
//! # impl Backend for Nowhere {
//! #     fn name(&self) -> &str { self.0 }
//! #     fn capabilities(&self) -> Capabilities { Capabilities::new(Durability::Volatile) }
//! # }
//! use throughline_core::{ErrorKind, Persistence};
//! use throughline_mirror::Mirror;
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> throughline_core::Result<()> {
//! let first = Persistence::builder().backend(Nowhere("first")).build()?;
//! let second = Persistence::builder().backend(Nowhere("second")).build()?;
//! // Neither of these keeps anything.
//! let error = Mirror::start(first, second).await.unwrap_err();
//! assert_eq!(error.kind(), ErrorKind::Unsupported);
//! # Ok(())
//! # }
//! ```
//!
//! # Not copied
//! The full-text index, which every store builds from its messages, and the leases of writers in a process, which are not data.

mod compare;
mod copying;
mod link;
mod status;
mod switch;

pub use self::{
    compare::{Comparison, Difference, Differs, compare},
    copying::Mirror,
    status::{Lag, MirrorState, MirrorStatus},
    switch::{Switch, SwitchBackend, Switched},
};
