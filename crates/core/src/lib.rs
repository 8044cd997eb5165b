//! The vocabulary and the tower pipeline of Throughline.
//!
//! Every change to a conversation, and every read of it, goes through one typed `tower` stack to one backend, so that
//! layers can observe, redirect or short-circuit it, and nothing goes round it.
//!
//! - A **host** composes a stack with [`Persistence::builder`] and makes typed calls: [`Thread`], [`Draft`].
//! - A **plugin author** writes a `tower::Layer` over [`PersistRequest`], or implements [`Plugin`].
//! - A **backend author** implements [`Backend`].
//!
//! The crate `throughline` puts this one together with the backends.

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
pub mod pipeline;
pub mod plugin;
pub mod redirect;
mod replica;
mod request;
mod session;
mod thread;

pub mod audit {
    //! The audit log: who did what to which message with which outcome. What an entry says, and what a store does to keep it.
    //!
    //! Each entry names the one before it by its hash, and the hash is keyed: whoever can write to the store cannot make an entry that
    //! passes for one of the log. The key belongs to the host, and stands in the layer that the feature `audit` brings; what is here has
    //! no key. A store makes an entry from the [`PendingAuditEntry`] that came with a write, in the commit of that write, and keeps it as it is:
    //!
    //! ```
    //! use throughline_core::audit::{AuditLink, AuditNumber};
    //!
    //! let link = AuditLink::first();
    //! assert_eq!(link.number(), AuditNumber::FIRST);
    //! ```
    //!
    //! An entry holds no content: of what a call carried it has a keyed hash.

    pub use crate::{
        audit_entry::{AuditDigest, AuditEntry, AuditItem, AuditOutcome, AuditRecord},
        backend::{AuditLink, PendingAuditEntry, RejectedCallRecords},
        context::{AuditDraft, AuditSealer},
        message::AuditNumber,
        operation::{AuditFrom, AuditPage, ReadAudit},
        pipeline::RejectedCallBudget,
    };
}

pub mod replication {
    //! Exact copies of a store: what is carried from one that leads to one that follows, and how far it has come.
    //!
    //! A store [leads](ReplicationRole::Primary) unless it was told to follow. One that [follows](ReplicationRole::Replica) takes nothing but images from
    //! the store that it follows, and refuses every other write as [`Following`](crate::ErrorKind::NotPrimary), so that no two stores
    //! can take writes side by side. Each change of who leads raises the [`Epoch`].
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
    //! The operations are [`BeginCapture`], [`ApplyImages`] and [`SetReplicationState`], the
    //! reads [`ReadImages`] and [`GetReplicationStatus`]. What a host calls is in `mirror`.

    pub use crate::{
        operation::{
            ApplyImages, BeginCapture, CaptureBegun, CaptureEnded, ConsumerImage, EndCapture,
            GetReplicationStatus, GoneImage, Image, ImagePart, Images, ImagesApplied, KeyImage, NameImage,
            ReadImages, ReplicaArgs, ReplicaResult, SessionImage, SessionPart, SetReplicationState,
            ThreadImage,
        },
        replica::{CaptureId, Epoch, ImageCursor, ReplicationRole, ReplicationState, ReplicationStatus},
    };
}

pub mod sessions {
    //! Agent sessions: where an agent goes on in a thread, kept so that it never points wrong.
    //!
    //! A provider keeps the session itself; the store keeps the [`Pointer`] to it, under the tuple (tenant, agent, thread). A
    //! pointer is one value that is only ever written whole, so that nobody sees a session beside a runtime that never had it.
    //! Each run is an [`Attempt`]: begun under a lease, confirmed or failed once. What a claim may resume is decided from both,
    //! and where a session that is known is not offered, the answer says [why](Withheld):
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
    //! A host hands a run to a [`SessionRunner`], which begins it, keeps its lease and ends it, whatever becomes of it.

    pub use crate::{
        handle::{AgentThread, Finished, PreparedRun, Ran, Run, RunError, RunFailure, SessionRunner, Stop},
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
        handle::ChangeFeed,
        operation::{
            ChangeQuarantined, ChangeReleased, Changes, ConsumerArgs, ConsumerCursor, ConsumerResult,
            CursorMoved, GetCursor, ListQuarantined, MoveCursor, QuarantineChange, QuarantinedChange,
            QuarantinedChanges, ReadChanges, ReleaseChange, ResetCursor,
        },
    };
}

pub mod ids {
    //! The names that hosts and providers give to things, besides those at the root of the crate.
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
            CarriesContent, ContentBuffer, ContentField, ContentFieldMut, FieldValue, FieldValueMut,
            InvalidContent, InvalidMetadata, InvalidTitle,
        },
        operation::{
            Add, Added, Alias, AliasCursor, Aliases, Batch, Batched, ContentChange, ContentUpdated,
            DamagedMessage, Delete, Deleted, GetMessage, Import, ImportRow, Imported, ImportedRow,
            ListAliases, ListOpen, Mismatch, OpenCursor, OpenReservations, Origin, Page, PageFrom, ReadPage,
            Reserve, Reserved, ResolveId, ResolvedBy, ResolvedId, SkippedId, TakeLastMessage, TakenMessage,
            Update, UpdateContent, UpdateMode, Updated, Visibility,
        },
    };
}

pub mod operations {
    //! What all operations share: the fingerprint of an operation and the address that it writes to.
    //!
    //! ```
    //! use throughline_core::{NewMessage, messages::Add, operations::Addressed};
    //!
    //! let add = Add::new("t".parse()?, NewMessage::user("hello").with_id("m-1".parse()?));
    //! assert_eq!(add.thread().map(|thread| thread.as_str()), Some("t"));
    //! # Ok::<(), throughline_core::InvalidId>(())
    //! ```

    pub use crate::operation::{Addressed, Fingerprint, FingerprintKey, OperationOf};
}

pub mod requests {
    //! The requests that handles return: a call that runs when it is awaited.
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
        ConsumerRequest, DraftRequest, FamilyRequest, Probe, ReadRequest, ReplicaRequest,
        ReplyAttemptRequest, ReplyFuture, Request, RequestFuture, SessionRequest, ThreadRequest, TurnRequest,
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
        thread::{ForkPoint, Keep, LabelPatch, ThreadCursor, ThreadSummary},
    };
}

pub mod prelude {
    //! The names that most hosts use.
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
    backend::{Admitted, Backend, Capabilities, Durability},
    context::{Context, Idempotency},
    error::{BoxError, Effect, ErrorKind, PersistError, Result, Site},
    handle::{Agent, Builder, Draft, NewTurn, NoBackend, Persistence, Thread},
    id::{AgentId, CallId, IdempotencyKey, InvalidId, MessageId, OwnerId, TenantId, ThreadId},
    message::{
        Content, Delta, Lease, Message, MessageState, Metadata, MetadataPatch, Position, Revision, Role, Seq,
        Timestamp, Title,
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
