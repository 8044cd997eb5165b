//! The erased form of operations and outputs: one enum for all of them.

use serde::{Deserialize, Serialize};

use super::{
    Add, Added, Addressed, Batch, Batched, ConsumerArgs, ConsumerResult, ContentUpdated, Delete, Deleted,
    Import, Imported, Operation, ReadArgs, ReadResult, ReplicaArgs, ReplicaResult, Reserve, Reserved,
    SessionArgs, SessionResult, ThreadArgs, ThreadResult, Update, UpdateContent, UpdateMode, Updated,
};
use crate::{MessageId, MetadataPatch, ThreadId};
use crate::{
    OpKind,
    message::{CarriesContent, ContentField, ContentFieldMut},
};

/// Any operation. The layers receive this form, and it is the wire format.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub enum PersistArgs {
    /// Adds a complete message.
    Add(Add),
    /// Reserves an empty message.
    Reserve(Reserve),
    /// Changes the content of a message, or settles it.
    UpdateContent(UpdateContent),
    /// Patches metadata.
    Update(Update),
    /// Deletes a message.
    Delete(Delete),
    /// Several writes in one transaction.
    Batch(Batch),
    /// Imports messages.
    Import(Import),
    /// An operation on a whole thread.
    Thread(ThreadArgs),
    /// A read.
    Read(ReadArgs),
    /// An operation of a consumer of the change feed.
    Consumer(ConsumerArgs),
    /// An operation on agent sessions.
    Session(SessionArgs),
    /// An operation of replication.
    Replica(ReplicaArgs),
}

/// Any output. The layers return this form, and it is the wire format.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub enum PersistResult {
    /// To [`Add`].
    Add(Added),
    /// To [`Reserve`].
    Reserve(Reserved),
    /// To [`UpdateContent`].
    UpdateContent(ContentUpdated),
    /// To [`Update`].
    Update(Updated),
    /// To [`Delete`].
    Delete(Deleted),
    /// To [`Batch`].
    Batch(Batched),
    /// To [`Import`].
    Import(Imported),
    /// To [`ThreadArgs`].
    Thread(ThreadResult),
    /// To [`ReadArgs`].
    Read(ReadResult),
    /// To [`ConsumerArgs`].
    Consumer(ConsumerResult),
    /// To [`SessionArgs`].
    Session(SessionResult),
    /// To [`ReplicaArgs`].
    Replica(ReplicaResult),
}

/// Expands to `$arm!(op, method)` for the operation in `$args`, with the name of its method in `Plugin` and `Backend`.
macro_rules! by_operation {
    ($args:expr, $arm:ident) => {
        match $args {
            $crate::PersistArgs::Add(op) => $arm!(op, add),
            $crate::PersistArgs::Reserve(op) => $arm!(op, reserve),
            $crate::PersistArgs::UpdateContent(op) => $arm!(op, update_content),
            $crate::PersistArgs::Update(op) => $arm!(op, update),
            $crate::PersistArgs::Delete(op) => $arm!(op, delete),
            $crate::PersistArgs::Batch(op) => $arm!(op, batch),
            $crate::PersistArgs::Import(op) => $arm!(op, import),
            $crate::PersistArgs::Thread(op) => $arm!(op, thread),
            $crate::PersistArgs::Read(op) => $arm!(op, read),
            $crate::PersistArgs::Consumer(op) => $arm!(op, consumer),
            $crate::PersistArgs::Session(op) => $arm!(op, session),
            $crate::PersistArgs::Replica(op) => $arm!(op, replica),
        }
    };
}
pub(crate) use by_operation;

