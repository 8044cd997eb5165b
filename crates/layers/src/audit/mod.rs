//! Keeps a tamper-evident audit log in the store: the caller, the operation, the messages and the outcome of each
//! write.
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
//! // From the host's key service, never from source code, and never kept in the store.
//! let key = AuditKey::new(&[7; 32]);
//! // The layer refuses a backend that does not write the log in its commits, because such a log could be wrong.
//! let refused = Persistence::builder().layer(AuditLayer::new(key)).backend(Nowhere).build().unwrap_err();
//! assert_eq!(refused.kind(), ErrorKind::Invalid);
//! # Ok(())
//! # }
//! ```
//!
//! # Calls with an entry
//! - **Every write that commits a position has an entry in the same commit**: messages, batches (one entry with an item
//!   for each operation), imports, threads, sessions, and the cursors of consumers. No crash can separate a write from
//!   its entry. A replay under an idempotency key changes nothing and has no entry. Replication
//!   ([`ReplicaArgs`](throughline_core::replication::ReplicaArgs)) has no entries either: a replica has the log of its
//!   primary.
//! - **A failed write** has a rejected-call record, wherever in the stack it failed. This includes a call on a handle
//!   with an invalid id, and a call that its caller dropped before it reached the store. A read has a record if it was
//!   denied, broke the contract of the pipeline, or panicked. The record is written after the answer to the caller, in
//!   a commit of its own, so a crash loses the records that were not written yet.
//!   [`write_audit_records`](throughline_core::Persistence::write_audit_records) waits for them; the error of
//!   [`Persistence::close`](throughline_core::Persistence::close) lists the records that could not be written. When the
//!   outcome of such a commit is unknown, the records are written again, so they may appear twice.
//! - **Rejected calls of one kind are counted** in one entry for each interval, and all of these entries have a budget
//!   of bytes: see [`RejectedCallBudget`](throughline_core::audit::RejectedCallBudget).
//! - **A write that an inner layer or another pipeline answered** has an entry that states this.
//!
//! # Content of an entry
//! An entry is an [`AuditRecord`](throughline_core::audit::AuditRecord), without content. It has a keyed hash of the
//! content as it arrives at this layer, before redaction and encryption: a hash of ciphertext would prove nothing,
//! because each encryption differs. [`AuditKey::content_digest`] of some text shows whether the caller sent that text.
//! The holder of the key can test guesses.
//!
//! # Detection
//! See [`verify`]. The layer fails closed: a write whose entry cannot be written is not applied. Reads cost nothing; a
//! write costs one row.

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
