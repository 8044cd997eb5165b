//! The end of a pipeline: what a store implements, and what only the pipeline can call.
//!
//! A backend is not a layer and has no write methods of its own: each method takes an [`Admitted`] ticket, which
//! only the pipeline can make, and which cannot be kept. The smallest backend keeps nothing and says so:
//!
//! ```
//! use throughline_core::{
//!     Admitted, Backend, Capabilities, Durability, ErrorKind, NewMessage, PersistError,
//!     Persistence, Reply, Result,
//!     messages::Add,
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
mod audit;
mod capabilities;
pub mod following;
mod length;
pub mod names;
mod owner_process;
pub mod rules;
pub mod search;
pub mod sessions;
mod weight;

use std::future::{Future, ready};

pub use self::{
    admission::{QueueCapacity, QueuePermit, closed},
    admitted::Admitted,
    audit::{AuditLink, PendingAuditEntry, RejectedCallRecords},
    capabilities::{Capabilities, Durability},
    length::{Length, Tail},
    owner_process::OwnerProcess,
    weight::{size_of_rejected_call_records, weight},
};
pub(crate) use self::{admitted::Counter, audit::record};
pub use crate::operation::{
    estimated_size::{AnswerBytes, EstimatedSize},
    stored::{LookUp, Removed, Replay, ThreadCounters, ThreadStats},
};

