//! A warning for each call that took long, and where it waited.
//!
//! ```
//! # use throughline_core::{Backend, Capabilities, Durability};
//! # struct Nowhere;
//! # impl Backend for Nowhere {
//! #     fn name(&self) -> &str { "nowhere" }
//! #     fn capabilities(&self) -> Capabilities { Capabilities::new(Durability::Volatile) }
//! # }
//! use std::time::Duration;
//! use throughline_core::{NewMessage, OpKind, Persistence};
//! use throughline_layers::{slow_log::SlowLogLayer};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> throughline_core::Result<()> {
//! let slow = SlowLogLayer::new(Duration::from_millis(200)).threshold(OpKind::Import, Duration::from_secs(5));
//! let db = Persistence::builder().layer(slow.clone()).backend(Nowhere).build()?;
//! db.thread("t").add(NewMessage::user("hello")).await.unwrap_err();
//! assert_eq!(slow.suppressed(), 0);
//! # Ok(())
//! # }
//! ```
//!
//! With a subscriber at `warn` a slow call prints:
//!
//! ```text
//! WARN slow op="add" call=c0ffee0000000000-1 tenant="default" thread="t" outcome="ok" attempts=3 micros=412007
//!      threshold_micros=200000 waited_at="sqlite" waited_micros=398113 suppressed=0
//! ```
//!
//! # Fields
//! | field | is |
//! |---|---|
//! | `op`, `call`, `tenant`, `thread`, `call_site` | of what, as in [`trace`](super::trace) |
//! | `outcome` | `ok`, the code of an error, or `left` when nobody waited for the end |
//! | `attempts` | how many a retry further in made of it |
//! | `micros`, `threshold_micros` | how long it took, and how long would have been too long |
//! | `waited_at`, `waited_micros` | the site where it waited longest without a break, and how long |
//! | `suppressed` | how many lines were held back since the last one |
//!
//! No content, metadata or detail of an error is among them.
//!
//! # Semantics
//! The time is that of the layers and the backend further in, retries included; what a call waits for at the gate of the
//! pipeline is not in it. A line is written when the call ends, or is left: one that hangs for ever is found by its
//! deadline. A call that blocks its thread waits nowhere, and has no `waited_at`. At most ten lines are
//! written in ten seconds ([`SlowLogLayer::at_most`]), so that a slow disk does not flood the log. It fails open: a
//! subscriber that panics is contained, and the call goes on.

mod future;
mod layer;
mod pace;
mod service;
mod watched;

pub use self::{future::SlowLogFuture, layer::SlowLogLayer, service::SlowLogService};
