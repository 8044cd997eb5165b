//! The operations: typed structs with an associated output, and the enums that layers receive.
//!
//! Callers and plugins use the typed form. [`PersistArgs`] and [`PersistResult`] are the erased form that passes through the
//! layers, and the wire format (externally tagged, camelCase):
//!
//! ```
//! use throughline_core::{NewMessage, PersistArgs, ThreadId, messages::Add};
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
pub(crate) mod estimated_size;
pub(crate) mod facts;
mod family;
mod fingerprint;
mod import;
mod nullable;
mod origin;
mod read;
mod replica;
mod reserve;
mod session;
pub(crate) mod stored;
pub(crate) mod subject;
mod thread;
mod update;
mod update_content;
mod verb;

use std::fmt;

use crate::{MessageId, OpKind, ThreadId, message::CarriesContent};

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
    read::{
        Alias, AliasCursor, Aliases, Attempts, AuditFrom, AuditPage, Changes, ConsumerCursor, ContentTail,
        DamagedMessage, FindCursor, FindMessages, FindOrder, FoundMessages, GetCursor, GetMessage,
        GetReplicationStatus, GetThread, Images, ListAliases, ListAttempts, ListOpen, ListPurgeable,
        ListQuarantined, ListTenants, ListThreads, OpenCursor, OpenReservations, Page, PageFrom, PlanPrune,
        PrunePlan, PurgeableThreads, QuarantinedChange, QuarantinedChanges, ReadArgs, ReadAudit, ReadChanges,
        ReadContent, ReadImages, ReadPage, ReadResult, ResolveSession, SearchHit, SearchHits, SearchMessages,
        SessionResolved, Tenants, ThreadList, Visibility,
    },
    replica::{
        ApplyImages, BeginCapture, CaptureBegun, CaptureEnded, ConsumerImage, EndCapture, GoneImage, Image,
        ImagePart, ImagesApplied, KeyImage, MessageImage, NameImage, ReplicaArgs, ReplicaResult,
        SessionImage, SessionPart, SetReplicationState, ThreadImage,
    },
    reserve::{NewReservation, Reserve, Reserved},
    session::{
        AdoptSession, AdoptedPointer, AdoptedRun, AgentChanged, BackfillRuntime, BeginRun, CancelRun,
        ClearPointerIf, ConfirmRun, DropAgent, DropRuntime, FailRun, PinSession, RenewRun, ResetAgent,
        ResetSession, RetireSession, RunBegun, RunRenewed, RunReport, RuntimeBackfilled, RuntimeDropped,
        SessionArgs, SessionChanged, SessionResult,
    },
    thread::{
        ArchiveThread, ClearThread, CreateThread, DeleteThread, LabelThread, Mismatch, NewThread,
        PruneThread, Pruned, PublishThread, PurgeThread, Purged, RebuildThread, RenameThread, ResolveId,
        ResolvedBy, ResolvedId, SkippedId, TakeLastMessage, TakenMessage, ThreadArgs, ThreadChanged,
        ThreadDeleted, ThreadResult,
    },
    update::{Update, Updated},
    update_content::{ContentChange, ContentUpdated, UpdateContent, UpdateMode},
    verb::{Reach, Verb},
};
pub(crate) use self::{bytes::json_len, erased::by_operation};
pub(crate) use self::{replica::numbers, session::SessionSubject, thread::NO_PRUNE};

/// Returns the lower of an earlier limit and a new one.
const fn lower(earlier: Option<u64>, limit: u64) -> u64 {
    match earlier {
        Some(earlier) if earlier < limit => earlier,
        _ => limit,
    }
}

/// A typed operation. The trait is sealed: a host cannot define operations.
///
/// The output type belongs to the operation, so that a layer that answers an `Add` with the output of a `Delete` does not
/// compile.
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
    /// The kind of the operation.
    const KIND: OpKind;

    /// The type of the output.
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
    use crate::{PersistResult, Result};

    pub trait Sealed {
        /// Builds a value from the output of this operation. An output is large and every plugin converts it, so this moves it
        /// once: from the erased form into the value.
        ///
        /// # Errors
        /// [`ContractViolation`](crate::ErrorKind::ContractViolation) if it is the output of another operation.
        fn output<T>(result: PersistResult, build: impl FnOnce(Self::Output) -> T) -> Result<T>
        where
            Self: Operation;
    }
}

/// The thread and the message that an operation or an output addresses.
pub trait Addressed {
    /// The thread. `None` if it addresses no thread, or more than one.
    fn thread(&self) -> Option<&ThreadId>;

    /// The message. `None` if it addresses no message, or more than one.
    fn message(&self) -> Option<&MessageId>;
}

/// Implements [`Addressed`] for a struct with the fields `thread` and `id`, or with a field `in` which they are.
macro_rules! addressed_by_fields {
    ($($name:ident $(in $part:ident)?),+) => {$(
        impl $crate::operation::Addressed for $name {
            #[inline]
            fn thread(&self) -> Option<&$crate::ThreadId> {
                Some(&self$(.$part)?.thread)
            }

            #[inline]
            fn message(&self) -> Option<&$crate::MessageId> {
                Some(&self$(.$part)?.id)
            }
        }
    )+};
}
pub(crate) use addressed_by_fields;

/// Implements [`Addressed`] for a struct with the field `thread`, or with a field `in` which it is, and without a message.
macro_rules! addressed_by_thread {
    ($($name:ident $(in $part:ident)?),+) => {$(
        impl $crate::operation::Addressed for $name {
            #[inline]
            fn thread(&self) -> Option<&$crate::ThreadId> {
                Some(&self$(.$part)?.thread)
            }

            #[inline]
            fn message(&self) -> Option<&$crate::MessageId> {
                None
            }
        }
    )+};
}
pub(crate) use addressed_by_thread;

/// Implements [`Addressed`] for a struct that addresses no thread.
macro_rules! addresses_no_thread {
    ($($name:ident),+) => {$(
        impl $crate::operation::Addressed for $name {
            #[inline]
            fn thread(&self) -> Option<&$crate::ThreadId> {
                None
            }

            #[inline]
            fn message(&self) -> Option<&$crate::MessageId> {
                None
            }
        }
    )+};
}
pub(crate) use addresses_no_thread;
