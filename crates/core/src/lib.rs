//! The types and the tower pipeline of Throughline, a persistence middleware for conversations with AI agents.
//!
//! Every read and every write of a conversation goes through one typed `tower` stack to one backend. Layers of the stack can
//! observe, change, redirect or short-circuit each call. No call bypasses the stack.
//!
//! - A **host** builds a stack with [`Persistence::builder`] and makes typed calls through [`Thread`] and [`Draft`].
//! - A **plugin author** implements [`Plugin`], or writes a `tower::Layer` over [`PersistRequest`].
//! - A **backend author** implements [`Backend`].
//!
//! The crate `throughline` combines this crate with the backends.

#![cfg_attr(docsrs, feature(doc_cfg))]

mod audit_entry;
pub mod backend;
mod change;
pub mod contain;
mod context;
pub mod error;
mod handle;
mod id;
pub mod keyed_queue;
mod message;
mod op_kind;
mod operation;
mod per_process;
pub mod pipeline;
pub mod plugin;
pub mod redirect;
mod replica;
mod request;
mod session;
mod thread;

pub mod audit {
    //! The audit log: the append-only record of calls. An entry has the caller, the operation, the messages and the outcome.
    //!
    //! Each entry contains the hash of the entry before it. The hash is keyed, so that a person with write access to the store
    //! cannot forge an entry. The key belongs to the host, and only the layer of the feature `audit` uses it; this module has no
    //! key. A store builds an entry from the [`PendingAuditEntry`] of a write, in the transaction of that write, and never
    //! changes it:
    //!
    //! ```
    //! use throughline_core::audit::{AuditLink, AuditNumber};
    //!
    //! let link = AuditLink::first();
    //! assert_eq!(link.number(), AuditNumber::FIRST);
    //! ```
    //!
    //! An entry has no content. It has a keyed hash of the content of its call.

    pub use crate::{
        audit_entry::{AuditDigest, AuditEntry, AuditItem, AuditOutcome, AuditRecord},
        backend::{AuditLink, PendingAuditEntry, RejectedCallRecords, SealedAuditEntry},
        context::{AuditDraft, AuditSealer},
        message::AuditNumber,
        operation::{AuditFrom, AuditPage, ReadAudit},
        pipeline::RejectedCallBudget,
    };
}

pub mod replication {
    //! Exact copies of a store: the row images that a primary sends to a replica, and the progress of the replica.
    //!
    //! A new store is a [primary](ReplicationRole::Primary). A [replica](ReplicationRole::Replica) accepts only row images of its
    //! primary. It refuses every other write as [`NotPrimary`](crate::ErrorKind::NotPrimary), so that two stores never accept
    //! writes at the same time. Each switchover increases the [`Epoch`].
    //!
    //! ```
    //! use throughline_core::replication::{Epoch, ReplicationRole, ReplicationState};
    //!
    //! let fresh = ReplicationState::PRIMARY;
    //! assert_eq!((fresh.role, fresh.epoch), (ReplicationRole::Primary, Epoch::ZERO));
    //! assert_eq!(fresh.as_replica().role, ReplicationRole::Replica);
    //! assert_eq!(fresh.as_replica().promoted().epoch, Epoch::FIRST);
    //! ```
    //!
    //! The operations are [`BeginCapture`], [`ApplyImages`] and [`SetReplicationState`]; the reads are [`ReadImages`] and
    //! [`GetReplicationStatus`]. Hosts use the crate `throughline-mirror`, which calls them.

    pub use crate::{
        operation::{
            ApplyImages, BeginCapture, CaptureBegun, CaptureEnded, ConsumerImage, EndCapture,
            GetReplicationStatus, GoneImage, Image, ImagePart, Images, ImagesApplied, KeyImage, MessageImage,
            NameImage, ReadImages, ReplicaArgs, ReplicaResult, SessionImage, SessionPart,
            SetReplicationState, ThreadImage,
        },
        replica::{CaptureId, Epoch, ImageCursor, ReplicationRole, ReplicationState, ReplicationStatus},
    };
}

pub mod sessions {
    //! Agent sessions: the provider session that an agent can resume in a thread.
    //!
    //! The provider keeps the session itself. The store keeps the [`Pointer`] to it, for each tenant, agent and thread. A store
    //! writes a pointer only as a whole, so that no reader sees a session with a runtime that never ran it. Each run is an
    //! [`Attempt`]: it begins under a lease, and it ends once. The store decides from the pointer and the attempts which session
    //! a claimer may resume. When the store withholds a known session, the answer states the [reason](Withheld):
    //!
    //! ```
    //! use throughline_core::sessions::{Claimer, Runtime, Withheld};
    //!
    //! let claimer = Claimer::new("claude".parse()?, Runtime::new("laptop".parse()?, "root-1".parse()?));
    //! // A host that says nothing of its runtime is offered nothing: no runtime is like no other.
    //! let unknown = Claimer { runtime: None, ..claimer };
    //! assert!(unknown.runtime.is_none());
    //! assert_eq!(Withheld::RuntimeMismatch.as_str(), "runtimeMismatch");
    //! # Ok::<(), throughline_core::InvalidId>(())
    //! ```
    //!
    //! The crate `throughline-session-runs` runs agents: it begins each run, renews its lease, and ends it with success, failure
    //! or cancellation.

