use serde::{Deserialize, Serialize};

use crate::id::{EventId, ItemId, TurnId};

/// The ids that a provider or a source file has for a message.
///
/// ```
/// use throughline_core::messages::Origin;
///
/// let origin = Origin::new().in_turn("turn-7".parse()?).item("seg:0".parse()?);
/// assert_eq!(origin.turn.unwrap().as_str(), "turn-7");
/// # Ok::<(), throughline_core::InvalidId>(())
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Origin {
    /// The turn of the message.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub turn: Option<TurnId>,
    /// The item of the message within its turn.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub item: Option<ItemId>,
    /// The first event of the message. It counts only without an item and a turn.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub event: Option<EventId>,
}

impl Origin {
    /// Returns an origin without ids.
    #[must_use]
    pub const fn new() -> Self {
        Self { turn: None, item: None, event: None }
    }

    /// Sets the turn.
    #[must_use]
    pub fn in_turn(mut self, turn: TurnId) -> Self {
        self.turn = Some(turn);
        self
    }

    /// Sets the item.
    #[must_use]
    pub fn item(mut self, item: ItemId) -> Self {
        self.item = Some(item);
        self
    }

    /// Sets the event.
    #[must_use]
    pub fn event(mut self, event: EventId) -> Self {
        self.event = Some(event);
        self
    }

    /// Whether the origin has no ids.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.turn.is_none() && self.item.is_none() && self.event.is_none()
    }
}
