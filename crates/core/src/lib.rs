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

pub mod audit;
pub mod backend;
mod change;
pub mod contain;
mod context;
pub mod error;
mod handle;
mod id;
mod message;
pub mod operation;
pub mod pipeline;
pub mod plugin;
pub mod replica;
mod request;
pub mod session;
mod thread;

pub(crate) use self::message::lease_milliseconds as message_lease_milliseconds;
pub use self::{
    backend::{Admitted, Backend, Capabilities, Durability},
    change::{Change, ChangeScope, ChangedMessage, CommitNotifications, CommitNotifier, Happened},
    context::{CallId, Clock, Context, Extensions, Idempotency, SystemClock},
    error::{BoxError, Effect, ErrorKind, PersistError, Result, Site},
    handle::{
        Agent, AgentThread, BlockAt, ChangeFeed, Coalesce, ConsumerRequest, Draft, DraftRequest,
        FamilyRequest, Forked, History, NewTurn, Persistence, ReadRequest, Recalled, ReplicaRequest,
        ReplyAttempt, ReplyAttemptRequest, ReplyFuture, Request, RequestFuture, SessionRequest, Swept,
        Thread, ThreadRequest, ToolCall, Turn, TurnRequest, Walk, Watermark,
    },
    id::{
        AgentId, AttachmentKey, AttemptId, ConsumerName, EventId, IdempotencyKey, InvalidId, ItemId,
        LabelName, LabelValue, MAX_ID_BYTES, MessageId, OwnerId, ProviderId, RootEpoch, RuntimeId, SessionId,
        TenantId, ThreadId, TurnId, WorkDir,
    },
    message::{
        AuditNumber, Content, ContentBuffer, Delta, Generation, InvalidContent, InvalidMetadata, Lease,
        Message, MessageState, Metadata, MetadataPatch, Position, Revision, Role, Seq, SessionGeneration,
        SessionRevision, Timestamp,
    },
    operation::{
        Add, Added, Addressed, AdoptSession, AdoptedPointer, AdoptedRun, AgentChanged, Alias, AliasCursor,
        Aliases, ApplyImages, ArchiveThread, Attempts, AuditFrom, AuditPage, BackfillRuntime, Batch, Batched,
        BeginCapture, BeginRun, CancelRun, CaptureBegun, CaptureEnded, CarriesContent, ChangeQuarantined,
        ChangeReleased, Changes, ClearPointerIf, ClearThread, ConfirmRun, ConsumerArgs, ConsumerCursor,
        ConsumerResult, ContentChange, ContentUpdated, CreateThread, CursorMoved, DamagedMessage, Delete,
        DeleteThread, Deleted, DropAgent, DropRuntime, EndCapture, FailRun, Fingerprint, FingerprintKey,
        GetCursor, GetMessage, GetStanding, GetThread, Images, ImagesApplied, Import, ImportRow, Imported,
        ImportedRow, LabelThread, ListAliases, ListAttempts, ListOpen, ListPurgeable, ListQuarantined,
        ListThreads, Mismatch, MoveCursor, NewMessage, NewReservation, NewThread, OpKind, OpenCursor,
        OpenReservations, Operation, OperationOf, Origin, Page, PageFrom, PassedOver, PersistArgs,
        PersistResult, PinSession, Place, PlaceMut, PlanPrune, PrunePlan, PruneThread, Pruned, PublishThread,
        PurgeThread, PurgeableThreads, Purged, QuarantineChange, QuarantinedChange, QuarantinedChanges,
        ReadArgs, ReadAudit, ReadChanges, ReadImages, ReadPage, ReadResult, RebuildThread, ReleaseChange,
        RenameThread, RenewRun, ReplicaArgs, ReplicaResult, Reserve, Reserved, ResetAgent, ResetCursor,
        ResetSession, ResolveId, ResolveSession, ResolvedBy, ResolvedId, RetireSession, RunBegun, RunRenewed,
        RunReport, RuntimeBackfilled, RuntimeDropped, SearchHit, SearchHits, SearchMessages, SessionArgs,
        SessionChanged, SessionResolved, SessionResult, Slot, SlotMut, TakeLastMessage, TakeStance,
        TakenMessage, ThreadArgs, ThreadChanged, ThreadDeleted, ThreadList, ThreadResult, Update,
        UpdateContent, UpdateMode, Updated, Visibility,
    },
    pipeline::{Described, Phase},
    plugin::{Next, Plugin, PluginLayer},
    request::{AttemptsMade, Call, ContentLimit, HeldBack, PersistRequest, PersistResponse, Receipt, Reply},
    thread::{ForkPoint, InvalidTitle, Keep, LabelPatch, Labels, ThreadCursor, ThreadEntry, Title},
};
