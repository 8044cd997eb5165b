//! The erased form of operations and outputs.

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

/// Any operation: what goes down through the layers, and the wire form.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub enum PersistArgs {
    /// A complete message.
    Add(Add),
    /// An empty row for a message to come.
    Reserve(Reserve),
    /// A change of content, or the end of a reservation.
    UpdateContent(UpdateContent),
    /// A patch of metadata.
    Update(Update),
    /// The end of a message.
    Delete(Delete),
    /// Several writes as one.
    Batch(Batch),
    /// Messages that were written elsewhere.
    Import(Import),
    /// Something that is done to a thread as a whole.
    Thread(ThreadArgs),
    /// A read.
    Read(ReadArgs),
    /// What a consumer of the changes keeps.
    Consumer(ConsumerArgs),
    /// What is done to agent sessions.
    Session(SessionArgs),
    /// What keeps one store an exact copy of another.
    Replica(ReplicaArgs),
}

/// Any output: what comes up through the layers, and the wire form.
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

/// Goes on with the operation that `$args` is: `$arm!(op, method)`, with the name that it has in `Plugin` and `Backend`.
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
            /// Which operation it is.
            #[must_use]
            pub const fn kind(&self) -> OpKind {
                match self {
                    $(Self::$variant(_) => OpKind::$variant,)+
                }
            }
        }

        impl PersistResult {
            /// Which operation it answers.
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
    /// The thread that an idempotency key of this operation is scoped to: its own, and of a batch that of the first item.
    #[must_use]
    pub fn key_scope(&self) -> Option<&ThreadId> {
        self.each().next().and_then(Addressed::thread)
    }

    /// The id that was made up for this operation, where one was.
    pub(crate) const fn minted_id(&self) -> Option<&MessageId> {
        match self {
            Self::Add(Add { minted: true, id, .. }) | Self::Reserve(Reserve { minted: true, id, .. }) => {
                Some(id)
            }
            _ => None,
        }
    }

    /// The id of the one message that it writes.
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

    /// Whether it takes messages away: a deletion, of one or of a thread, a clearing, a pruning, a purge, or a batch with one of
    /// these in it.
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

    /// Whether it ends what was begun, and does nothing else: finishes or abandons a message, ends a run, or a batch of these.
    /// What refuses it leaves something open that is to be swept later.
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

    /// Whether it can add a row to the store, or add to one: a message, a thread, a run, what is known of an agent, a session or a
    /// runtime, content, metadata, a quarantined change, or a batch with one of these in it. What [settles](Self::settles) or removes
    /// messages does not, and neither does what changes a fact of fixed size, such as a cursor. An idempotency key is a row of its own:
    /// [`PersistRequest::grows`](crate::PersistRequest::grows) counts it.
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
            // A session, an agent and a runtime begin with the first word of them, and a thread with the first word of a session.
            Self::Session(session) => !self.settles() && !matches!(session, SessionArgs::Renew(_)),
            Self::Batch(batch) => batch.items.iter().any(Self::grows),
            Self::Consumer(consumer) => matches!(consumer, ConsumerArgs::Quarantine(_)),
            Self::Delete(_) | Self::Replica(_) | Self::Read(_) => false,
        }
    }

    /// Whether it brings content, or a reason of more than 4 KiB. What [settles](Self::settles) and brings neither takes no room.
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

    /// The operation itself, or each item of a batch: what a guard has to look at, since a batch can hold any write.
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

/// A reason of so many bytes is for people to read.
const SHORT_REASON: usize = 4096;

/// Whether a patch does anything but clear.
fn sets(patch: &MetadataPatch) -> bool {
    patch.as_metadata().iter().any(|(_, value)| value.get() != "null")
}

impl PersistResult {
    /// Whether an earlier call with the same idempotency key had done it.
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
