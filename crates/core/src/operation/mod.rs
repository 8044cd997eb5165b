//! The operations: typed structs with an associated output, and the enums they travel in.
//!
//! A caller and a plugin work with the typed form; [`PersistArgs`] and [`PersistResult`] are the erased form
//! that goes through the layers, and the wire form (externally tagged, camelCase):
//!
//! ```
//! use throughline_core::{Add, NewMessage, PersistArgs, ThreadId};
//!
//! let message = NewMessage::user("hello").with_id("m-1".parse()?);
//! let args: PersistArgs = Add::new("t".parse()?, message).into();
//! assert_eq!(
//!     serde_json::to_string(&args)?,
//!     r#"{"add":{"thread":"t","id":"m-1","role":"user","content":[{"type":"text","text":"hello"}],"metadata":{}}}"#
//! );
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod add;
mod batch;
mod bytes;
mod consumer;
mod delete;
mod erased;
mod family;
mod fingerprint;
mod import;
mod nullable;
mod origin;
mod places;
mod read;
mod replica;
mod reserve;
mod session;
mod thread;
mod update;
mod update_content;

use std::fmt;

use serde::{Deserialize, Serialize};

pub(crate) use self::session::SessionSubject;
pub use self::{
    add::{Add, Added, NewMessage},
    batch::{Batch, Batched},
    consumer::{
        ChangeQuarantined, ChangeReleased, ConsumerArgs, ConsumerResult, CursorMoved, MoveCursor,
        QuarantineChange, ReleaseChange, ResetCursor,
    },
    delete::{Delete, Deleted},
    erased::{PersistArgs, PersistResult},
    family::OperationOf,
    fingerprint::{Fingerprint, FingerprintKey},
    import::{Import, ImportRow, Imported, ImportedRow},
    origin::Origin,
    places::{CarriesContent, Place, PlaceMut, Slot, SlotMut},
    read::{
        Alias, AliasCursor, Aliases, Attempts, AuditFrom, AuditPage, Changes, ConsumerCursor, DamagedMessage,
        GetCursor, GetMessage, GetStanding, GetThread, Images, ListAliases, ListAttempts, ListOpen,
        ListPurgeable, ListQuarantined, ListThreads, OpenCursor, OpenReservations, Page, PageFrom, PlanPrune,
        PrunePlan, PurgeableThreads, QuarantinedChange, QuarantinedChanges, ReadArgs, ReadAudit, ReadChanges,
        ReadImages, ReadPage, ReadResult, ResolveSession, SearchHit, SearchHits, SearchMessages,
        SessionResolved, ThreadList, Visibility,
    },
    replica::{
        ApplyImages, BeginCapture, CaptureBegun, CaptureEnded, EndCapture, ImagesApplied, ReplicaArgs,
        ReplicaResult, TakeStance,
    },
    reserve::{NewReservation, Reserve, Reserved},
    session::{
        AdoptSession, AdoptedPointer, AdoptedRun, AgentChanged, BackfillRuntime, BeginRun, CancelRun,
        ClearPointerIf, ConfirmRun, DropAgent, DropRuntime, FailRun, PinSession, RenewRun, ResetAgent,
        ResetSession, RetireSession, RunBegun, RunRenewed, RunReport, RuntimeBackfilled, RuntimeDropped,
        SessionArgs, SessionChanged, SessionResult,
    },
    thread::{
        ArchiveThread, ClearThread, CreateThread, DeleteThread, LabelThread, Mismatch, NewThread, PassedOver,
        PruneThread, Pruned, PublishThread, PurgeThread, Purged, RebuildThread, RenameThread, ResolveId,
        ResolvedBy, ResolvedId, TakeLastMessage, TakenMessage, ThreadArgs, ThreadChanged, ThreadDeleted,
        ThreadResult,
    },
    update::{Update, Updated},
    update_content::{ContentChange, ContentUpdated, UpdateContent, UpdateMode},
};
pub(crate) use self::{bytes::json_len, erased::by_operation};
use crate::{MessageId, ThreadId};

/// The lower of a limit that was set before, where one was, and another one.
const fn lower(earlier: Option<u64>, limit: u64) -> u64 {
    match earlier {
        Some(earlier) if earlier < limit => earlier,
        _ => limit,
    }
}

