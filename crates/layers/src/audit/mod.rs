//! Keeps a log of who did what to which message, with which outcome: a chain that nobody can change unseen who has not the key.
//!
//! ```
//! # use throughline_core::{Admitted, Backend, Capabilities, Durability};
//! # struct Nowhere;
//! # impl Backend for Nowhere {
//! #     fn name(&self) -> &str { "nowhere" }
//! #     fn capabilities(&self) -> Capabilities { Capabilities::new(Durability::Volatile) }
//! # }
//! use throughline_core::{ErrorKind, Persistence};
//! use throughline_layers::{audit::{AuditKey, AuditLayer}};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> throughline_core::Result<()> {
//! // From the host's key service; never from the program's text, and never kept in the store.
//! let key = AuditKey::new(&[7; 32]);
//! // A backend that does not keep the log in its commits is refused: there is no log that may not be true.
//! let refused = Persistence::builder().layer(AuditLayer::new(key)).backend(Nowhere).build().unwrap_err();
//! assert_eq!(refused.kind(), ErrorKind::Invalid);
//! # Ok(())
//! # }
//! ```
//!
//! # What has an entry
//! - **Every write that takes a position among the commits has one, in the same commit**: messages, batches (one entry with an
//!   item for each operation), imports, threads, sessions, and the cursors of consumers. Neither can be there without the other,
//!   whatever crashes. A replay under an idempotency key changes nothing and has none. What is done about copies
//!   ([`ReplicaArgs`](throughline_core::replication::ReplicaArgs)) has none either: a store that follows has the log of the one that leads.
//! - **A write that failed** has one, wherever in the stack it failed: also one on a handle of an unusable id, and one whose caller left
//!   before anything was handed to the store. So has a read that was denied, that broke the contract of the pipeline, or panicked. It is
//!   written after its caller was told, in a commit of its own. A crash takes the records that were not written yet. [`write_audit_records`](throughline_core::Persistence::write_audit_records)
//!   waits for them; the error of [`Persistence::close`](throughline_core::Persistence::close) says which could not be written. Where it cannot be
//!   known whether such a commit was made, they are written again: twice, and not never.
//! - **Rejected calls of one kind are counted** into one entry for each interval, and all of their entries have a budget of bytes: see
//!   [`RejectedCallBudget`](throughline_core::audit::RejectedCallBudget).
//! - **A write that was answered elsewhere**, by a layer further in or by another pipeline, has one that says so.
//!
//! # What an entry holds
//! An [`AuditRecord`](throughline_core::audit::AuditRecord): no content. Of the content there is a keyed hash, taken where this layer stands: over what the caller sent, before it is
//! redacted or encrypted. What is encrypted with a fresh nonce hashes to something else each time, and says nothing to anybody;
//! [`AuditKey::content_digest`] of what somebody claims to have sent says whether they did. Whoever has the key can test guesses.
//!
//! # What it detects
//! See [`verify`]. It fails closed: a write whose entry cannot be written is not applied. Reads cost nothing; a write costs a row.

mod anchor;
mod items;
mod key;
mod layer;
mod report;
mod service;
mod verify;

pub use self::{
    anchor::{Anchor, anchor},
    key::AuditKey,
    layer::AuditLayer,
    report::{AuditReport, Comparison, Flaw},
    service::AuditService,
    verify::verify,
};