macro_rules! erased {
    ($($variant:ident: $operation:ident -> $output:ident;)+) => {
        $(
            impl super::sealed::Sealed for $operation {
                #[inline]
                fn output(result: PersistResult) -> Result<$output, OpKind> {
                    match result {
                        PersistResult::$variant(output) => Ok(output),
                        other => Err(other.kind()),
                    }
                }
            }

            impl Operation for $operation {
                const KIND: OpKind = OpKind::$variant;
                type Output = $output;
            }

            impl From<$operation> for PersistArgs {
                fn from(operation: $operation) -> Self {
                    Self::$variant(operation)
                }
            }

            impl TryFrom<PersistArgs> for $operation {
                type Error = PersistArgs;

                fn try_from(args: PersistArgs) -> Result<Self, PersistArgs> {
                    match args {
                        PersistArgs::$variant(operation) => Ok(operation),
                        other => Err(other),
                    }
                }
            }

            impl From<$output> for PersistResult {
                fn from(output: $output) -> Self {
                    Self::$variant(output)
                }
            }

            impl TryFrom<PersistResult> for $output {
                type Error = PersistResult;

                fn try_from(result: PersistResult) -> Result<Self, PersistResult> {
                    match result {
                        PersistResult::$variant(output) => Ok(output),
                        other => Err(other),
                    }
                }
            }
        )+

        impl PersistArgs {
            /// The kind of the operation.
            #[must_use]
            pub const fn kind(&self) -> OpKind {
                match self {
                    $(Self::$variant(_) => OpKind::$variant,)+
                }
            }
        }

        impl PersistResult {
            /// The kind of the operation that this output belongs to.
            #[must_use]
            pub const fn kind(&self) -> OpKind {
                match self {
                    $(Self::$variant(_) => OpKind::$variant,)+
                }
            }
        }

        erased!(@delegate PersistArgs: $($variant)+);
        erased!(@delegate PersistResult: $($variant)+);
    };
    (@delegate $name:ident: $($variant:ident)+) => {
        impl CarriesContent for $name {
            fn content_fields(&self) -> Vec<ContentField<'_>> {
                match self {
                    $(Self::$variant(inner) => inner.content_fields(),)+
                }
            }

            fn content_fields_mut(&mut self) -> Vec<ContentFieldMut<'_>> {
                match self {
                    $(Self::$variant(inner) => inner.content_fields_mut(),)+
                }
            }
        }

        impl Addressed for $name {
            fn thread(&self) -> Option<&ThreadId> {
                match self {
                    $(Self::$variant(inner) => inner.thread(),)+
                }
            }

            fn message(&self) -> Option<&MessageId> {
                match self {
                    $(Self::$variant(inner) => inner.message(),)+
                }
            }
        }
    };
}

erased! {
    Add: Add -> Added;
    Reserve: Reserve -> Reserved;
    UpdateContent: UpdateContent -> ContentUpdated;
    Update: Update -> Updated;
    Delete: Delete -> Deleted;
    Batch: Batch -> Batched;
    Import: Import -> Imported;
    Thread: ThreadArgs -> ThreadResult;
    Read: ReadArgs -> ReadResult;
    Consumer: ConsumerArgs -> ConsumerResult;
    Session: SessionArgs -> SessionResult;
    Replica: ReplicaArgs -> ReplicaResult;
}

impl PersistArgs {
    /// The thread that an idempotency key of this operation belongs to. For a batch, it is the thread of the first item.
    #[must_use]
    pub fn key_scope(&self) -> Option<&ThreadId> {
        self.each().next().and_then(Addressed::thread)
    }

    /// The id that was generated for this operation.
    pub(crate) const fn minted_id(&self) -> Option<&MessageId> {
        match self {
            Self::Add(Add { minted: true, id, .. }) | Self::Reserve(Reserve { minted: true, id, .. }) => {
                Some(id)
            }
            _ => None,
        }
    }

    /// The id of the one message that the operation writes.
    pub(crate) const fn message_mut(&mut self) -> Option<&mut MessageId> {
        match self {
            Self::Add(Add { id, .. })
            | Self::Reserve(Reserve { id, .. })
            | Self::UpdateContent(UpdateContent { id, .. })
            | Self::Update(Update { id, .. })
            | Self::Delete(Delete { id, .. }) => Some(id),
            Self::Batch(_)
            | Self::Import(_)
            | Self::Thread(_)
            | Self::Read(_)
            | Self::Consumer(_)
            | Self::Session(_)
            | Self::Replica(_) => None,
        }
    }

