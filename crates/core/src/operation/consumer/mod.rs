//! The state of a consumer of the change feed: its cursor and its quarantine.
//!
//! These operations address no thread and emit no change event. They take no idempotency key, because each of them is idempotent.

mod cursor;
mod quarantine;

pub use self::{
    cursor::{CursorMoved, MoveCursor, ResetCursor},
    quarantine::{ChangeQuarantined, ChangeReleased, QuarantineChange, ReleaseChange},
};
use super::{
    Verb,
    facts::{Facts, Split},
    family::family,
};
use crate::id::ConsumerName;

family! {
    /// The operations on the state of a consumer. They pass through the same layers as messages.
    #[derive(Eq)]
    ConsumerArgs in Consumer;
    /// The answers to [`ConsumerArgs`].
    #[derive(Eq)]
    ConsumerResult;

    /// Advances the cursor.
    MoveCursor: MoveCursor -> CursorMoved as "moveCursor";
    /// Sets the cursor to any position.
    ResetCursor: ResetCursor -> CursorMoved as "resetCursor";
    /// Adds a change to the quarantine.
    Quarantine: QuarantineChange -> ChangeQuarantined as "quarantineChange";
    /// Removes a change from the quarantine.
    Release: ReleaseChange -> ChangeReleased as "releaseChange";
}

/// The facts that all operations on the state of a consumer share: each side of a redirect has its own consumers.
pub(super) fn on_consumer(consumer: &ConsumerName) -> Facts<'_> {
    Facts {
        consumer: Some(consumer),
        split_by_message: Split::Here,
        split_by_thread: Split::Here,
        ..Facts::needing(&[Verb::Consume])
    }
}

impl ConsumerArgs {
    /// The consumer of the operation.
    #[must_use]
    pub const fn consumer(&self) -> &ConsumerName {
        match self {
            Self::MoveCursor(MoveCursor { consumer, .. })
            | Self::ResetCursor(ResetCursor { consumer, .. })
            | Self::Quarantine(QuarantineChange { consumer, .. })
            | Self::Release(ReleaseChange { consumer, .. }) => consumer,
        }
    }
}
