//! Ends an attempt that takes too long.
//!
//! ```
//! # use throughline_core::{
//! #     Admitted, Backend, Capabilities, Durability, OpKind, Reply, Result,
//! #     messages::Add,
//! # };
//! # struct Hangs;
//! # impl Backend for Hangs {
//! #     fn name(&self) -> &str { "hangs" }
//! #     fn capabilities(&self) -> Capabilities { Capabilities::new(Durability::Volatile) }
//! #     async fn add(&self, _: Admitted<'_, Add>) -> Result<Reply<Add>> { std::future::pending().await }
//! # }
//! use std::time::Duration;
//! use throughline_core::{Effect, ErrorKind, NewMessage, Persistence};
//! use throughline_layers::{timeout::TimeoutLayer};
//!
//! # #[tokio::main(flavor = "current_thread", start_paused = true)]
//! # async fn main() -> Result<()> {
//! let db = Persistence::builder().layer(TimeoutLayer::new(Duration::from_secs(2))).backend(Hangs).build()?;
//! let error = db.thread("t").add(NewMessage::user("hello")).await.unwrap_err();
//! assert_eq!((error.kind(), error.effect()), (ErrorKind::Timeout, Effect::Unknown));
//! assert_eq!(error.site().unwrap().name(), "timeout");
//! # Ok(())
//! # }
//! ```
//!
//! # Semantics
//! The limit counts from the start of an attempt. When it expires, the answer is `Timeout` with the effect known at
//! that moment: `NotApplied` if the call had not reached the backend, else `Unknown`. A write that reached the backend
//! continues to its end.
//!
//! The layer limits an *attempt* and runs inside [`retry`](super::retry). The deadline of the
//! [builder](throughline_core::Builder::deadline), the handle or the call limits the whole call.

mod future;
mod layer;
mod service;

pub use self::{future::TimeoutFuture, layer::TimeoutLayer, service::TimeoutService};
