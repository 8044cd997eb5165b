use serde::{Deserialize, Serialize};

use crate::id::{EventId, ItemId, TurnId};

/// Where a message comes from, in the words of whoever makes it: a provider that streams events, a file that is imported.
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
    /// The turn that it is part of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub turn: Option<TurnId>,
    /// The item of the turn that it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub item: Option<ItemId>,
    /// The event that it was first told by. It counts only where there is neither an item nor a turn.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub event: Option<EventId>,
}

impl Origin {
    /// Of nothing that is known.
    #[must_use]
    pub const fn new() -> Self {
        Self { turn: None, item: None, event: None }
    }

    /// In this turn.
    #[must_use]
    pub fn in_turn(mut self, turn: TurnId) -> Self {
        self.turn = Some(turn);
        self
    }

    /// This item.
    #[must_use]
    pub fn item(mut self, item: ItemId) -> Self {
        self.item = Some(item);
        self
    }

    /// Told by this event.
    #[must_use]
    pub fn event(mut self, event: EventId) -> Self {
        self.event = Some(event);
        self
    }

    /// Whether it says nothing.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.turn.is_none() && self.item.is_none() && self.event.is_none()
    }
}
