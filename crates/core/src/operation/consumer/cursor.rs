use serde::{Deserialize, Serialize};

use crate::{Position, id::ConsumerName, message::carries_nothing};

/// Moves the cursor of a consumer on: everything up to `to` is done.
///
/// With `expected` it is refused as [`Stale`](crate::ErrorKind::Stale) where the cursor is elsewhere, so that of two
/// processes that run one consumer the later one learns of the other. Without, and with, it never moves the cursor back: that
/// is `Stale` too. Where the cursor is at `to` already it is fine, whatever was expected: a call that was made twice has done
/// what it should.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct MoveCursor {
    /// Whose cursor.
    pub consumer: ConsumerName,
    /// How far everything is done.
    pub to: Position,
    /// Where the caller saw it: [`Position::ZERO`] where it has never been moved.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expected: Option<Position>,
}

impl MoveCursor {
    /// Moves it on to `to`, from wherever before that it is.
    #[must_use]
    pub const fn new(consumer: ConsumerName, to: Position) -> Self {
        Self { consumer, to, expected: None }
    }

    /// Only from here.
    #[must_use]
    pub const fn expecting(mut self, position: Position) -> Self {
        self.expected = Some(position);
        self
    }
}

carries_nothing!(MoveCursor { consumer: _, to: _, expected: _ });

/// Puts the cursor of a consumer anywhere: back, so that it is told everything after `to` once more, or on, past what it
/// needs not be told. What was passed over after `to` is taken off the list: it is told again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ResetCursor {
    /// Whose cursor.
    pub consumer: ConsumerName,
    /// Where it goes.
    pub to: Position,
}

impl ResetCursor {
    /// Puts it there.
    #[must_use]
    pub const fn new(consumer: ConsumerName, to: Position) -> Self {
        Self { consumer, to }
    }
}

carries_nothing!(ResetCursor { consumer: _, to: _ });

/// The answer to [`MoveCursor`] and [`ResetCursor`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CursorMoved {
    /// Whose cursor.
    pub consumer: ConsumerName,
    /// Where it is.
    pub position: Position,
}

carries_nothing!(CursorMoved { consumer: _, position: _ });
