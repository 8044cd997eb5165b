use serde::{Deserialize, Serialize};

use crate::{
    MessageId, MessageState, Result, Role, TenantId, ThreadId,
    message::{Generation, carries_nothing},
    operation::{
        OperationOf as _, Origin, PersistResult, Verb,
        facts::{AnswerFacts, Facts, Split, StatesFacts, as_replay, deduplicated_by_field},
        stored::{LookUp, Replay},
    },
};

/// Finds the message id of a provider's message, or assigns a new one. The store records the answer in the same transaction, so
/// that every later call from any process gets the same id.
///
/// The store tries these names in order, and uses the first one with a message:
///
/// 1. the item, within its turn;
/// 2. the latest message of the turn, if the origin has no item;
/// 3. the event, if the origin has neither an item nor a turn;
/// 4. each id in `legacy`: an id that an earlier version derived from the provider's ids. The message must have the same role,
///    and no other item or turn;
/// 5. `fresh`, which then becomes the id.
///
/// A name never matches a message of another thread. The same item in another turn is another message. If the origin has no turn,
/// a user message ends the turn: an item then does not match messages before it.
///
/// # Errors
/// - [`Gone`](crate::ErrorKind::Gone) if the message was deleted, so that late events do not create it again.
/// - [`Invalid`](crate::ErrorKind::Invalid) if the origin has no ids.
/// - [`Stale`](crate::ErrorKind::Stale) if [`generation`](Self::generation) does not match.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ResolveId {
    /// The thread. The first write creates it, including this one.
    pub thread: ThreadId,
    /// The provider's ids of the message.
    pub origin: Origin,
    /// The author of the message.
    pub role: Role,
    /// Earlier ids of the message, the most likely first: at most [`ResolveId::MAX_LEGACY`].
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub legacy: Vec<MessageId>,
    /// The id of a new message. It is the same in every attempt of the call.
    pub fresh: MessageId,
    /// The required generation of the thread.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub generation: Option<Generation>,
}

impl ResolveId {
    /// The most legacy ids of one call: 16.
    pub const MAX_LEGACY: usize = 16;

    /// Returns an operation for a message of the assistant, with a generated `fresh` id.
    #[must_use]
    pub fn new(thread: ThreadId, origin: Origin) -> Self {
        Self {
            thread,
            origin,
            role: Role::Assistant,
            legacy: Vec::new(),
            fresh: MessageId::mint(),
            generation: None,
        }
    }

    /// Sets the author of the message.
    #[must_use]
    pub const fn of(mut self, role: Role) -> Self {
        self.role = role;
        self
    }

    /// Adds legacy ids, the most likely first.
    #[must_use]
    pub fn or_legacy(mut self, ids: impl IntoIterator<Item = MessageId>) -> Self {
        self.legacy.extend(ids);
        self
    }

    /// Requires this generation of the thread.
    #[must_use]
    pub const fn in_generation(mut self, generation: Generation) -> Self {
        self.generation = Some(generation);
        self
    }
}

// Ids and names are not content.
carries_nothing!(ResolveId { thread: _, origin: _, role: _, legacy: _, fresh: _, generation: _ });

/// The answer to [`ResolveId`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ResolvedId {
    /// The thread.
    pub thread: ThreadId,
    /// The id of the message.
    pub id: MessageId,
    /// The name that matched.
    pub by: ResolvedBy,
    /// The state of the message. `None` if it is not written yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<MessageState>,
    /// The messages that did not match, with the reasons.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub skipped: Vec<SkippedId>,
    /// Whether this answer replays an earlier call with the same idempotency key.
    pub deduplicated: bool,
}

carries_nothing!(ResolvedId { thread: _, id: _, by: _, state: _, skipped: _, deduplicated: _ });

/// The name that matched a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub enum ResolvedBy {
    /// The item, within its turn.
    Item,
    /// The turn.
    Turn,
    /// The event.
    Event,
    /// A legacy id.
    Legacy,
    /// None: the message is new.
    Fresh,
}

/// A message that did not match.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SkippedId {
    /// The id of the message.
    pub id: MessageId,
    /// The reason.
    pub why: Mismatch,
}

/// Why a message did not match.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub enum Mismatch {
    /// The thread has and had no message with this id.
    NoSuchMessage,
    /// The message was deleted.
    Deleted,
    /// The message has another role.
    OtherRole,
    /// The message is another item.
    OtherItem,
    /// The message belongs to another turn.
    OtherTurn,
    /// The origin has no turn, and a user message came after the message.
    TurnIsOver,
}

crate::operation::addressed_by_thread!(ResolveId, ResolvedId);

impl StatesFacts for ResolveId {
    fn facts(&self) -> Facts<'_> {
        Facts {
            is_batchable: true,
            grows: true,
            minted_id: Some(&self.fresh),
            // A message has its row and its aliases here, independent of the store of its content.
            split_by_message: Split::Here,
            ..Facts::needing(&[Verb::Append])
        }
    }

    fn replayed(&self, stored: &Replay, _: &TenantId, _: &mut dyn LookUp) -> Result<PersistResult> {
        let Replay::Resolve(first) = stored else { return Err(Replay::misfit()) };
        Ok(Self::answer(as_replay(first)).into())
    }
}

impl AnswerFacts for ResolvedId {
    deduplicated_by_field!();

    fn replay(&self) -> Option<Replay> {
        Some(Replay::Resolve(self.clone()))
    }
}