/// Which operation a call is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub enum OpKind {
    /// [`Add`]
    Add,
    /// [`Reserve`]
    Reserve,
    /// [`UpdateContent`]
    UpdateContent,
    /// [`Update`]
    Update,
    /// [`Delete`]
    Delete,
    /// [`Batch`]
    Batch,
    /// [`Import`]
    Import,
    /// [`ThreadArgs`]
    Thread,
    /// [`ReadArgs`]
    Read,
    /// [`ConsumerArgs`]
    Consumer,
    /// [`SessionArgs`]
    Session,
    /// [`ReplicaArgs`]
    Replica,
}

impl OpKind {
    /// Every kind there is.
    pub const ALL: [Self; 12] = [
        Self::Add,
        Self::Reserve,
        Self::UpdateContent,
        Self::Update,
        Self::Delete,
        Self::Batch,
        Self::Import,
        Self::Thread,
        Self::Read,
        Self::Consumer,
        Self::Session,
        Self::Replica,
    ];

    /// The camelCase name, as on the wire and in errors, spans and reports.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Add => "add",
            Self::Reserve => "reserve",
            Self::UpdateContent => "updateContent",
            Self::Update => "update",
            Self::Delete => "delete",
            Self::Batch => "batch",
            Self::Import => "import",
            Self::Thread => "thread",
            Self::Read => "read",
            Self::Consumer => "consumer",
            Self::Session => "session",
            Self::Replica => "replica",
        }
    }

    /// Whether it changes the store.
    #[must_use]
    pub const fn is_write(self) -> bool {
        !matches!(self, Self::Read)
    }

    /// Whether a call of it may have an idempotency key: the key is scoped to a thread, and one that is of a whole agent or
    /// runtime speaks of none.
    #[must_use]
    pub const fn takes_key(self) -> bool {
        !matches!(self, Self::Read | Self::Consumer | Self::Replica)
    }
}

impl fmt::Display for OpKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A typed operation. Sealed: the set of operations is the framework's.
///
/// The output is tied to the operation by its type, so that a layer that answers `Add` with the output of a
/// `Delete` does not compile.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not an operation of the pipeline",
    note = "the operations are `Add`, `Reserve`, `UpdateContent`, `Update`, `Delete`, `Batch`, `Import`, `ThreadArgs`, `ReadArgs`, `ConsumerArgs`, `SessionArgs` and `ReplicaArgs`",
    note = "a member of one of these families goes by `on_thread`, `read`, `on_consumer`, `on_session` or `on_replica`"
)]
pub trait Operation:
    sealed::Sealed
    + Into<PersistArgs>
    + TryFrom<PersistArgs, Error = PersistArgs>
    + CarriesContent
    + Addressed
    + Clone
    + fmt::Debug
    + Send
    + Sync
    + 'static
{
    /// Which operation this is.
    const KIND: OpKind;

    /// What it answers.
    type Output: Into<PersistResult>
        + TryFrom<PersistResult, Error = PersistResult>
        + CarriesContent
        + fmt::Debug
        + Send
        + Sync
        + 'static;
}

mod sealed {
    use super::Operation;
    use crate::{OpKind, PersistResponse, Reply};

    pub trait Sealed {
        /// Reads an erased answer as one to this operation, or says what else it answers. In one move: an answer is large, and
        /// every plugin on its way reads it.
        fn reply(response: PersistResponse) -> Result<Reply<Self>, OpKind>
        where
            Self: Operation;
    }
}

/// What an operation or an output speaks of.
pub trait Addressed {
    /// The thread, where it speaks of exactly one.
    fn thread(&self) -> Option<&ThreadId>;

    /// The message, where it speaks of exactly one.
    fn message(&self) -> Option<&MessageId>;
}

/// Implements [`Addressed`] for a struct with the fields `thread` and `id`.
macro_rules! addressed_by_fields {
    ($($name:ident),+) => {$(
        impl $crate::operation::Addressed for $name {
            fn thread(&self) -> Option<&$crate::ThreadId> {
                Some(&self.thread)
            }

            fn message(&self) -> Option<&$crate::MessageId> {
                Some(&self.id)
            }
        }
    )+};
}
pub(crate) use addressed_by_fields;
