//! The facts that an operation and an answer state about themselves, next to their types. The pipeline, the redirects and the layers
//! ask for these facts, and have no list of operations of their own.

use super::{
    Addressed, Deleted, PersistResult, Reach, Verb,
    session::SessionSubject,
    stored::{LookUp, Replay},
    subject::Asked,
};
use crate::{
    Message, MessageId, Metadata, Result, Revision, TenantId, id::ConsumerName, thread::ThreadSummary,
};

/// An operation states its facts.
#[diagnostic::on_unimplemented(
    message = "the operation `{Self}` states no facts",
    note = "implement `StatesFacts` next to its type, beginning with `Facts::needing` and its verbs"
)]
pub(crate) trait StatesFacts: Addressed {
    /// The facts of this operation.
    fn facts(&self) -> Facts<'_>;

    /// The bytes of the data in the operation. `None` for those that count the bytes of their JSON.
    fn byte_len(&self) -> Option<usize> {
        None
    }

    /// Answers a repeated call like the first one, from the record under the idempotency key.
    fn replayed(
        &self,
        stored: &Replay,
        tenant: &TenantId,
        look_up: &mut dyn LookUp,
    ) -> Result<PersistResult> {
        let _ = (stored, tenant, look_up);
        Err(Replay::misfit())
    }
}

/// The facts of an operation: those that it names, and the safe ones of [`Facts::needing`].
#[derive(Debug, Clone)]
pub(crate) struct Facts<'a> {
    /// The verbs that a permission for the operation must allow, the main one first.
    pub(crate) verbs: &'static [Verb],
    /// The part of the store that the operation addresses. `None` for its thread or, without a thread, its tenant.
    pub(crate) reach: Option<Reach<'a>>,
    /// The consumer that the operation addresses.
    pub(crate) consumer: Option<&'a ConsumerName>,
    /// The agent, runtime and run that the operation addresses.
    pub(crate) session: Option<SessionSubject>,
    /// The id that was generated for the operation. A replay answers with the id of the first call.
    pub(crate) minted_id: Option<&'a MessageId>,
    /// The limits that the caller set for the answer.
    pub(crate) limits: Option<Limits>,
    /// The metadata that the caller writes. It must have no reserved key.
    pub(crate) metadata: Option<&'a Metadata>,
    /// Further metadata that the caller writes, under the same rule.
    pub(crate) more_metadata: Option<&'a Metadata>,
    /// Whether the operation can be an item of a batch.
    pub(crate) is_batchable: bool,
    /// See [`PersistArgs::deletes`](crate::PersistArgs::deletes).
    pub(crate) deletes: bool,
    /// See [`PersistArgs::settles`](crate::PersistArgs::settles).
    pub(crate) settles: bool,
    /// See [`PersistArgs::grows`](crate::PersistArgs::grows).
    pub(crate) grows: bool,
    /// See [`PersistArgs::brings_content`](crate::PersistArgs::brings_content).
    pub(crate) brings_content: bool,
    /// The store that a redirect of single messages sends the operation to.
    pub(crate) split_by_message: Split,
    /// The store that a redirect of whole threads sends the operation to, if the operation addresses no single thread.
    pub(crate) split_by_thread: Split,
}

impl Facts<'static> {
    /// Returns the facts of an operation that needs a permission for these verbs. A batch refuses it, and so do the redirects
    /// where neither its message nor its thread names the store.
    pub(crate) const fn needing(verbs: &'static [Verb]) -> Self {
        Self {
            verbs,
            reach: None,
            consumer: None,
            session: None,
            minted_id: None,
            limits: None,
            metadata: None,
            more_metadata: None,
            is_batchable: false,
            deletes: false,
            settles: false,
            grows: false,
            brings_content: false,
            split_by_message: Split::Refused(
                "the operation is not supported while some messages are kept on the other side",
            ),
            split_by_thread: Split::Refused(
                "the operation cannot address both sides of a redirect: call each store",
            ),
        }
    }
}

/// The limits of an answer.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    /// The most items.
    pub(crate) items: u32,
    /// The most bytes, if the caller can set them.
    pub(crate) bytes: Option<u32>,
}

impl Limits {
    /// Returns a limit of items.
    pub(crate) const fn items(items: u32) -> Option<Self> {
        Some(Self { items, bytes: None })
    }

    /// Returns limits of items and bytes.
    pub(crate) const fn page(items: u32, bytes: u32) -> Option<Self> {
        Some(Self { items, bytes: Some(bytes) })
    }
}

/// The store that answers an operation behind a redirect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Split {
    /// The store of this side.
    Here,
    /// Both stores. The redirect merges the answers.
    Both,
    /// Neither: the redirect refuses the operation.
    Refused(&'static str),
}

/// The facts of an answer.
pub(crate) trait AnswerFacts: Addressed {
    /// Whether the answer replays an earlier call with the same idempotency key.
    fn is_deduplicated(&self) -> bool {
        false
    }

    /// Marks the answer as a replay.
    fn mark_deduplicated(&mut self) {}

    /// The record under the idempotency key of the call. `None` if the operation takes no key.
    fn replay(&self) -> Option<Replay> {
        None
    }

    /// See [`PersistResult::answer_bytes`].
    fn stored_bytes(&self) -> usize {
        0
    }

    /// The revision of the written message.
    fn revision(&self) -> Option<Revision> {
        None
    }

    /// The deletion of a message that only the answer names.
    fn deleted(&self) -> Option<&Deleted> {
        None
    }

    /// The messages of the answer.
    fn messages(&self) -> &[Message] {
        &[]
    }

    /// The thread summaries of the answer.
    fn summaries(&self) -> &[ThreadSummary] {
        &[]
    }

    /// The consumer of the answer.
    fn consumer(&self) -> Option<&ConsumerName> {
        None
    }

    /// Whether the answer is about the agent, runtime and run that the call addresses.
    fn answers(&self, asked: Option<&SessionSubject>) -> bool {
        asked.is_none()
    }

    /// Checks the rest of the answer against the call. The error says what is wrong.
    fn check(&self, asked: &Asked<'_>) -> Result<(), &'static str> {
        let _ = asked;
        Ok(())
    }
}

/// The answers of a family.
pub(crate) trait AnyAnswer {
    /// The facts of the answer, whichever it is.
    fn facts_mut(&mut self) -> &mut dyn AnswerFacts;
}

/// Returns a stored answer, marked as a replay.
pub(crate) fn as_replay<T: AnswerFacts + Clone>(first: &T) -> T {
    let mut answer = first.clone();
    answer.mark_deduplicated();
    answer
}

/// The methods of [`AnswerFacts`] for an answer with the field `deduplicated`.
macro_rules! deduplicated_by_field {
    () => {
        fn is_deduplicated(&self) -> bool {
            self.deduplicated
        }

        fn mark_deduplicated(&mut self) {
            self.deduplicated = true;
        }
    };
}
pub(crate) use deduplicated_by_field;

/// The method of [`AnswerFacts`] for an answer with the field `consumer`.
macro_rules! consumer_by_field {
    () => {
        fn consumer(&self) -> Option<&$crate::id::ConsumerName> {
            Some(&self.consumer)
        }
    };
}
pub(crate) use consumer_by_field;
