//! The erased form of operations and outputs: one enum for all of them.

use serde::{Deserialize, Serialize};

use super::{
    Add, Added, Addressed, Batch, Batched, ConsumerArgs, ConsumerResult, ContentUpdated, Delete, Deleted,
    Import, Imported, Operation, ReadArgs, ReadResult, ReplicaArgs, ReplicaResult, Reserve, Reserved,
    SessionArgs, SessionResult, ThreadArgs, ThreadResult, Update, UpdateContent, Updated,
};
use crate::{
    MessageId, OpKind, PersistError, Result, ThreadId,
    message::{CarriesContent, ContentField, ContentFieldMut},
    operation::{
        Reach, Verb,
        facts::{AnswerFacts, Facts, StatesFacts},
        subject::{Asked, OTHER_ANSWER, Subject},
    },
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
                fn output<T>(
                    result: PersistResult,
                    build: impl FnOnce($output) -> T,
                ) -> crate::Result<T> {
                    match result {
                        PersistResult::$variant(output) => Ok(build(output)),
                        other => {
                            Err(PersistError::wrong_answer(OpKind::$variant.as_str(), other.kind().as_str()))
                        }
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
    /// Checks that a layer forwarded an operation with this subject. The error says what the layer changed.
    ///
    /// Each boundary of a layer makes this check, so it calls the checks of the types, and not [`operation`](Self::operation). The
    /// compiler can then inline the facts of a type, and omit those that it does not state.
    #[inline]
    pub(crate) fn check_subject(&self, subject: &Subject) -> Result<(), &'static str> {
        subject.check_kind(self.kind())?;
        match self {
            Self::Add(operation) => subject.check(operation),
            Self::Reserve(operation) => subject.check(operation),
            Self::UpdateContent(operation) => subject.check(operation),
            Self::Update(operation) => subject.check(operation),
            Self::Delete(operation) => subject.check(operation),
            // Each item has a subject of its own.
            Self::Batch(_) => Ok(()),
            Self::Import(operation) => subject.check(operation),
            Self::Thread(family) => family.check_subject(subject),
            Self::Read(family) => family.check_subject(subject),
            Self::Consumer(family) => family.check_subject(subject),
            Self::Session(family) => family.check_subject(subject),
            Self::Replica(family) => family.check_subject(subject),
        }
    }

    /// The facts of the operation.
    pub(crate) fn facts(&self) -> Facts<'_> {
        self.operation().facts()
    }

    pub(crate) fn operation(&self) -> &dyn StatesFacts {
        match self {
            Self::Add(operation) => operation,
            Self::Reserve(operation) => operation,
            Self::UpdateContent(operation) => operation,
            Self::Update(operation) => operation,
            Self::Delete(operation) => operation,
            Self::Batch(operation) => operation,
            Self::Import(operation) => operation,
            Self::Thread(family) => family.operation(),
            Self::Read(family) => family.operation(),
            Self::Consumer(family) => family.operation(),
            Self::Session(family) => family.operation(),
            Self::Replica(family) => family.operation(),
        }
    }

    /// The name of the operation within its family.
    pub(crate) const fn member(&self) -> Option<&'static str> {
        match self {
            Self::Thread(family) => Some(family.as_str()),
            Self::Read(family) => Some(family.as_str()),
            Self::Consumer(family) => Some(family.as_str()),
            Self::Session(family) => Some(family.as_str()),
            Self::Replica(family) => Some(family.as_str()),
            _ => None,
        }
    }

    /// The thread that an idempotency key of this operation belongs to. For a batch, it is the thread of the first item.
    #[must_use]
    pub fn key_scope(&self) -> Option<&ThreadId> {
        self.each().next().and_then(Addressed::thread)
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
        self.facts().deletes
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
        self.facts().settles
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
        self.facts().grows
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
        self.facts().brings_content
    }

    /// The verbs that a permission for this operation must allow, the main one first. A guard asks for those of
    /// [`each`](Self::each) item of a batch.
    ///
    /// ```
    /// use throughline_core::{PersistArgs, messages::TakeLastMessage, operations::Verb};
    ///
    /// let take: PersistArgs = TakeLastMessage::new("t".parse()?).into();
    /// assert_eq!(take.verbs(), [Verb::Delete, Verb::Read]);
    /// # Ok::<(), throughline_core::InvalidId>(())
    /// ```
    #[must_use]
    pub fn verbs(&self) -> &'static [Verb] {
        self.facts().verbs
    }

    /// The part of the store that this operation addresses: a thread, all threads of the tenant, or all tenants.
    ///
    /// ```
    /// use throughline_core::{PersistArgs, changes::{ChangeScope, ReadChanges}, operations::Reach};
    ///
    /// let read: PersistArgs = ReadChanges::new(ChangeScope::Store, Default::default(), 100).into();
    /// assert_eq!(read.reach(), Reach::Store);
    /// ```
    #[must_use]
    pub fn reach(&self) -> Reach<'_> {
        let of_thread = || self.thread().map_or(Reach::Tenant, Reach::Thread);
        self.facts().reach.unwrap_or_else(of_thread)
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

impl PersistResult {
    /// Checks that this answer belongs to the call. The error says what is wrong. See [`PersistArgs::check_subject`].
    #[inline]
    pub(crate) fn check_answer(&self, asked: &Asked<'_>) -> Result<(), &'static str> {
        if self.kind() != asked.subject.kind {
            return Err(OTHER_ANSWER);
        }
        match self {
            Self::Add(answer) => asked.check(answer),
            Self::Reserve(answer) => asked.check(answer),
            Self::UpdateContent(answer) => asked.check(answer),
            Self::Update(answer) => asked.check(answer),
            Self::Delete(answer) => asked.check(answer),
            Self::Batch(_) => Ok(()),
            Self::Import(answer) => asked.check(answer),
            Self::Thread(family) => family.check_answer(asked),
            Self::Read(family) => family.check_answer(asked),
            Self::Consumer(family) => family.check_answer(asked),
            Self::Session(family) => family.check_answer(asked),
            Self::Replica(family) => family.check_answer(asked),
        }
    }

    pub(crate) fn facts(&self) -> &dyn AnswerFacts {
        match self {
            Self::Add(answer) => answer,
            Self::Reserve(answer) => answer,
            Self::UpdateContent(answer) => answer,
            Self::Update(answer) => answer,
            Self::Delete(answer) => answer,
            Self::Batch(answer) => answer,
            Self::Import(answer) => answer,
            Self::Thread(family) => family.facts(),
            Self::Read(family) => family.facts(),
            Self::Consumer(family) => family.facts(),
            Self::Session(family) => family.facts(),
            Self::Replica(family) => family.facts(),
        }
    }

    /// Whether this answer replays an earlier call with the same idempotency key.
    #[must_use]
    pub fn is_deduplicated(&self) -> bool {
        self.facts().is_deduplicated()
    }
}
