//! The backend interface: the trait [`Backend`] that a store implements, and the rules that all stores share.
//!
//! A backend is not a layer, and it has no write methods of its own. Each method takes an [`Admitted`] call, which
//! only a pipeline can create and which a backend cannot keep. The smallest backend stores nothing and refuses every
//! call:
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
//!         Err(PersistError::new(ErrorKind::Denied, "this store accepts no writes"))
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
//! [`rules`] and [`sessions`] contain the decisions that every backend makes in the same way. [`Replay`] is the
//! record that a store keeps under an idempotency key. The conformance kit, `throughline-conformance`, checks a store
//! against the whole contract.

mod admitted;
mod audit;
mod capabilities;
mod forward;
mod indexed_metadata;
mod length;
pub mod names;
mod owner_process;
mod queue_capacity;
mod queued_size;
pub mod replication_rules;
pub mod rules;
pub mod search;
pub mod sessions;

use std::future::{Future, ready};

pub use self::{
    admitted::Admitted,
    audit::{AuditLink, PendingAuditEntry, RejectedCallRecords, SealedAuditEntry},
    capabilities::{Capabilities, Durability},
    indexed_metadata::{IndexedMetadata, InvalidIndexedMetadata, index_is_incomplete},
    length::{Length, Tail},
    owner_process::OwnerProcess,
    queue_capacity::{QueueCapacity, QueuePermit, closed, unanswered, wait_until},
    queued_size::{queued_size, size_of_rejected_call_records},
};
pub(crate) use self::{admitted::Counter, audit::record};
#[doc(inline)]
pub use crate::__forward_operations as forward_operations;
pub use crate::message::{ContentFragment, ContentSlice};
pub use crate::operation::{
    estimated_size::{AnswerBytes, EstimatedSize},
    stored::{LookUp, Removed, Replay, ThreadCounters, ThreadStats},
};
pub use crate::per_process::{Inherit, PerProcess};

use crate::change::CommitNotifications;
use crate::{
    OpKind, Operation, PersistError, ReadArgs, Reply, Result,
    operation::{
        Add, Batch, ConsumerArgs, Delete, FingerprintKey, Import, ReplicaArgs, Reserve, SessionArgs,
        ThreadArgs, Update, UpdateContent,
    },
};

