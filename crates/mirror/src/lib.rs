//! A second store kept equal to the first, and the change from one to the other under a live host.
//!
//! - [`Mirror`] copies a store into an empty one and follows it: messages with ids, places, states, revisions, content, leases and
//!   times, dead ids, what is said of threads, agent sessions, the names of providers, idempotency keys, the cursors of consumers, the
//!   changes at their positions and the log of who did what. It goes on where it was after a crash, because the replica says how far it is.
//! - [`compare`] names every difference between two stores, and mends none.
//! - [`Switch`] is a backend over two stores of which one leads: [`switch_over`](Switch::switch_over) changes which, and
//!   [`switch_back`](Switch::switch_back) changes it again.
//!
//! Both stores are pipelines on a backend alone. A layer that encrypts or redacts stands before the switch, so that both stores have
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
//! # What is not carried
//! The index of words, which every store makes of its messages; the leases of writers in a process, which are no data.

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
