//! Refuses calls outside of their capability.
//!
//! ```
//! # use throughline_core::{Admitted, Backend, Capabilities, Durability};
//! # struct Nowhere;
//! # impl Backend for Nowhere {
//! #     fn name(&self) -> &str { "nowhere" }
//! #     fn capabilities(&self) -> Capabilities { Capabilities::new(Durability::Volatile) }
//! # }
//! use throughline_core::{ErrorKind, NewMessage, Persistence};
//! use throughline_layers::{scope::ScopeLayer};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> throughline_core::Result<()> {
//! let scope = ScopeLayer::new();
//! let authority = scope.authority();
//! let db = Persistence::builder().layer(scope).backend(Nowhere).build()?;
//!
//! // A capability for a plugin: it can read one thread, and nothing else.
//! let reader = authority.everything().of_tenant("alice".parse()?).in_thread("t".parse()?).read_only();
//! let theirs = db.for_tenant("alice".parse()?).with_credential(reader);
//! let error = theirs.thread("t").add(NewMessage::user("hello")).await.unwrap_err();
//! assert_eq!((error.kind(), error.detail()), (ErrorKind::Denied, "the capability does not allow to append"));
//!
//! // A handle without a capability has no access.
//! let error = db.thread("t").add(NewMessage::user("hello")).await.unwrap_err();
//! assert_eq!(error.detail(), "the call has no capability");
//! # Ok(())
//! # }
//! ```
//!
//! # Capabilities
//! A [`Capability`] is an unforgeable value. The [`Authority`] of the layer issues the first one, which allows
//! everything; every other one is narrowed from another. It can be narrowed to a tenant, to a thread or the threads
//! under a prefix, to some [verbs](Verb), and in time, but never widened. [`Authority::revoke`] revokes one and all
//! that were narrowed from it. It is valid in one process, and cannot be serialized.
//!
//! [`Persistence::with_credential`](throughline_core::Persistence::with_credential) returns a handle whose calls carry
//! a capability. The host can give away such a handle and the values made from it (a thread, a draft, a change feed, a
//! session). Its holder can replace the capability by another one, but cannot remove it. It can address another tenant,
//! but the layer refuses the calls. It cannot close the pipeline, which needs a handle without a capability.
//!
//! # Verbs
//! | verb | operations |
//! |---|---|
//! | [`Read`](Verb::Read) | every read, but for those of consumers and of the audit log |
//! | [`Append`](Verb::Append) | additions, reservations, writes to open messages, their ends, and requests for ids |
//! | [`Edit`](Verb::Edit) | edits of final messages, metadata of messages |
//! | [`Delete`](Verb::Delete) | deletions of messages; with [`Read`](Verb::Read), taking the last one |
//! | [`Manage`](Verb::Manage) | creating threads, titles, labels, archiving, publishing, rebuilding |
//! | [`Clear`](Verb::Clear) | clearing, pruning, deleting and purging threads |
//! | [`Import`](Verb::Import) | imports |
//! | [`Sessions`](Verb::Sessions) | everything about agent sessions except reads |
//! | [`Consume`](Verb::Consume) | the cursors and quarantined changes of consumers |
//! | [`Audit`](Verb::Audit) | reads of the audit log |
//! | [`Replicate`](Verb::Replicate) | everything about replication, including its reads |
//!
//! A batch needs the verbs of all its operations. Some operations have no single thread: a list of threads, a search
//! without a thread, and the change feed or audit log of a tenant. They need a capability for every thread of the
//! tenant, because the cursor of a filtered list would reveal the hidden threads. The change feed of the whole store
//! needs a capability for every tenant.
//!
//! A prefix never matches an id with a segment `.` or `..` (between `/` or `\`). Throughline does not treat ids as
//! paths, but code behind the store may.
//!
//! # Limits of the protection
//! The layer decides by the call and its capability alone, without a read, so a refusal is the same whether or not the
//! thread exists. Positions count the commits of the whole store, so every reader of a thread can infer how busy the
//! store is. The guard detects a layer that forwards the call of another caller, unless it does so in a task of its
//! own; the host is responsible for its layers. Within its thread, a caller that may append learns from `AlreadyExists`
//! that an id is taken, and can end an open message of another writer. A caller that may edit receives the metadata of
//! the message, and a caller that may write to an open message receives its revision and state.
//!
//! The layer fails closed. Without the layer, the store refuses every call that carries a capability. Its cost is a few
//! comparisons, without allocation.

mod authority;
mod capability;
mod demand;
mod layer;
mod service;
mod verb;

pub use self::{
    authority::Authority,
    capability::Capability,
    layer::ScopeLayer,
    service::{ScopeFuture, ScopeService},
};
pub use throughline_core::operations::Verb;
