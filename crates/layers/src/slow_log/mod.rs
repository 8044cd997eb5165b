//! Logs a warning for each slow call, with the site where it waited longest.
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
//! | field | value |
//! |---|---|
//! | `op`, `call`, `tenant`, `thread`, `call_site` | the call, as in [`trace`](super::trace) |
//! | `outcome` | `ok`, the code of an error, or `left` when the caller dropped the call |
//! | `attempts` | the attempts of an inner retry |
//! | `micros`, `threshold_micros` | the duration and the threshold |
//! | `waited_at`, `waited_micros` | the site of the longest uninterrupted wait, and its duration |
//! | `suppressed` | the lines suppressed since the last one |
//!
//! No field contains content, metadata or the detail of an error.
//!
//! # Semantics
//! The duration covers the inner layers and the backend, including retries, but not the wait for admission at the edge
//! of the pipeline. The layer writes a line when the call ends or is dropped; a call that hangs forever ends at its
//! deadline. A call that blocks its thread never waits, and has no `waited_at`. At most ten lines are written in ten
//! seconds ([`SlowLogLayer::at_most`]), so that a slow disk does not flood the log. The layer fails open: it contains a
//! panic of the subscriber, and the call continues.

mod future;
mod layer;
mod rate_limit;
mod service;
mod watched;

pub use self::{future::SlowLogFuture, layer::SlowLogLayer, service::SlowLogService};
