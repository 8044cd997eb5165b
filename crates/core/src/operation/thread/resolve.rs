use serde::{Deserialize, Serialize};

use crate::{
    MessageId, MessageState, Role, ThreadId,
    message::{Generation, carries_nothing},
    operation::Origin,
};

/// Asks under which id the thread has, or is to have, the message that a provider speaks of. What it answers is taken down
/// in the same commit: whoever asks again, from any process, is answered the same id.
///
/// The names are tried in this order, and the first that leads to a message decides:
///
/// 1. the item, within its turn;
/// 2. the turn, only where no item is named: the latest message of it;
/// 3. the event, only where neither is named;
/// 4. each of `legacy` in turn: an id that the thread itself may have the message under, from a time when ids were made of
///    the provider's. It has to be a message of the same role that is neither another item nor of another turn;
/// 5. `fresh`, which is then the id.
///
/// Nothing leads out of the thread, and an item that is named again in another turn is another message. Where no turn is
/// named, a question of the user ends one: an item then does not lead to what was said before it.
///
/// Refused as [`Gone`](crate::ErrorKind::Gone) when the message was deleted: what else is said of it is not to come back as a
/// new one. Refused as [`Invalid`](crate::ErrorKind::Invalid) when the origin says nothing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ResolveId {
    /// The thread; it exists from its first write, this one included.
    pub thread: ThreadId,
    /// What the provider calls it.
    pub origin: Origin,
    /// Who says it.
    pub role: Role,
    /// Ids that the thread may have it under, the likeliest first: up to [`ResolveId::MAX_LEGACY`].
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub legacy: Vec<MessageId>,
    /// The id of a message that is not there yet, fixed before the first attempt.
    pub fresh: MessageId,
    /// The generation that the caller saw; in another one it is refused as [`Stale`](crate::ErrorKind::Stale).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub generation: Option<Generation>,
}

impl ResolveId {
    /// The most ids of old in one call.
    pub const MAX_LEGACY: usize = 16;

    /// Asks for a message of the assistant, with an id made up now for one that is not there yet.
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

    /// Asks for a message of somebody else.
    #[must_use]
    pub const fn of(mut self, role: Role) -> Self {
        self.role = role;
        self
    }

    /// Also looks for it under these ids, the likeliest first.
    #[must_use]
    pub fn or_legacy(mut self, ids: impl IntoIterator<Item = MessageId>) -> Self {
        self.legacy.extend(ids);
        self
    }

    /// Only in this generation of the thread.
    #[must_use]
    pub const fn in_generation(mut self, generation: Generation) -> Self {
        self.generation = Some(generation);
        self
    }
}

// Names are no content: nothing that anybody said is in them.
carries_nothing!(ResolveId { thread: _, origin: _, role: _, legacy: _, fresh: _, generation: _ });

/// The answer to [`ResolveId`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ResolvedId {
    /// The thread.
    pub thread: ThreadId,
    /// The id of the message.
    pub id: MessageId,
    /// What it was found by.
    pub by: ResolvedBy,
    /// Where the message is in its life; nothing when it has not been written yet.
    pub state: Option<MessageState>,
    /// Which messages were looked at before, and why they are not it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub skipped: Vec<SkippedId>,
    /// Whether an earlier call with the same idempotency key had done it.
    pub deduplicated: bool,
}

carries_nothing!(ResolvedId { thread: _, id: _, by: _, state: _, skipped: _, deduplicated: _ });

/// What a message was found by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub enum ResolvedBy {
    /// Its item, within its turn.
    Item,
    /// Its turn.
    Turn,
    /// Its event.
    Event,
    /// An id of old.
    Legacy,
    /// Nothing: it is a new one.
    Fresh,
}

/// A message that is not the one that was asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SkippedId {
    /// Its id.
    pub id: MessageId,
    /// Why it is not.
    pub why: Mismatch,
}

/// Why a message is not the one that was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub enum Mismatch {
    /// The thread has no message of this id, and had none.
    NoSuchMessage,
    /// It was deleted.
    Deleted,
    /// Somebody else says it.
    OtherRole,
    /// It is another item.
    OtherItem,
    /// It is of another turn.
    OtherTurn,
    /// No turn was named, and the user has asked something since.
    TurnIsOver,
}