/// The implementation of a store, at the end of a pipeline.
///
/// Implementors write each method as an `async fn`. The default of each operation fails as
/// [`Unsupported`](crate::ErrorKind::Unsupported); a store that keeps a default must not claim that operation in
/// [`capabilities`](Self::capabilities).
///
/// # Arguments
/// Each operation method takes an [`Admitted`] call: the typed operation, the [`Context`](crate::Context) with
/// tenant, idempotency key and deadline, and the time of the attempt. The pipeline has already validated the
/// arguments: page limits, byte bounds, leases, batches and queries are within their documented limits. Byte limits
/// of content and metadata count the bytes of their JSON text.
///
/// # Contract
/// - Atomicity: the store applies a write as a whole or not at all. It answers only after the write is as durable as
///   [`Capabilities::durability`] claims.
/// - Cancel safety: if the future is dropped before it completes, the write must still be applied as a whole or not
///   at all. While the runtime lives, the pipeline does not drop a future that it has polled.
/// - Errors: a kind that [is a refusal](crate::ErrorKind::is_refusal) means that the store applied nothing. Any other
///   error carries its [`Effect`](crate::Effect); without one, the effect is unknown.
/// - Panics: the pipeline contains a panic and answers [`Panicked`](crate::ErrorKind::Panicked), with an unknown
///   effect for a write. A backend should not panic.
/// - Time: the timestamps of a write are [`Admitted::now`]. Order never depends on a timestamp.
/// - Access: a backend must not be `Clone` and must have no public method that writes, because all writes go through
///   the pipeline.
///
/// # Rules
/// The conformance kit checks these rules for every store that claims the feature in question. Each method adds its
/// own rules.
///
/// - Ids are compared byte for byte, and each id is a key part of its own: `(a:b, c)` is not `(a, b:c)`. A write to
///   one tenant or thread neither changes nor shows anything in another one.
/// - Each change takes its own [`Position`](crate::Position), which is greater than every earlier position of any
///   tenant. A batch takes one position for each change, in the order of its items. The receipt of a write names the
///   last position that it took. A write without a change event, such as a renewed lease, also takes a position. A
///   read, a refusal and a replay take no position and return no receipt.
/// - A thread assigns sequence numbers in the order of arrival and never assigns one twice: not after a deletion,
///   after a clear, or after the store was reopened.
/// - `created_at` is set once. `updated_at` is [`Admitted::now`], but never earlier than before
///   ([`rules::updated_at`]).
/// - A refused call leaves nothing: no row, no tombstone, no used key, no position.
/// - A write with an expected revision, title or generation fails as `Stale` if the stored value differs. This check
///   applies in every mode.
/// - Content and metadata come back byte for byte, with NUL, lone surrogates, escapes and the notation of numbers.
///
/// # Idempotency keys
/// A key belongs to a tenant and a thread; the key of a batch belongs to the thread of its first item. A second call
/// with the same key and fingerprint gets the answer of the first call, with `deduplicated` set, whatever happened in
/// between; only [`Update`] answers the current metadata. A second call with another fingerprint fails as `Conflict`.
///
/// A key does not expire with time. After the deletion of a message, its keys still replay an addition, a reservation,
/// a change of content and the deletion, and an update is `Gone`. After the deletion of a thread, the store replays
/// none of its keys. See [`Replay`].
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a backend",
    label = "a pipeline ends with a backend",
    note = "call `.backend(…)` before `.build()`"
)]
pub trait Backend: Send + Sync + 'static {
    /// Returns the name of the store in errors, reports and `describe()`. The name must be unique in the pipeline.
    fn name(&self) -> &str;

    /// Returns the operations that the store supports and the guarantees that it claims. The conformance kit verifies
    /// each claim. The pipeline reads the answer once, when it is built.
    fn capabilities(&self) -> Capabilities;

    /// Returns the random key that was created with this store. The pipeline computes fingerprints with it where the
    /// host configures no secret of its own.
    ///
    /// The key is the same in every process that opens the store. It is kept apart from the idempotency keys and
    /// their fingerprints. A store that becomes the replica of another store adopts the key that comes with
    /// [`SetReplicationState`](crate::operation::SetReplicationState). Another process that opened this store before
    /// that call keeps the old key until it opens the store again. After a switchover, the calls that such a process
    /// repeats are refused as [`Conflict`](crate::ErrorKind::Conflict).
    ///
    /// The default is `None`: the pipeline then uses a constant key, and the guide says what a reader of the store
    /// can guess.
    fn fingerprint_key(&self) -> Option<FingerprintKey> {
        None
    }

    /// Adds a complete message.
    ///
    /// - An id that the thread has, in any state, is `AlreadyExists`; an id that was deleted there is `Gone`. The
    ///   same id in another thread or tenant is free.
    /// - A message without blocks is final: the content `[]` does not imply a state.
    /// - The store keeps a `created_at` of the caller; the value does not affect the order of the messages. The first message of a
    ///   thread also sets the time of its creation.
    fn add(&self, call: Admitted<'_, Add>) -> impl Future<Output = Result<Reply<Add>>> + Send {
        unsupported(&call)
    }

    /// Creates an empty message: its state is `Reserved`, its content is `[]`, and its lease begins now.
    ///
    /// Ids are refused as in [`add`](Self::add). The message gets its sequence number now and keeps it, whenever the
    /// writer finishes it.
    fn reserve(&self, call: Admitted<'_, Reserve>) -> impl Future<Output = Result<Reply<Reserve>>> + Send {
        unsupported(&call)
    }

    /// Changes the content of a message, or settles it. [`rules::transition`] decides the next state.
    ///
    /// - An unknown or deleted message is `NotFound`; the store does not create it.
    /// - An empty append changes no byte. With the mode `Partial` it only renews the lease: state and revision stay.
    ///   Every other mode raises the revision and changes the state as usual.
    /// - Text continues the last block if that is a plain text block; otherwise it opens a block.
    ///   [`ContentBuffer`](crate::message::ContentBuffer) implements this. The cost of an append depends on the
    ///   appended bytes, not on the stored length.
    /// - An abandoned message keeps its committed content and the reason. A settled message has no lease.
    /// - A renewal never shortens a lease ([`rules::renewed`]).
    /// - [`max_content_bytes`](UpdateContent::max_content_bytes) and [`Capabilities::max_content_bytes`] limit the
    ///   content after the change, in bytes of JSON. A change beyond the lower of the two is `TooLarge`. [`Length`]
    ///   counts these bytes.
    fn update_content(
        &self,
        call: Admitted<'_, UpdateContent>,
    ) -> impl Future<Output = Result<Reply<UpdateContent>>> + Send {
        unsupported(&call)
    }

    /// Patches metadata and attachments, in every state.
    ///
    /// - A name that the patch does not contain stays; `null` removes the name; any other value replaces the old
    ///   value as a whole. A `null` inside of a value is data.
    /// - Absent attachments stay; an empty list removes all of them.
    /// - A patch moves `updated_at` and changes neither revision nor state. An empty patch changes no data.
    /// - An unknown or deleted message is `NotFound`. The replay of a patch is `Gone` if the message was deleted
    ///   since.
    ///
    /// [`max_metadata_bytes`](Update::max_metadata_bytes) limits the metadata after the patch, in bytes of JSON; a
    /// patch beyond the limit is `TooLarge`. The same limit of a [`LabelThread`](crate::operation::LabelThread)
    /// applies to the metadata of its thread.
    fn update(&self, call: Admitted<'_, Update>) -> impl Future<Output = Result<Reply<Update>>> + Send {
        unsupported(&call)
    }

    /// Deletes a message, in any state, and leaves a tombstone.
    ///
    /// - The answer identifies the removed message and lists its attachments.
    /// - The tombstone stays for the life of the thread: an addition or a reservation with this id is `Gone`. In a thread
    ///   that [reuses ids](crate::threads::CreateThread::reuses_ids) it makes a new message instead, at
    ///   [`rules::first_revision_after`] the last revision of the deleted one. Any
    ///   other write to it, also a second deletion, is `NotFound`, and a read finds nothing.
    /// - An unknown message is `NotFound`, and the store writes no tombstone for it.
    /// - If [`after`](Delete::after) is set and differs from the last sequence number of the thread, the deletion is
    ///   `Stale`.
    /// - With [`only_damaged`](Delete::only_damaged), the store deletes only a message that it answers `Corrupt` for.
    ///   It writes a tombstone and counts the messages of the thread again. A readable message is `Conflict`.
    fn delete(&self, call: Admitted<'_, Delete>) -> impl Future<Output = Result<Reply<Delete>>> + Send {
        unsupported(&call)
    }

    /// Applies several writes in one commit, or none of them. An error names the failed item with
    /// [`with_batch_index`](PersistError::with_batch_index), counted from zero.
    ///
    /// The store applies the items in order, and each item sees the effects of the items before it, in every thread
    /// of the batch. Each change has its own position, and the receipt names the last one. If [`after`](Batch::after)
    /// is set and differs from the last sequence number of the first item's thread before the batch, the batch is
    /// `Stale`. The pipeline refuses an empty batch, and a batch that contains a batch, a read or an import.
    ///
    /// [`max_answer_bytes`](Batch::max_answer_bytes) limits the stored bytes that the answers contain
    /// ([`answer_bytes`](crate::PersistResult::answer_bytes)). Beyond the limit the batch is `TooLarge`, with the
    /// index of the item that exceeds it. So is a batch whose items together rewrite more stored content than
    /// [`Batch::MAX_REWRITTEN_BYTES`].
    fn batch(&self, call: Admitted<'_, Batch>) -> impl Future<Output = Result<Reply<Batch>>> + Send {
        unsupported(&call)
    }

    /// Imports messages that were written elsewhere: adds the messages that the thread does not have, in one commit,
    /// in the order of the list.
    ///
    /// - A message that the thread has stays unchanged, and a deleted message stays deleted unless the thread reuses
    ///   ids. The answer lists both. See [`rules::check_import`].
    /// - A damaged message with one of the ids is `Corrupt`. With [`restores_damaged`](Import::restores_damaged), the
    ///   imported row overwrites it: the message keeps its sequence number and starts at the first revision.
    /// - No size limit applies to [a copy](Import::is_copy) of messages that the store already has.
    fn import(&self, call: Admitted<'_, Import>) -> impl Future<Output = Result<Reply<Import>>> + Send {
        unsupported(&call)
    }

    /// Changes a thread as a whole: creates, clears, deletes, labels or prunes it, among others.
    ///
    /// - A cleared thread keeps its title, owner, labels and metadata, and begins its next generation. Its tombstones
    ///   stay, and its sequence numbers continue.
    /// - After a deletion of a thread, every write to it is `Gone` before the store changes anything, and no read
    ///   shows any of it. A second deletion succeeds. A thread with the same id of another tenant is not affected.
    /// - [`TakeLastMessage`](crate::operation::TakeLastMessage) of an unknown thread is `NotFound`; of a thread
    ///   without messages it deletes nothing and succeeds. A replay answers the same deletion, without the message.
    /// - Only final messages count as messages, turns and bytes of a thread, and only settled messages count as
    ///   activity.
    fn thread(
        &self,
        call: Admitted<'_, ThreadArgs>,
    ) -> impl Future<Output = Result<Reply<ThreadArgs>>> + Send {
        unsupported(&call)
    }

    /// Answers a read. A read must not wait in the queue of the writes.
    ///
    /// - A read that begins after a write was answered sees that write.
    /// - Absent data is an empty answer, not an error. The answer reports a damaged row, and the row hides no other
    ///   row.
    /// - Cursors are exclusive, and a cursor need not match an existing row. A page that ends with the last item
    ///   reports no further items. The pipeline checks limits and byte bounds by [`rules::check_page`], and limits
    ///   without byte bounds by [`rules::check_limit`].
    /// - A page or list with `max_bytes` ends before the item that would exceed this number of bytes, and then
    ///   reports further items. It contains at least one item. [`AnswerBytes`] counts the bytes.
    /// - A page and a thread summary contain the last sequence number that the thread has ever assigned (`last_seq`),
    ///   also if that message was deleted.
    /// - A list of threads has the [order](crate::threads::ThreadOrder) that it names, and shows no hidden thread, also if it
    ///   lists unlisted threads. The pipeline refuses the cursor of another order.
    /// - A search stays within the bounds of [`search`]. A search that reached a bound and may have missed messages
    ///   sets [`terminated_early`](crate::operation::SearchHits::terminated_early).
    /// - A find compares the value itself with each message that its index leads to, examines a bounded number of them, and
    ///   depends on no other tenant. It refuses a field that [`Capabilities::indexed_metadata`] does not name.
    /// - A page of the audit log contains the number of records that the store has
    ///   [written](crate::operation::AuditPage::written), which the store counts apart from the records.
    /// - Lists of open messages are ordered by the bytes of the thread id, then by sequence number. Lists of threads
    ///   are ordered by activity, latest first, then by the bytes of the thread id.
    fn read(&self, call: Admitted<'_, ReadArgs>) -> impl Future<Output = Result<Reply<ReadArgs>>> + Send {
        unsupported(&call)
    }

    /// Records the progress of a consumer of the change feed: its cursor and its quarantine.
    fn consumer(
        &self,
        call: Admitted<'_, ConsumerArgs>,
    ) -> impl Future<Output = Result<Reply<ConsumerArgs>>> + Send {
        unsupported(&call)
    }

    /// Changes the sessions of an agent, by the rules of [`sessions`].
    fn session(
        &self,
        call: Admitted<'_, SessionArgs>,
    ) -> impl Future<Output = Result<Reply<SessionArgs>>> + Send {
        unsupported(&call)
    }

    /// Appends rejected-call records to the audit log: records of calls that were refused, or that a layer or another
    /// pipeline answered.
    ///
    /// The pipeline itself calls this method, not through its layers, because those layers may have refused the
    /// recorded calls. The store appends all records in one commit. On an error it has appended none of them, or the
    /// effect is unknown; the pipeline then sends the same records again.
    fn record_rejected_calls(&self, records: RejectedCallRecords) -> impl Future<Output = Result<()>> + Send {
        drop(records);
        ready(Err(PersistError::unsupported("an audit log")))
    }

    /// Executes an operation of replication, on a primary or on a replica: see [`replica`](crate::replication).
    fn replica(
        &self,
        call: Admitted<'_, ReplicaArgs>,
    ) -> impl Future<Output = Result<Reply<ReplicaArgs>>> + Send {
        unsupported(&call)
    }

    /// Subscribes to commit notifications. After each commit the store sends its latest position, as far as this
    /// process knows it.
    ///
    /// A notification carries no data: it says that a read may find more changes. The store may omit notifications
    /// and may send one without a new change. Without a subscription, the default, readers poll.
    fn commit_notifications(&self) -> Option<CommitNotifications> {
        None
    }

    /// Completes the admitted calls and releases all resources: files, locks, connections and threads.
    ///
    /// After it returns, this process or another one can open the same store again and finds every acknowledged
    /// write. [`Persistence::close`](crate::Persistence::close) calls it once, when no call is in flight. It runs on
    /// the runtime that the pipeline was built on, or on another one if that runtime has ended.
    fn close(&self) -> impl Future<Output = Result<()>> + Send {
        ready(Ok(()))
    }

    /// Returns what [`close`](Self::close) waits for at this moment, as one clause: `the writer has waited in the
    /// sync of a commit for 25 s, and 3 writes wait for it`.
    ///
    /// The clause completes the error of a [`Persistence::close_within`](crate::Persistence::close_within) that timed
    /// out. `None`, the default, means that the backend does not know. The method must not block.
    fn waits_in(&self) -> Option<String> {
        None
    }
}

fn unsupported<O: Operation>(_: &Admitted<'_, O>) -> std::future::Ready<Result<Reply<O>>> {
    let kind: OpKind = O::KIND;
    ready(Err(PersistError::unsupported(format_args!("`{kind}`"))))
}