    /// Whether the operation deletes messages: a deletion, clear, prune or purge, or a batch with one of these.
    ///
    /// ```
    /// use throughline_core::{PersistArgs, messages::{Batch, Delete}, threads::ClearThread};
    ///
    /// let clear: PersistArgs = ClearThread::new("t".parse()?).into();
    /// let delete = Delete::new("t".parse()?, "m".parse()?);
    /// assert!(clear.deletes() && PersistArgs::from(Batch::new().with(delete)).deletes());
    /// # Ok::<(), throughline_core::InvalidId>(())
    /// ```
    #[must_use]
    pub fn deletes(&self) -> bool {
        match self {
            Self::Delete(_)
            | Self::Thread(
                ThreadArgs::Clear(_)
                | ThreadArgs::Prune(_)
                | ThreadArgs::Delete(_)
                | ThreadArgs::Purge(_)
                | ThreadArgs::TakeLast(_),
            ) => true,
            Self::Batch(batch) => batch.items.iter().any(Self::deletes),
            Self::Add(_)
            | Self::Reserve(_)
            | Self::UpdateContent(_)
            | Self::Update(_)
            | Self::Import(_)
            | Self::Thread(_)
            | Self::Consumer(_)
            | Self::Session(_)
            | Self::Replica(_)
            | Self::Read(_) => false,
        }
    }

    /// Whether the operation only completes work: it finishes or abandons a message or ends a run, or it is a batch of these. A
    /// layer that refuses such an operation leaves open messages for the recovery of expired drafts.
    ///
    /// ```
    /// use throughline_core::{PersistArgs, messages::{ContentChange, UpdateContent, UpdateMode}};
    ///
    /// let (thread, id) = ("t".parse()?, "m".parse()?);
    /// let finish: PersistArgs = UpdateContent::new(thread, id, ContentChange::none(), UpdateMode::Final).into();
    /// assert!(finish.settles());
    /// # Ok::<(), throughline_core::InvalidId>(())
    /// ```
    #[must_use]
    pub fn settles(&self) -> bool {
        match self {
            Self::UpdateContent(update) => {
                matches!(update.mode, UpdateMode::Final | UpdateMode::Abandon { .. })
            }
            Self::Session(session) => {
                matches!(session, SessionArgs::Confirm(_) | SessionArgs::Fail(_) | SessionArgs::Cancel(_))
            }
            Self::Batch(batch) => batch.items.iter().all(Self::settles),
            Self::Add(_)
            | Self::Reserve(_)
            | Self::Update(_)
            | Self::Delete(_)
            | Self::Import(_)
            | Self::Thread(_)
            | Self::Consumer(_)
            | Self::Replica(_)
            | Self::Read(_) => false,
        }
    }

    /// Whether the operation can add a row to the store, or enlarge one: a message, thread, run, agent, session or runtime,
    /// content, metadata, a quarantined change, or a batch with one of these. An operation that [settles](Self::settles) or
    /// deletes does not grow the store, nor does a change of fixed size, such as a cursor. The idempotency key is a separate row,
    /// which [`PersistRequest::grows`](crate::PersistRequest::grows) counts.
    ///
    /// ```
    /// use throughline_core::{NewMessage, PersistArgs, messages::{Add, Batch, Delete}};
    ///
    /// let add: PersistArgs = Add::new("t".parse()?, NewMessage::user("hello")).into();
    /// let delete: PersistArgs = Delete::new("t".parse()?, "m".parse()?).into();
    /// assert!(!delete.grows() && PersistArgs::from(Batch::new().with(delete).with(add)).grows());
    /// # Ok::<(), throughline_core::InvalidId>(())
    /// ```
    #[must_use]
    pub fn grows(&self) -> bool {
        match self {
            Self::Add(_) | Self::Reserve(_) | Self::Import(_) | Self::Replica(ReplicaArgs::Apply(_)) => true,
            Self::UpdateContent(update) => !self.settles() && !update.change.is_none(),
            Self::Update(update) => {
                sets(&update.metadata) || update.attachments.as_ref().is_some_and(|keys| !keys.is_empty())
            }
            Self::Thread(thread) => {
                matches!(thread, ThreadArgs::Create(_) | ThreadArgs::Label(_) | ThreadArgs::Resolve(_))
            }
            // The first operation on a session creates its rows: the thread, the agent and the runtime.
            Self::Session(session) => !self.settles() && !matches!(session, SessionArgs::Renew(_)),
            Self::Batch(batch) => batch.items.iter().any(Self::grows),
            Self::Consumer(consumer) => matches!(consumer, ConsumerArgs::Quarantine(_)),
            Self::Delete(_) | Self::Replica(_) | Self::Read(_) => false,
        }
    }