use crate::change::CommitNotifications;
use crate::{
    OpKind, Operation, PersistError, ReadArgs, Reply, Result,
    operation::{
        Add, Batch, ConsumerArgs, Delete, FingerprintKey, Import, ReplicaArgs, Reserve, SessionArgs,
        ThreadArgs, Update, UpdateContent,
    },
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
///
/// # Rules
/// The conformance kit checks these for every store that claims what they are about; each method adds its own.
///
/// - Ids are compared byte for byte, and nothing joins two of them: `(a:b, c)` is not `(a, b:c)`. What one tenant or thread has
///   neither changes nor shows in another.
/// - Each change takes a [`Position`](crate::Position) of its own, above all before it in every tenant: a batch takes one for each change, in the order
///   of its items. The receipt of a write names the last that it took. A write that makes no change, such as a renewed lease, takes one
///   all the same. A read, a refusal and a replay take none, and answer none.
/// - A sequence number is given in the order of arrival and never twice: not after a deletion, a clear or a reopening.
/// - `created_at` is set once. `updated_at` is [`Admitted::now`], and never less than before ([`rules::updated_at`]).
/// - A call that is refused leaves nothing: no row, no tombstone, no use of its key, no position.
/// - An expected revision, title or generation that differs is `Stale`, and is looked at in every mode.
/// - Content and metadata come back byte for byte: NUL, lone surrogates, escapes, and the way in which numbers are written.
///
/// # Idempotency keys
/// A key belongs to a tenant and a thread; that of a batch to the thread of its first item. The same fingerprint again is answered as
/// the first call was, whatever came after it, with `deduplicated` set; only [`Update`] answers the metadata as it is now. Another
/// fingerprint is `Conflict`. Keys last as long as what they stand for: that of a message that was deleted since still answers an
/// addition, a reservation, a change of content and the deletion, and answers `Gone` to an update. After the deletion of the
/// thread nothing is replayed. See [`Replay`].
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a backend",
    label = "a pipeline ends with a backend",
    note = "call `.backend(…)` before `.build()`"
)]
pub trait Backend: Send + Sync + 'static {
    /// The name in errors, reports and `describe()`; unique in the pipeline.
    fn name(&self) -> &str;

    /// What it does and promises.
    fn capabilities(&self) -> Capabilities;

    /// The random key that was made with this store, which fingerprints are keyed with where the host gives no secret of its own.
    ///
    /// It is the same in every process that opens the store, and is kept apart from the idempotency keys and their fingerprints. A
    /// store that becomes the replica of another one takes the key that comes with [`SetReplicationState`](crate::operation::SetReplicationState). A process that
    /// had opened the replica before another process called that has the old key until it opens the store again: after a switchover,
    /// a call that it repeats is refused as [`Conflict`](crate::ErrorKind::Conflict). A store that has none answers nothing: then
    /// the key is a constant, and the guide says what a reader of the store can guess.
    fn fingerprint_key(&self) -> Option<FingerprintKey> {
        None
    }

    /// Adds a complete message.
    ///
    /// - An id that the thread has, in any state, is `AlreadyExists`; one that was deleted there is `Gone`. In another
    ///   thread or tenant it is free.
    /// - A message without blocks is final: `[]` says nothing of its state.
    /// - A `created_at` of the caller is kept, and decides no order.
    fn add(&self, call: Admitted<'_, Add>) -> impl Future<Output = Result<Reply<Add>>> + Send {
        unsupported(&call)
    }

    /// Makes the empty row of a message to come: state `Reserved`, content `[]`, a lease that begins now.
    ///
    /// Ids are refused as in [`add`](Self::add). The row has its sequence number from here on, whenever it is finished.
    fn reserve(&self, call: Admitted<'_, Reserve>) -> impl Future<Output = Result<Reply<Reserve>>> + Send {
        unsupported(&call)
    }

    /// Changes the content of a message, or settles it. See [`rules::transition`].
    ///
    /// - An unknown message, and one that was deleted, is `NotFound`, and is not made.
    /// - An append of nothing changes no byte. As a `Partial` it renews the lease and changes neither state nor revision; in every
    ///   other mode it raises the revision and does what the mode says.
    /// - Text continues a plain text block, or opens one: [`ContentBuffer`](crate::message::ContentBuffer) does it. What an append costs
    ///   depends on what it appends, and not on what is there.
    /// - An abandoned message keeps what was committed, and the reason; a settled one has no lease.
    /// - A renewal never shortens a lease ([`rules::renewed`]).
    /// - [`max_content_bytes`](UpdateContent::max_content_bytes) bounds the content as it would be after the change, as
    ///   [`Capabilities::max_content_bytes`] does: a change beyond the lower of the two is `TooLarge`. [`Length`] counts it.
    fn update_content(
        &self,
        call: Admitted<'_, UpdateContent>,
    ) -> impl Future<Output = Result<Reply<UpdateContent>>> + Send {
        unsupported(&call)
    }

    /// Patches metadata and attachments, in every state.
    ///
    /// - An absent name is kept, `null` clears it, anything else sets it as a whole: a `null` deeper inside is a value.
    /// - Absent attachments are kept, an empty list clears them.
    /// - A patch raises no revision and changes no state, and `updated_at` moves. A patch of nothing keeps everything.
    /// - An unknown message, and one that was deleted, is `NotFound`. The replay of a patch whose message was deleted since is `Gone`.
    ///
    /// [`max_metadata_bytes`](Update::max_metadata_bytes) bounds the metadata as it would be afterwards, and so does that of a
    /// [`LabelThread`](crate::operation::LabelThread): a patch that makes it longer than that is `TooLarge`.
    fn update(&self, call: Admitted<'_, Update>) -> impl Future<Output = Result<Reply<Update>>> + Send {
        unsupported(&call)
    }

    /// Deletes a message, in any state, and leaves a tombstone.
    ///
    /// - It answers what was removed, with its attachments.
    /// - The id stays dead in this thread: an addition or a reservation of it is `Gone`. Any other write to it, a second
    ///   deletion among them, is `NotFound`, and a read finds nothing.
    /// - An unknown message is `NotFound`, and its id is not dead by that.
    /// - Where the thread has given another sequence number than [`after`](Delete::after), the deletion is `Stale`.
    /// - [`only_damaged`](Delete::only_damaged) deletes a message that the store answers `Corrupt` for, with a tombstone, and counts the
    ///   messages of the thread again. One that can be read is `Conflict`.
    fn delete(&self, call: Admitted<'_, Delete>) -> impl Future<Output = Result<Reply<Delete>>> + Send {
        unsupported(&call)
    }

    /// Applies several writes, all or nothing. An error names the item by
    /// [`with_batch_index`](PersistError::with_batch_index).
    ///
    /// Items are applied in order, and each sees what those before it did, in every thread of the batch. Each change has its own
    /// position, and the receipt names the last. Where the thread of the first item has given another sequence number than
    /// [`after`](Batch::after) before the batch, the batch is `Stale`. A batch in a batch, a read or an import in one, and a batch of
    /// nothing are refused by the pipeline.
    ///
    /// [`max_answer_bytes`](Batch::max_answer_bytes) bounds what the answers show of the store
    /// ([`answer_bytes`](crate::PersistResult::answer_bytes)): beyond it the batch is `TooLarge`, with the index of the item that exceeds it.
    fn batch(&self, call: Admitted<'_, Batch>) -> impl Future<Output = Result<Reply<Batch>>> + Send {
        unsupported(&call)
    }

    /// Brings messages in that were written elsewhere: what the thread has not yet, in one commit, in the order of the list.
    ///
    /// - A message that is there is left as it is, one that was deleted stays so, and the answer says which. See [`rules::check_import`].
    /// - A damaged message of one of the ids is `Corrupt`. With [`restores_damaged`](Import::restores_damaged) the row overwrites it: it
    ///   keeps its sequence number and begins at the first revision.
    /// - No limit of size refuses [a copy](Import::is_copy) of messages that the store has.
    fn import(&self, call: Admitted<'_, Import>) -> impl Future<Output = Result<Reply<Import>>> + Send {
        unsupported(&call)
    }

    /// Does something to a thread as a whole.
    ///
    /// - A cleared thread keeps title, owner, labels and metadata, and begins the next generation; its ids stay dead, and its sequence
    ///   goes on.
    /// - Every later write to a deleted thread is `Gone`, before anything of it is written, and no read shows anything of it. A second
    ///   deletion succeeds. Another tenant's thread of this id is untouched.
    /// - [`TakeLastMessage`](crate::operation::TakeLastMessage) of an unknown thread is `NotFound`; of a thread without messages it answers nothing.
    ///   A replay answers what was deleted, without the message.
    /// - Only final messages count in a thread's messages, turns and bytes, and only what settled counts as activity.
    fn thread(
        &self,
        call: Admitted<'_, ThreadArgs>,
    ) -> impl Future<Output = Result<Reply<ThreadArgs>>> + Send {
        unsupported(&call)
    }

    /// Answers a read. A read must not wait for a place in a queue of writes.
    ///
    /// - A read that begins after a write was answered sees it.
    /// - What is not there is answered as nothing, and not as an error; one row that cannot be read is reported, and hides no other.
    /// - Cursors are exclusive, and need not be the field of anything. A page that ends with the last item says that there are
    ///   no more. The pipeline checks limits and byte bounds by [`rules::check_page`], and those without bytes by [`rules::check_limit`].
    /// - Pages and lists with a `max_bytes` end where the next item would exceed it, hold one item at least, and say that there are more.
    ///   [`AnswerBytes`] counts them.
    /// - A page and a thread's entry answer the last sequence number that the thread has ever given (`last_seq`), also where the message
    ///   is deleted.
    /// - A search keeps the bounds of [`search`]. One that met a bound, and may have missed messages, answers
    ///   [`terminated_early`](crate::operation::SearchHits::terminated_early).
    /// - A page of the audit log answers how many entries the store has [written](crate::operation::AuditPage::written), counted apart from the
    ///   entries themselves.
    /// - Open messages are listed by the bytes of their thread, and then by sequence number. Threads are listed by activity, the latest
    ///   first, and then by the bytes of their ids.
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

    /// Appends to the log of who did what: entries about calls that were refused, or that a layer or another pipeline answered. They come from
    /// the pipeline itself, and not through its layers, which have refused what they are about. In one commit; an error leaves
    /// nothing of them, or says that the outcome is unknown, and they come again.
    fn record_rejected_calls(&self, records: RejectedCallRecords) -> impl Future<Output = Result<()>> + Send {
        drop(records);
        ready(Err(PersistError::unsupported("an audit log")))
    }

    /// Keeps the store an exact copy of another, or another one of it: see [`replica`](crate::replication).
    fn replica(
        &self,
        call: Admitted<'_, ReplicaArgs>,
    ) -> impl Future<Output = Result<Reply<ReplicaArgs>>> + Send {
        unsupported(&call)
    }

    /// Subscribes to commit notifications. After each commit the store sends the position that it has come to, as far as this process knows.
    /// A notification carries no data: it says that a read may find more. Notifications may be left out, and one may come for nothing. A
    /// reader without a subscription polls.
    fn commit_notifications(&self) -> Option<CommitNotifications> {
        None
    }

    /// Finishes what was admitted and lets go of every resource: files, locks, connections, threads. When it has returned, the same
    /// store can be opened again by this process or another, and has everything that was answered. Called once, by
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
