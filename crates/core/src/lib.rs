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
pub mod operation;
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
    //! no key. A store makes an entry from the [`AuditTicket`] that came with a write, in the commit of that write, and keeps it as it is:
    //!
    //! ```
    //! use throughline_core::{AuditNumber, audit::AuditLink};
    //!
    //! let link = AuditLink::first();
    //! assert_eq!(link.number(), AuditNumber::FIRST);
    //! ```
    //!
    //! An entry holds no content: of what a call carried it has a keyed hash.

    pub use crate::{
        audit_entry::{AuditDigest, AuditEntry, AuditItem, AuditOutcome, AuditRecord},
        backend::{AuditLink, AuditNotes, AuditTicket},
        context::{AuditDraft, AuditSealer},
        pipeline::RejectedCallBudget,
    };
}

pub mod replication {
    //! Exact copies of a store: what is carried from one that leads to one that follows, and how far it has come.
    //!
    //! A store [leads](Role::Leading) unless it was told to follow. One that [follows](Role::Following) takes nothing but images from
    //! the store that it follows, and refuses every other write as [`Following`](crate::ErrorKind::Following), so that no two stores
    //! can take writes side by side. Each change of who leads raises the [`Epoch`].
    //!
    //! ```
    //! use throughline_core::replication::{Epoch, Role, Stance};
    //!
    //! let fresh = Stance::LEADING;
    //! assert_eq!((fresh.role, fresh.epoch), (Role::Leading, Epoch::ZERO));
    //! assert_eq!(fresh.following().role, Role::Following);
    //! assert_eq!(fresh.following().leading_next().epoch, Epoch::FIRST);
    //! ```
    //!
    //! The operations are [`BeginCapture`](crate::BeginCapture), [`ApplyImages`](crate::ApplyImages) and [`TakeStance`](crate::TakeStance), the
    //! reads [`ReadImages`](crate::ReadImages) and [`GetStanding`](crate::GetStanding). What a host calls is in `mirror`.

    pub use crate::{
        operation::{
            ConsumerImage, GoneImage, Image, ImagePart, KeyImage, NameImage, SessionImage, SessionPart,
            ThreadImage,
        },
        replica::{CaptureId, Epoch, ImageCursor, Role, Stance, Standing},
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
        handle::{Finished, PreparedRun, Ran, Run, RunError, RunFailure, SessionRunner, Stop},
        session::{
            AfterFailure, Attempt, AttemptState, Binding, Claimer, Directory, Failure, Gap, GenerationCause,
            HandOff, Pointer, PointerState, Reach, Resolution, RunLease, Runtime, Withheld,
        },
    };
}

pub(crate) use self::message::lease_milliseconds as message_lease_milliseconds;
pub use self::{
    backend::{Admitted, Backend, Capabilities, Durability},
    change::{Change, ChangeScope, ChangedMessage, CommitNotifications, CommitNotifier, Happened},
    context::{Clock, Context, Extensions, Idempotency, SystemClock},
    error::{BoxError, Effect, ErrorKind, PersistError, Result, Site},
    handle::{
        Agent, AgentThread, BlockAt, Builder, ChangeFeed, Coalesce, ConsumerRequest, Draft, DraftRequest,
        FamilyRequest, Forked, History, NewTurn, NoBackend, Persistence, Probe, ReadRequest, Recalled,
        ReplicaRequest, ReplyAttempt, ReplyAttemptRequest, ReplyFuture, Request, RequestFuture,
        SessionRequest, Swept, Thread, ThreadRequest, ToolCall, Turn, TurnRequest, Upstream, Walk, Watermark,
    },
    id::{
        AgentId, AttachmentKey, AttemptId, CallId, ConsumerName, EventId, IdempotencyKey, InvalidId, ItemId,
        LabelName, LabelValue, MAX_ID_BYTES, MessageId, OwnerId, ProviderId, RootEpoch, RuntimeId, SessionId,
        TenantId, ThreadId, TurnId, WorkDir,
    },
    message::{
        AuditNumber, CarriesContent, Content, ContentBuffer, Delta, Generation, InvalidContent,
        InvalidMetadata, InvalidTitle, Lease, Message, MessageState, Metadata, MetadataPatch, Place,
        PlaceMut, Position, Revision, Role, Seq, SessionGeneration, SessionRevision, Slot, SlotMut,
        Timestamp, Title,
    },
    op_kind::OpKind,
    operation::{
        Add, Added, Addressed, AdoptSession, AdoptedPointer, AdoptedRun, AgentChanged, Alias, AliasCursor,
        Aliases, ApplyImages, ArchiveThread, Attempts, AuditFrom, AuditPage, BackfillRuntime, Batch, Batched,
        BeginCapture, BeginRun, CancelRun, CaptureBegun, CaptureEnded, ChangeQuarantined, ChangeReleased,
        Changes, ClearPointerIf, ClearThread, ConfirmRun, ConsumerArgs, ConsumerCursor, ConsumerResult,
        ContentChange, ContentUpdated, CreateThread, CursorMoved, DamagedMessage, Delete, DeleteThread,
        Deleted, DropAgent, DropRuntime, EndCapture, FailRun, Fingerprint, FingerprintKey, GetCursor,
        GetMessage, GetStanding, GetThread, Images, ImagesApplied, Import, ImportRow, Imported, ImportedRow,
        LabelThread, ListAliases, ListAttempts, ListOpen, ListPurgeable, ListQuarantined, ListThreads,
        Mismatch, MoveCursor, NewMessage, NewReservation, NewThread, OpenCursor, OpenReservations, Operation,
        OperationOf, Origin, Page, PageFrom, PassedOver, PersistArgs, PersistResult, PinSession, PlanPrune,
        PrunePlan, PruneThread, Pruned, PublishThread, PurgeThread, PurgeableThreads, Purged,
        QuarantineChange, QuarantinedChange, QuarantinedChanges, ReadArgs, ReadAudit, ReadChanges,
        ReadImages, ReadPage, ReadResult, RebuildThread, ReleaseChange, RenameThread, RenewRun, ReplicaArgs,
        ReplicaResult, Reserve, Reserved, ResetAgent, ResetCursor, ResetSession, ResolveId, ResolveSession,
        ResolvedBy, ResolvedId, RetireSession, RunBegun, RunRenewed, RunReport, RuntimeBackfilled,
        RuntimeDropped, SearchHit, SearchHits, SearchMessages, SessionArgs, SessionChanged, SessionResolved,
        SessionResult, TakeLastMessage, TakeStance, TakenMessage, ThreadArgs, ThreadChanged, ThreadDeleted,
        ThreadList, ThreadResult, Update, UpdateContent, UpdateMode, Updated, Visibility,
    },
    pipeline::{Described, Phase},
    plugin::{Next, Plugin, PluginLayer},
    request::{AttemptsMade, Call, ContentLimit, HeldBack, PersistRequest, PersistResponse, Receipt, Reply},
    thread::{ForkPoint, Keep, LabelPatch, Labels, ThreadCursor, ThreadEntry},
};