    pub use crate::{
        handle::AgentThread,
        message::{SessionGeneration, SessionRevision},
        operation::{
            AdoptSession, AdoptedPointer, AdoptedRun, AgentChanged, Attempts, BackfillRuntime, BeginRun,
            CancelRun, ClearPointerIf, ConfirmRun, DropAgent, DropRuntime, FailRun, ListAttempts, PinSession,
            RenewRun, ResetAgent, ResetSession, ResolveSession, RetireSession, RunBegun, RunRenewed,
            RunReport, RuntimeBackfilled, RuntimeDropped, SessionArgs, SessionChanged, SessionResolved,
            SessionResult,
        },
        session::{
            AfterFailure, Attempt, AttemptState, Binding, Claimer, Directory, Failure, Gap, GenerationCause,
            HandOff, Pointer, PointerState, Reach, Resolution, RunLease, Runtime, Withheld,
        },
    };
}

pub mod changes {
    //! The change feed of a store, and consumers that read it from a durable cursor.
    //!
    //! ```
    //! use throughline_core::changes::{ChangeScope, ReadChanges};
    //!
    //! let read = ReadChanges::new(ChangeScope::Tenant, throughline_core::Position::ZERO, 100);
    //! assert_eq!(read.limit, 100);
    //! ```

    pub use crate::{
        change::{Change, ChangeKind, ChangeScope, ChangedMessage, CommitNotifications, CommitNotifier},
        handle::{
            AppendedContent, ChangeFeed, DeletedMessage, EndedMessage, InvalidStreamCursor, StreamCursor,
            StreamEvent, ThreadEvent, ThreadStream,
        },
        operation::{
            ChangeQuarantined, ChangeReleased, Changes, ConsumerArgs, ConsumerCursor, ConsumerResult,
            CursorMoved, GetCursor, ListQuarantined, MoveCursor, QuarantineChange, QuarantinedChange,
            QuarantinedChanges, ReadChanges, ReleaseChange, ResetCursor,
        },
    };
}

pub mod ids {
    //! Ids and names that hosts and providers assign, in addition to those at the root of the crate.
    //!
    //! Each is a string of 1 to [`MAX_ID_BYTES`] bytes, validated once:
    //!
    //! ```
    //! use throughline_core::ids::RuntimeId;
    //!
    //! let runtime: RuntimeId = "laptop".parse()?;
    //! assert_eq!(runtime.as_str(), "laptop");
    //! assert!("".parse::<RuntimeId>().is_err());
    //! # Ok::<(), throughline_core::InvalidId>(())
    //! ```

    pub use crate::id::{
        AttachmentKey, AttemptId, ConsumerName, EventId, ItemId, LabelName, LabelValue, MAX_ID_BYTES,
        ProviderId, RootEpoch, RuntimeId, SessionId, TurnId, WorkDir,
    };
}

pub mod messages {
    //! The messages of a thread: the operations that write and read them, and what their handles return.
    //!
    //! ```
    //! use throughline_core::{NewMessage, PersistArgs, messages::Add};
    //!
    //! let add = Add::new("t".parse()?, NewMessage::user("hello"));
    //! assert!(matches!(PersistArgs::from(add), PersistArgs::Add(_)));
    //! # Ok::<(), throughline_core::InvalidId>(())
    //! ```

    pub use crate::{
        handle::{
            BlockAt, Coalesce, History, Recalled, RecoveredDrafts, ReplyAttempt, ToolCall, Turn, Walk,
            Watermark,
        },
        message::{
            CarriesContent, ContentBuffer, ContentCursor, ContentField, ContentFieldMut, FieldValue,
            FieldValueMut, InvalidContent, InvalidCursor, InvalidMetadata, InvalidTitle,
        },
        operation::{
            Add, Added, Alias, AliasCursor, Aliases, Batch, Batched, ContentChange, ContentTail,
            ContentUpdated, DamagedMessage, Delete, Deleted, FindCursor, FindMessages, FindOrder,
            FoundMessages, GetMessage, Import, ImportRow, Imported, ImportedRow, ListAliases, ListOpen,
            Mismatch, OpenCursor, OpenReservations, Origin, Page, PageFrom, ReadContent, ReadPage, Reserve,
            Reserved, ResolveId, ResolvedBy, ResolvedId, SkippedId, TakeLastMessage, TakenMessage, Update,
            UpdateContent, UpdateMode, Updated, Visibility,
        },
    };
}

