//! The end of a pipeline: what a store implements, and what only the pipeline can call.
//!
//! A backend is not a layer and has no write methods of its own: each method takes an [`Admitted`] ticket, which
//! only the pipeline can make, and which cannot be kept. The smallest backend keeps nothing and says so:
//!
//! ```
//! use throughline_core::{
//!     Add, Admitted, Backend, Capabilities, Durability, ErrorKind, NewMessage, PersistError, Persistence, Reply, Result,
//! };
//!
//! struct Refuse;
//!
//! impl Backend for Refuse {
//!     fn name(&self) -> &str {
//!         "refuse"
//!     }
//!
//!     fn capabilities(&self) -> Capabilities {
//!         Capabilities::new(Durability::Volatile)
//!     }
//!
//!     async fn add(&self, _call: Admitted<'_, Add>) -> Result<Reply<Add>> {
//!         Err(PersistError::new(ErrorKind::Denied, "this store takes nothing"))
//!     }
//! }
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<()> {
//! let db = Persistence::builder().backend(Refuse).build()?;
//! let error = db.thread("t").add(NewMessage::user("hello")).await.unwrap_err();
//! assert_eq!(error.kind(), ErrorKind::Denied);
//! assert_eq!(error.site().unwrap().name(), "refuse");
//! # Ok(())
//! # }
//! ```
//!
//! [`rules`] and [`sessions`] hold what every backend has to decide alike, and [`Replay`] what a store keeps under an
//! idempotency key. The conformance kit, `throughline-conformance`, checks the rest.

mod admission;
mod admitted;
mod capabilities;
mod facts;
pub mod following;
mod length;
pub mod names;
mod owner_process;
mod replay;
pub mod rules;
pub mod search;
mod service_backend;
pub mod sessions;
mod tally;
mod terminal;
mod turns;
mod weight;

use std::future::{Future, ready};

pub(crate) use self::terminal::Terminal;
pub use self::{
    admission::{Admission, Slot, closed},
    admitted::Admitted,
    capabilities::{Capabilities, Durability},
    facts::ThreadFacts,
    length::{Length, Tail},
    owner_process::OwnerProcess,
    replay::{LookUp, Replay},
    service_backend::ServiceBackend,
    tally::{Removed, Tally},
    turns::{Turn, Turns},
    weight::{weight, weight_of_notes},
};
use tokio::sync::watch;

use crate::{
    Add, Batch, ConsumerArgs, Delete, Import, OpKind, Operation, PersistError, Position, ReadArgs,
    ReplicaArgs, Reply, Reserve, Result, SessionArgs, ThreadArgs, Update, UpdateContent, audit::AuditNotes,
};

/// A store, as the end of a pipeline.
///
/// Implementors write `async fn`. A method that is not written answers `Unsupported`, loudly; it must then not be
/// claimed in [`capabilities`](Self::capabilities).
///
/// # Contract
/// - A write is applied whole or not at all, and answered only after it is as durable as
///   [`Capabilities::durability`] claims.
/// - Dropping a returned future must not leave half a write. The pipeline does not drop it once it was polled,
///   while the runtime lives.
/// - An error of a kind that [is a refusal](crate::ErrorKind::is_refusal) means that nothing was applied. Any other
///   error says its [`Effect`](crate::Effect); without one, the outcome counts as unknown.
/// - Timestamps are [`Admitted::now`]; order never depends on them.
/// - A backend must not be `Clone`, and must have no public methods that write: the pipeline is the only way in.
pub trait Backend: Send + Sync + 'static {
    /// The name in errors, reports and `describe()`; unique in the pipeline.
    fn name(&self) -> &str;

    /// What it does and promises.
    fn capabilities(&self) -> Capabilities;

    /// Adds a complete message.
    fn add(&self, call: Admitted<'_, Add>) -> impl Future<Output = Result<Reply<Add>>> + Send {
        unsupported(&call)
    }

    /// Makes the empty row of a message to come.
    fn reserve(&self, call: Admitted<'_, Reserve>) -> impl Future<Output = Result<Reply<Reserve>>> + Send {
        unsupported(&call)
    }

    /// Changes the content of a message, or settles it. See [`rules::transition`].
    fn update_content(
        &self,
        call: Admitted<'_, UpdateContent>,
    ) -> impl Future<Output = Result<Reply<UpdateContent>>> + Send {
        unsupported(&call)
    }

    /// Patches metadata and attachments.
    fn update(&self, call: Admitted<'_, Update>) -> impl Future<Output = Result<Reply<Update>>> + Send {
        unsupported(&call)
    }

    /// Deletes a message and leaves a tombstone.
    fn delete(&self, call: Admitted<'_, Delete>) -> impl Future<Output = Result<Reply<Delete>>> + Send {
        unsupported(&call)
    }

    /// Applies several writes, all or nothing. An error names the item by
    /// [`with_batch_index`](PersistError::with_batch_index).
    fn batch(&self, call: Admitted<'_, Batch>) -> impl Future<Output = Result<Reply<Batch>>> + Send {
        unsupported(&call)
    }

    /// Brings messages in that were written elsewhere: what the thread has not yet, in one commit.
    fn import(&self, call: Admitted<'_, Import>) -> impl Future<Output = Result<Reply<Import>>> + Send {
        unsupported(&call)
    }

    /// Does something to a thread as a whole.
    fn thread(
        &self,
        call: Admitted<'_, ThreadArgs>,
    ) -> impl Future<Output = Result<Reply<ThreadArgs>>> + Send {
        unsupported(&call)
    }

    /// Answers a read. A read must not wait for a place in a queue of writes.
    fn read(&self, call: Admitted<'_, ReadArgs>) -> impl Future<Output = Result<Reply<ReadArgs>>> + Send {
        unsupported(&call)
    }

    /// Keeps what a consumer of the changes says of itself: its cursor, and what it has passed over.
    fn consumer(
        &self,
        call: Admitted<'_, ConsumerArgs>,
    ) -> impl Future<Output = Result<Reply<ConsumerArgs>>> + Send {
        unsupported(&call)
    }

    /// Does something to agent sessions, by the rules of [`sessions`].
    fn session(
        &self,
        call: Admitted<'_, SessionArgs>,
    ) -> impl Future<Output = Result<Reply<SessionArgs>>> + Send {
        unsupported(&call)
    }

    /// Appends to the log of who did what: entries about calls that were refused, or that somebody else answered. They come from
    /// the pipeline itself, and not through its layers, which have refused what they are about. In one commit; an error leaves
    /// nothing of them, or says that the outcome is unknown, and they come again.
    fn note(&self, notes: AuditNotes) -> impl Future<Output = Result<()>> + Send {
        drop(notes);
        ready(Err(PersistError::unsupported("an audit log")))
    }

    /// Keeps the store an exact copy of another, or another one of it: see [`replica`](crate::replica).
    fn replica(
        &self,
        call: Admitted<'_, ReplicaArgs>,
    ) -> impl Future<Output = Result<Reply<ReplicaArgs>>> + Send {
        unsupported(&call)
    }

    /// Begins to tell somebody of new changes: the position that the store has come to, as far as this process knows, is sent after each
    /// commit. It is a sign to read, never the data: signs may be left out, and one may come for nothing. Without one,
    /// who follows the changes looks for them now and then.
    fn signs(&self) -> Option<watch::Receiver<Position>> {
        None
    }

    /// Finishes what was admitted and lets go of every resource. Called once, by
    /// [`Persistence::close`](crate::Persistence::close), when nothing is in flight any more: on the runtime that the pipeline was
    /// built on, or on another one when that has ended.
    fn close(&self) -> impl Future<Output = Result<()>> + Send {
        ready(Ok(()))
    }

    /// What [`close`](Self::close) waits for at this moment, as one clause for the error of a
    /// [`Persistence::close_within`](crate::Persistence::close_within) that ran out of time: `the writer has waited in the
    /// sync of a commit for 25 s, and 3 writes wait for it`. Nothing where the backend does not know. It must not block.
    fn waits_in(&self) -> Option<String> {
        None
    }
}

fn unsupported<O: Operation>(_: &Admitted<'_, O>) -> std::future::Ready<Result<Reply<O>>> {
    let kind: OpKind = O::KIND;
    ready(Err(PersistError::unsupported(format_args!("`{kind}`"))))
}
