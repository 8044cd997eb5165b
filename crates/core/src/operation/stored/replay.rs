use serde::{Deserialize, Serialize};

use crate::{
    ErrorKind, Message, MessageId, MessageState, PersistArgs, PersistError, PersistResult, Result, Revision,
    Seq, TenantId, ThreadId, Timestamp,
    operation::{
        Deleted, ImportedRow, Pruned, Purged, ResolvedBy, ResolvedId, SessionResult, ThreadDeleted,
        facts::AnyAnswer as _,
    },
    thread::ThreadSummary,
};

/// The record under an idempotency key, next to the fingerprint. It is sufficient to answer a repeated call like the first one,
/// and has no copy of content.
///
/// Equal fingerprints prove that the repeated call has the same content. An [`Add`](crate::operation::Add) or a
/// [`Reserve`](crate::operation::Reserve) is therefore answered from the call itself. Only the answer to an
/// [`Update`](crate::operation::Update), the whole metadata, is read from the message in its current state.
///
/// ```
/// use throughline_core::backend::Replay;
///
/// let kept = r#"{"add":{"id":"m-1","seq":3,"at":1700000000000000}}"#;
/// let replay: Replay = serde_json::from_str(kept)?;
/// assert_eq!(serde_json::to_string(&replay)?, kept);
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub enum Replay {
    /// Of an [`Add`](crate::operation::Add).
    Add {
        /// The id of the first call.
        id: MessageId,
        /// The sequence number of the message.
        seq: Seq,
        /// The time of creation.
        at: Timestamp,
        /// The first revision.
        #[serde(default = "first", skip_serializing_if = "is_first")]
        revision: Revision,
    },
    /// Of a [`Reserve`](crate::operation::Reserve).
    Reserve {
        /// The id of the first call.
        id: MessageId,
        /// The sequence number of the message.
        seq: Seq,
        /// The time of creation.
        at: Timestamp,
        /// The expiry of its first lease.
        expires_at: Timestamp,
        /// The first revision.
        #[serde(default = "first", skip_serializing_if = "is_first")]
        revision: Revision,
    },
    /// Of an [`UpdateContent`](crate::operation::UpdateContent).
    UpdateContent {
        /// The revision after the call.
        revision: Revision,
        /// The state after the call.
        state: MessageState,
    },
    /// Of an [`Update`](crate::operation::Update), as earlier versions recorded it: see [`Patch`](Self::Patch).
    Update,
    /// Of an [`Update`](crate::operation::Update).
    Patch {
        /// The sequence number of the message.
        seq: Seq,
        /// The names that the message had already.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        kept: Vec<String>,
    },
    /// Of a [`Delete`](crate::operation::Delete).
    Delete(Deleted),
    /// Of an [`Import`](crate::operation::Import).
    Import(Vec<ImportedRow>),
    /// Of an operation that returns a thread summary.
    Thread,
    /// Of a [`PruneThread`](crate::operation::PruneThread).
    Prune(Pruned),
    /// Of a [`DeleteThread`](crate::operation::DeleteThread).
    DeleteThread(ThreadDeleted),
    /// Of a [`PurgeThread`](crate::operation::PurgeThread).
    Purge(Purged),
    /// Of a [`ResolveId`](crate::operation::ResolveId).
    Resolve(ResolvedId),
    /// Of a [`TakeLastMessage`](crate::operation::TakeLastMessage): the facts of the deletion, without the message.
    TakeLast(Option<Deleted>),
    /// Of an operation on agent sessions. Its answer has ids and times, and no content.
    Session(Box<SessionResult>),
    /// Of a [`Batch`](crate::operation::Batch), item by item.
    Batch(Vec<Self>),
}

const fn first() -> Revision {
    Revision::FIRST
}

fn is_first(revision: &Revision) -> bool {
    *revision == Revision::FIRST
}

/// The current rows of a store, for answers that depend on them.
pub trait LookUp {
    /// Returns a message in its current state.
    ///
    /// # Errors
    /// The error of the read.
    fn message(&mut self, thread: &ThreadId, id: &MessageId) -> Result<Option<Message>>;

    /// Returns the summary of a thread.
    ///
    /// # Errors
    /// The error of the read.
    fn thread(&mut self, thread: &ThreadId) -> Result<Option<ThreadSummary>>;
}

impl Replay {
    /// The error of a record that does not fit the repeated call.
    pub(crate) fn misfit() -> PersistError {
        PersistError::new(ErrorKind::Corrupt, "the record under the idempotency key does not fit the call")
    }

    /// Returns the record for a write that the store is about to commit.
    ///
    /// # Panics
    /// If `result` answers a read, a consumer operation or a replication operation, which take no key.
    #[must_use]
    pub fn of(result: &PersistResult) -> Self {
        match result {
            PersistResult::Session(session) => Self::Session(Box::new(session.clone())),
            result => match result.facts().replay() {
                Some(replay) => replay,
                None => panic!("a `{}` takes no idempotency key", result.kind()),
            },
        }
    }

    /// The id of the message that the first call created.
    pub(crate) fn first_id(&self) -> Option<&MessageId> {
        match self {
            Self::Add { id, .. } | Self::Reserve { id, .. } => Some(id),
            Self::Resolve(resolved) if resolved.by == ResolvedBy::Fresh => Some(&resolved.id),
            _ => None,
        }
    }

    /// Answers the repeated call `args` like the first one, with `deduplicated: true`.
    ///
    /// # Errors
    /// `Gone` if a patched message was deleted since; `Corrupt` if the record does not fit the call although the fingerprints are
    /// equal; and the errors of `look_up`.
    pub fn answer(
        &self,
        tenant: &TenantId,
        args: &PersistArgs,
        look_up: &mut dyn LookUp,
    ) -> Result<PersistResult> {
        match (self, args) {
            (Self::Session(first), PersistArgs::Session(args)) if first.as_str() == args.as_str() => {
                let mut answer = SessionResult::clone(first);
                answer.facts_mut().mark_deduplicated();
                Ok(answer.into())
            }
            _ => args.operation().replayed(self, tenant, look_up),
        }
    }
}
