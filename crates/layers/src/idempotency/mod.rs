//! Refuses writes that have no idempotency key where the host wants one.
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
//! A batch has one key for all of its items: it needs one where any of them does. What takes no key, such as a read, what a
//! consumer keeps, or what is done to a whole agent, never needs one.
//!
//! Keys are given by [`Request::key`](throughline_core::requests::Request::key), or derived for a whole pipeline by
//! [`Builder::auto_key`](throughline_core::Builder::auto_key). A layer cannot give a call its key: what a key stands for is taken
//! down over what the caller sent, before any layer. Two calls of one key at once need nothing here: the store makes one write
//! of them and answers both.
//!
//! It fails closed: what has no key does not pass.

mod layer;
mod service;

pub use self::{
    layer::RequireKeyLayer,
    service::{RequireKeyFuture, RequireKeyService},
};
