//! Refuses writes without an idempotency key.
//!
//! ```
//! # use throughline_core::{Admitted, Backend, Capabilities, Durability};
//! # struct Nowhere;
//! # impl Backend for Nowhere {
//! #     fn name(&self) -> &str { "nowhere" }
//! #     fn capabilities(&self) -> Capabilities { Capabilities::new(Durability::Volatile) }
//! # }
//! use throughline_core::{ErrorKind, NewMessage, OpKind, Persistence};
//! use throughline_layers::{idempotency::RequireKeyLayer};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> throughline_core::Result<()> {
//! let db = Persistence::builder().layer(RequireKeyLayer::of([OpKind::Add])).backend(Nowhere).build()?;
//! let error = db.thread("t").add(NewMessage::user("hello")).await.unwrap_err();
//! assert_eq!((error.kind(), error.detail()), (ErrorKind::Invalid, "an `add` needs an idempotency key"));
//! # Ok(())
//! # }
//! ```
//!
//! A batch has one key for all of its items, and it needs the key if any item does. Operations that accept no key never
//! need one: reads, the cursors of consumers, and operations on a whole agent.
//!
//! Set a key with [`Request::key`](throughline_core::requests::Request::key), or derive keys for a whole pipeline with
//! [`Builder::auto_key`](throughline_core::Builder::auto_key). A layer cannot add a key, because the fingerprint of a
//! key covers the call as the caller sent it, before any layer. Two concurrent calls with one key need no layer: the
//! store applies one write and answers both.
//!
//! The layer fails closed: a write without a required key is refused.

mod layer;
mod service;

pub use self::{
    layer::RequireKeyLayer,
    service::{RequireKeyFuture, RequireKeyService},
};
