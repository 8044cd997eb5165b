//! What a consumer of the changes keeps in the store: how far it has come, and what it passed over.
//!
//! These operations speak of no thread and make no change that is told. None takes an idempotency key: each of them done twice
//! is as good as done once.

mod cursor;
mod quarantine;

pub use self::{
    cursor::{CursorMoved, MoveCursor, ResetCursor},
    quarantine::{ChangeQuarantined, ChangeReleased, QuarantineChange, ReleaseChange},
};
use super::{Addressed, family::family};
use crate::{MessageId, ThreadId, id::ConsumerName};

family! {
    /// What a consumer of the changes keeps in the store. It goes through the same layers as the messages.
    #[derive(Eq)]
    ConsumerArgs in Consumer;
    /// The answers to [`ConsumerArgs`].
    #[derive(Eq)]
    ConsumerResult;

    /// Takes down that everything up to a position is done.
    MoveCursor: MoveCursor -> CursorMoved as "moveCursor";
    /// Puts the cursor anywhere, back as well.
    ResetCursor: ResetCursor -> CursorMoved as "resetCursor";
    /// Takes down that a change was passed over.
    Quarantine: QuarantineChange -> ChangeQuarantined as "quarantineChange";
    /// Takes a change off that list.
    Release: ReleaseChange -> ChangeReleased as "releaseChange";
}

impl ConsumerArgs {
    /// The consumer that it is of.
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

impl ConsumerResult {
    /// The consumer that it is of.
    #[must_use]
    pub const fn consumer(&self) -> &ConsumerName {
        match self {
            Self::MoveCursor(CursorMoved { consumer, .. })
            | Self::ResetCursor(CursorMoved { consumer, .. })
            | Self::Quarantine(ChangeQuarantined { consumer, .. })
            | Self::Release(ChangeReleased { consumer, .. }) => consumer,
        }
    }
}

/// A consumer is one of the whole tenant: the thread that a change was about is said beside, for who reads the list, and no
/// redirect goes by it.
impl Addressed for ConsumerArgs {
    fn thread(&self) -> Option<&ThreadId> {
        None
    }

    fn message(&self) -> Option<&MessageId> {
        None
    }
}

impl Addressed for ConsumerResult {
    fn thread(&self) -> Option<&ThreadId> {
        None
    }

    fn message(&self) -> Option<&MessageId> {
        None
    }
}
