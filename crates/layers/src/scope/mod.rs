//! Refuses what the capability of a call does not allow.
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
//! // What a plugin may be given: it can read one thread, and nothing else.
//! let reader = authority.everything().of_tenant("alice".parse()?).in_thread("t".parse()?).read_only();
//! let theirs = db.for_tenant("alice".parse()?).with_credential(reader);
//! let error = theirs.thread("t").add(NewMessage::user("hello")).await.unwrap_err();
//! assert_eq!((error.kind(), error.detail()), (ErrorKind::Denied, "the capability does not allow to append"));
//!
//! // A handle without a capability may do nothing.
//! let error = db.thread("t").add(NewMessage::user("hello")).await.unwrap_err();
//! assert_eq!(error.detail(), "the call has no capability");
//! # Ok(())
//! # }
//! ```
//!
//! # Capabilities
//! A [`Capability`] is a value that nobody can make up: the first one, which allows everything, comes from the [`Authority`] of
//! the layer, and every other one is narrowed from another. It can be narrowed to a tenant, to a thread or the threads under a
//! prefix, to some [verbs](Verb), and in time; never widened. [`Authority::revoke`] ends one, with all that were narrowed from it.
//! It holds for one process, and is not serialized.
//!
//! [`Persistence::with_credential`](throughline_core::Persistence::with_credential) makes a handle whose calls bear one. Such a handle, and what
//! is made of it (a thread, a draft, a feed of changes, a session), can be given away. Its holder may put another capability in
//! its place, but has to have one; it may ask for another tenant, and is refused. It cannot close the pipeline: that is for who
//! holds a handle without a capability.
//!
//! # What a verb allows
//! | verb | operations |
//! |---|---|
//! | [`Read`](Verb::Read) | every read, but for those of consumers and of the audit log |
//! | [`Append`](Verb::Append) | additions, reservations, what is written to open messages, how they end, and asking for ids |
//! | [`Edit`](Verb::Edit) | edits of final messages, metadata of messages |
//! | [`Delete`](Verb::Delete) | deletions of messages; together with [`Read`](Verb::Read), taking the last one |
//! | [`Manage`](Verb::Manage) | creating threads, titles, labels, archiving, publishing, rebuilding |
//! | [`Clear`](Verb::Clear) | clearing, pruning, deleting and purging threads |
//! | [`Import`](Verb::Import) | imports |
//! | [`Sessions`](Verb::Sessions) | everything about agent sessions but reading |
//! | [`Consume`](Verb::Consume) | the cursors and quarantined changes of consumers |
//! | [`Audit`](Verb::Audit) | reading the log of who did what |
//! | [`Replicate`](Verb::Replicate) | everything about exact copies of the store, reading included |
//!
//! A batch needs what each of its operations needs. What speaks of no single thread, a list of threads, a search without a
//! thread, the changes or the audit log of a tenant, needs a capability for every thread of the tenant: a list that left out what is not
//! allowed would tell of it by its cursor. The changes of the whole store need one for every tenant.
//!
//! Under a prefix, an id with a segment `.` or `..` (between `/` or `\`) is of no thread: nothing here follows paths, but somebody
//! behind the store may.
//!
//! # What it does not hide
//! A refusal is decided by the call and its capability alone, before anything is asked: it is the same whether the thread
//! is there or not. Positions count the commits of the whole store, so that whoever may read a thread can tell how busy
//! the store is. A layer of the pipeline that passes on the call of another caller is found out, unless it does so in a task of
//! its own: layers are the host's choice. Within its thread, whoever may append learns from `AlreadyExists` that an id is taken, and may end an open
//! message that somebody else began; whoever may edit is answered the metadata of the message, and whoever writes to an open
//! message its revision and state.
//!
//! It fails closed, and so does its absence: a call that bears a capability and met no such layer is refused at the store. Its cost
//! is a few comparisons; nothing is allocated.

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
    verb::Verb,
};
