use serde::{Deserialize, Serialize};

use crate::{
    Position,
    id::ConsumerName,
    message::carries_nothing,
    operation::{
        consumer::on_consumer,
        facts::{AnswerFacts, Facts, StatesFacts, consumer_by_field},
    },
};

/// Advances the cursor of a consumer: it has processed all changes up to `to`.
///
/// The cursor never moves back with this operation; that fails as [`Stale`](crate::ErrorKind::Stale). With `expected`, the
/// operation also fails as `Stale` if the cursor is elsewhere. Two processes that run one consumer detect each other this way. A
/// cursor that is already at `to` is a success, so that a repeated call succeeds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct MoveCursor {
    /// The consumer.
    pub consumer: ConsumerName,
    /// The position up to which all changes are processed.
    pub to: Position,
    /// The required current position; [`Position::ZERO`] if the cursor was never moved.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expected: Option<Position>,
}

impl MoveCursor {
    /// Returns an operation that advances the cursor to `to` from any earlier position.
    #[must_use]
    pub const fn new(consumer: ConsumerName, to: Position) -> Self {
        Self { consumer, to, expected: None }
    }

    /// Requires this current position.
    #[must_use]
    pub const fn expecting(mut self, position: Position) -> Self {
        self.expected = Some(position);
        self
    }
}

carries_nothing!(MoveCursor { consumer: _, to: _, expected: _ });

/// Sets the cursor of a consumer to any position. A move back delivers all changes after `to` again; a move forward skips
/// changes. It also removes the quarantined changes after `to`, so that they are delivered again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ResetCursor {
    /// The consumer.
    pub consumer: ConsumerName,
    /// The new position.
    pub to: Position,
}

impl ResetCursor {
    /// Returns an operation that sets the cursor to `to`.
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
    /// The consumer.
    pub consumer: ConsumerName,
    /// The position of the cursor.
    pub position: Position,
}

carries_nothing!(CursorMoved { consumer: _, position: _ });

crate::operation::addresses_no_thread!(MoveCursor, ResetCursor, CursorMoved);

impl StatesFacts for MoveCursor {
    fn facts(&self) -> Facts<'_> {
        on_consumer(&self.consumer)
    }
}

impl StatesFacts for ResetCursor {
    fn facts(&self) -> Facts<'_> {
        on_consumer(&self.consumer)
    }
}

impl AnswerFacts for CursorMoved {
    consumer_by_field!();
}