pub mod operations {
    //! The parts that all operations share: the fingerprint of an operation, the thread and message that it addresses, and
    //! the permissions that it needs.
    //!
    //! ```
    //! use throughline_core::{NewMessage, messages::Add, operations::Addressed};
    //!
    //! let add = Add::new("t".parse()?, NewMessage::user("hello").with_id("m-1".parse()?));
    //! assert_eq!(add.thread().map(|thread| thread.as_str()), Some("t"));
    //! # Ok::<(), throughline_core::InvalidId>(())
    //! ```

    pub use crate::operation::{Addressed, Fingerprint, FingerprintKey, OperationOf, Reach, Verb};
}

pub mod requests {
    //! Requests: the futures that handles return. A request runs when the caller awaits it.
    //!
    //! ```
    //! # use throughline_core::{NewMessage, Persistence, Result};
    //! # async fn example(db: &Persistence) -> Result<()> {
    //! // `add` returns a request; `await` sends it.
    //! let request = db.thread("t").add(NewMessage::user("hello"));
    //! let added = request.key("webhook-17").await?;
    //! # let _ = added;
    //! # Ok(())
    //! # }
    //! ```

    pub use crate::handle::{
        ArgsRequest, ArgsRequestFuture, ConsumerRequest, DraftRequest, FamilyRequest, Probe, ReadRequest,
        ReplicaRequest, ReplyAttemptRequest, ReplyFuture, Request, RequestFuture, SessionRequest,
        ThreadRequest, TurnRequest,
    };
}

pub mod search {
    //! Full-text search over messages.
    //!
    //! ```
    //! use throughline_core::search::SearchMessages;
    //!
    //! let search = SearchMessages::new("invoice", 20);
    //! assert_eq!(search.limit, 20);
    //! ```

    pub use crate::operation::{SearchHit, SearchHits, SearchMessages};
}

pub mod threads {
    //! Threads: the operations on a whole thread, lists of threads, and what their handles return.
    //!
    //! ```
    //! use throughline_core::{PersistArgs, threads::{RenameThread, ThreadArgs}};
    //!
    //! let rename: ThreadArgs = RenameThread::new("t".parse()?, "Lisbon".parse()?).into();
    //! assert_eq!(serde_json::to_string(&PersistArgs::from(rename))?, r#"{"thread":{"rename":{"thread":"t","title":"Lisbon"}}}"#);
    //! # Ok::<(), Box<dyn std::error::Error>>(())
    //! ```

    pub use crate::{
        handle::Forked,
        message::Generation,
        operation::{
            ArchiveThread, ClearThread, CreateThread, DeleteThread, GetThread, LabelThread, ListPurgeable,
            ListTenants, ListThreads, PlanPrune, PrunePlan, PruneThread, Pruned, PublishThread, PurgeThread,
            PurgeableThreads, Purged, RebuildThread, RenameThread, Tenants, ThreadArgs, ThreadChanged,
            ThreadDeleted, ThreadList, ThreadResult,
        },
        thread::{ForkPoint, Keep, LabelPatch, ThreadCursor, ThreadOrder, ThreadSummary},
    };
}

pub mod prelude {
    //! The names that most hosts import.
    //!
    //! ```
    //! use throughline_core::prelude::*;
    //!
    //! async fn greet(db: &Persistence) -> Result<Message> {
    //!     Ok(db.thread("t").add(NewMessage::user("hello")).await?.message)
    //! }
    //! ```

    pub use crate::{
        Agent, Content, Draft, ErrorKind, Message, MessageId, MessageState, NewMessage, NewReservation,
        NewThread, PersistError, Persistence, Result, Role, TenantId, Thread, ThreadId,
    };
}

pub(crate) use self::message::lease_milliseconds as message_lease_milliseconds;
pub use self::{
    backend::{Admitted, Backend, Capabilities, Durability, IndexedMetadata, InvalidIndexedMetadata},
    context::{Context, Idempotency},
    error::{BoxError, Effect, ErrorKind, PersistError, Result, Site},
    handle::{Agent, Builder, Draft, NewTurn, NoBackend, Persistence, Thread},
    id::{AgentId, CallId, IdempotencyKey, InvalidId, MessageId, OwnerId, TenantId, ThreadId},
    message::{
        Content, Delta, Lease, Message, MessageState, Metadata, MetadataPatch, MetadataScalar, Position,
        Revision, Role, Seq, Timestamp, Title,
    },
    op_kind::OpKind,
    operation::{
        NewMessage, NewReservation, NewThread, Operation, PersistArgs, PersistResult, ReadArgs, ReadResult,
    },
    pipeline::Phase,
    plugin::{Next, Plugin, PluginLayer},
    request::{Call, PersistRequest, PersistResponse, Reply},
    thread::Labels,
};
