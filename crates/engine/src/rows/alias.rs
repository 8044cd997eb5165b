use serde::{Deserialize, Serialize};
use throughline_core::{
    MessageId, Role,
    backend::names::{KnownName, NAMES_PER_MESSAGE},
    ids::{EventId, ItemId, TurnId},
    messages::Alias,
    threads::Generation,
};

use super::ThreadKey;

/// A provider alias of a message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AliasRow {
    /// The thread.
    pub thread: ThreadKey,
    /// Its number in the thread, from 1 on.
    pub number: u64,
    /// The generation in which it was recorded.
    pub generation: Generation,
    /// The alias, and the last sequence number of the thread at that time.
    pub known: KnownName,
}

/// Provider aliases of one generation of a thread, the latest first.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct AliasQuery {
    /// The thread.
    pub thread: ThreadKey,
    /// The generation.
    pub generation: Generation,
    /// The search criterion.
    pub by: AliasBy,
}

/// The search criterion for aliases.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum AliasBy {
    /// This item of this turn, or of no turn, in this role.
    Item(Option<TurnId>, ItemId, Role),
    /// This turn, with an item or without, in this role.
    Turn(TurnId, Role),
    /// This event, without an item and without a turn, in this role.
    Event(EventId, Role),
    /// The message.
    Message(MessageId),
}

impl AliasQuery {
    /// The most aliases that the engine needs.
    #[must_use]
    pub const fn limit(&self) -> usize {
        match self.by {
            AliasBy::Message(_) => NAMES_PER_MESSAGE,
            AliasBy::Item(..) | AliasBy::Turn(..) | AliasBy::Event(..) => 1,
        }
    }

    /// Whether an alias is in the answer.
    #[must_use]
    pub fn matches(&self, row: &AliasRow) -> bool {
        (&self.thread, self.generation) == (&row.thread, row.generation) && self.by.matches(&row.known.alias)
    }
}

impl AliasBy {
    /// Whether an alias matches.
    #[must_use]
    pub fn matches(&self, alias: &Alias) -> bool {
        let Alias { message, role, origin } = alias;
        match self {
            Self::Item(turn, item, of) => {
                origin.item.as_ref() == Some(item) && origin.turn == *turn && role == of
            }
            Self::Turn(turn, of) => origin.turn.as_ref() == Some(turn) && role == of,
            Self::Event(event, of) => {
                origin.event.as_ref() == Some(event)
                    && origin.item.is_none()
                    && origin.turn.is_none()
                    && role == of
            }
            Self::Message(id) => message == id,
        }
    }
}