    /// Whether the operation writes content, or a reason of more than 4 KiB. An operation that [settles](Self::settles) and
    /// writes neither uses no space.
    ///
    /// ```
    /// use throughline_core::{
    ///     Delta, PersistArgs,
    ///     messages::{ContentChange, UpdateContent, UpdateMode},
    /// };
    ///
    /// let end = |change| PersistArgs::from(UpdateContent::new("t".parse().unwrap(), "m".parse().unwrap(), change, UpdateMode::Final));
    /// assert!(!end(ContentChange::none()).brings_content());
    /// assert!(end(ContentChange::Append(Delta::text("the last words"))).brings_content());
    /// ```
    #[must_use]
    pub fn brings_content(&self) -> bool {
        match self {
            Self::Add(_) | Self::Import(_) => true,
            Self::UpdateContent(update) => {
                let reason = match &update.mode {
                    UpdateMode::Abandon { reason } => reason.as_ref().map_or(0, String::len),
                    UpdateMode::Partial | UpdateMode::Final | UpdateMode::Edit => 0,
                };
                !update.change.is_none() || reason > SHORT_REASON
            }
            Self::Batch(batch) => batch.items.iter().any(Self::brings_content),
            Self::Reserve(_)
            | Self::Update(_)
            | Self::Delete(_)
            | Self::Thread(_)
            | Self::Read(_)
            | Self::Consumer(_)
            | Self::Session(_)
            | Self::Replica(_) => false,
        }
    }

    /// Iterates over the operation itself, or over each item of a batch. A guard must check each of them, because a batch can
    /// contain any write.
    ///
    /// ```
    /// use throughline_core::{OpKind, PersistArgs, messages::{Batch, Delete}};
    ///
    /// let delete = Delete::new("t".parse()?, "m".parse()?);
    /// let args: PersistArgs = Batch::new().with(delete).into();
    /// assert!(args.each().any(|one| one.kind() == OpKind::Delete));
    /// # Ok::<(), throughline_core::InvalidId>(())
    /// ```
    pub fn each(&self) -> std::slice::Iter<'_, Self> {
        match self {
            Self::Batch(batch) => batch.items.iter(),
            one => std::slice::from_ref(one).iter(),
        }
    }
}

/// The longest reason that does not count as content.
const SHORT_REASON: usize = 4096;

/// Whether a patch sets a value.
fn sets(patch: &MetadataPatch) -> bool {
    patch.as_metadata().iter().any(|(_, value)| value.get() != "null")
}

impl PersistResult {
    /// Whether this answer replays an earlier call with the same idempotency key.
    #[must_use]
    pub fn is_deduplicated(&self) -> bool {
        match self {
            Self::Add(Added { deduplicated, .. })
            | Self::Reserve(Reserved { deduplicated, .. })
            | Self::UpdateContent(ContentUpdated { deduplicated, .. })
            | Self::Update(Updated { deduplicated, .. })
            | Self::Delete(Deleted { deduplicated, .. })
            | Self::Batch(Batched { deduplicated, .. })
            | Self::Import(Imported { deduplicated, .. }) => *deduplicated,
            Self::Thread(thread) => thread.is_deduplicated(),
            Self::Session(session) => session.is_deduplicated(),
            Self::Read(_) | Self::Consumer(_) | Self::Replica(_) => false,
        }
    }
}
