use serde::{Deserialize, Serialize};

use crate::{
    Message, Result, Revision, Seq, TenantId, ThreadId,
    message::{carries_nothing, carries_parts},
    operation::{
        Deleted, OperationOf as _, PersistResult, Verb,
        estimated_size::EstimatedSize,
        facts::{AnswerFacts, Facts, Split, StatesFacts, deduplicated_by_field},
        stored::{LookUp, Replay},
        subject::Asked,
    },
};

/// Deletes the last message of a thread in any state, and returns it. Both are one transaction, so that no write comes between.
/// In a thread without messages, the answer is empty. The store keeps a tombstone, as after [`Delete`](crate::operation::Delete).
///
/// ```no_run
/// use throughline_core::{NewMessage, Persistence};
///
/// # async fn example(db: Persistence) -> throughline_core::Result<()> {
/// let thread = db.thread("telegram:42");
/// if let Some(reply) = thread.take_last().await?.message {
///     println!("{} is asked for again", reply.id);
/// }
/// # Ok(())
/// # }
/// ```
///
/// Two callers that take the last message take two messages. A caller that means one message sets [`expecting`](Self::expecting).
///
/// # Errors
/// - [`NotFound`](crate::ErrorKind::NotFound) if the thread does not exist.
/// - [`Stale`](crate::ErrorKind::Stale) if [`expected`](Self::expected) does not match.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct TakeLastMessage {
    /// The thread.
    pub thread: ThreadId,
    /// The required sequence number of the last message. If another message is the last one, or there is none, the call fails as
    /// [`Stale`](crate::ErrorKind::Stale).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expected: Option<Seq>,
}

impl TakeLastMessage {
    /// Returns an operation that takes any last message.
    #[must_use]
    pub const fn new(thread: ThreadId) -> Self {
        Self { thread, expected: None }
    }

    /// Requires this sequence number of the last message.
    #[must_use]
    pub const fn expecting(mut self, seq: Seq) -> Self {
        self.expected = Some(seq);
        self
    }
}

carries_nothing!(TakeLastMessage { thread: _, expected: _ });

/// The answer to [`TakeLastMessage`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TakenMessage {
    /// The thread.
    pub thread: ThreadId,
    /// The facts of the deletion. `None` if the thread had no message.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deleted: Option<Deleted>,
    /// The deleted message. `None` if the thread had no message, and in a replay, because the store keeps no copy of a deleted
    /// message. A caller that must not lose the content with a lost answer reads the message first, and then deletes it by id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<Box<Message>>,
    /// Whether this answer replays an earlier call with the same idempotency key.
    pub deduplicated: bool,
}

// The facts of a deletion have no content.
carries_parts!(TakenMessage { thread: _, deleted: _, message, deduplicated: _ } => message);

crate::operation::addressed_by_thread!(TakeLastMessage, TakenMessage);

impl StatesFacts for TakeLastMessage {
    fn facts(&self) -> Facts<'_> {
        Facts {
            is_batchable: true,
            deletes: true,
            // The store of the last message could change between the read and the deletion.
            split_by_message: Split::Refused(
                "the last message may be kept on the other side: read it, and delete it by its id",
            ),
            ..Facts::needing(&[Verb::Delete, Verb::Read])
        }
    }

    fn replayed(&self, stored: &Replay, _: &TenantId, _: &mut dyn LookUp) -> Result<PersistResult> {
        let Replay::TakeLast(deleted) = stored else { return Err(Replay::misfit()) };
        let (thread, deleted) = (self.thread.clone(), deleted.clone());
        Ok(Self::answer(TakenMessage { thread, deleted, message: None, deduplicated: true }).into())
    }
}

impl AnswerFacts for TakenMessage {
    deduplicated_by_field!();

    fn replay(&self) -> Option<Replay> {
        Some(Replay::TakeLast(self.deleted.clone()))
    }

    fn stored_bytes(&self) -> usize {
        self.message.as_deref().map_or(0, EstimatedSize::estimated_size)
    }

    fn revision(&self) -> Option<Revision> {
        self.deleted.as_ref().map(|deleted| deleted.revision)
    }

    // Only the store knows which message is the last one.
    fn deleted(&self) -> Option<&Deleted> {
        self.deleted.as_ref()
    }

    fn messages(&self) -> &[Message] {
        self.message.as_deref().map(std::slice::from_ref).unwrap_or_default()
    }

    /// Checks that the taken message is the deleted one. A replay has no message.
    fn check(&self, _: &Asked<'_>) -> Result<(), &'static str> {
        let Self { thread, deleted, message, deduplicated: _ } = self;
        if deleted.as_ref().is_some_and(|deleted| deleted.thread != *thread) {
            return Err("answered with the deletion of a message of another thread than it was asked");
        }
        let Some(message) = message else { return Ok(()) };
        if deleted.as_ref().is_none_or(|deleted| deleted.id != message.id) {
            return Err("answered with a message that it did not delete");
        }
        Ok(())
    }
}
