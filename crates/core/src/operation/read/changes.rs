use serde::{Deserialize, Serialize};

use crate::{
    Position,
    change::{Change, ChangeScope},
    message::carries_nothing,
};

/// Reads the changes after a position, in the order of their commits. None is left out, and none that is committed later
/// appears before one that was read: the position of an answer can be kept, and gone on from in another process.
///
/// A store keeps so many changes. Where some after the position are gone, it answers [`TooOld`](crate::ErrorKind::TooOld):
/// read anew what is followed, and go on from the position that those reads say. It answers that too where it has not come to the
/// position: it has lost what somebody has seen, or was put back from a backup. One that follows another store waits for it instead.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ReadChanges {
    /// Which changes.
    #[serde(default)]
    pub scope: ChangeScope,
    /// The last change that is known: [`Position::ZERO`] for all of them.
    pub after: Position,
    /// How many at most: 1 to [`ReadPage::MAX_LIMIT`](crate::operation::ReadPage::MAX_LIMIT).
    pub limit: u32,
}

impl ReadChanges {
    /// The first `limit` changes of this scope after `after`.
    #[must_use]
    pub const fn new(scope: ChangeScope, after: Position, limit: u32) -> Self {
        Self { scope, after, limit }
    }
}

carries_nothing!(ReadChanges { scope: _, after: _, limit: _ });

/// The answer to [`ReadChanges`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Changes {
    /// The changes, by position. There may be none although there are more: of a narrow scope a store looks at so many
    /// changes of others in one call.
    pub changes: Vec<Change>,
    /// How far was read: the next call goes on after it.
    pub position: Position,
    /// Whether there are more to read now.
    pub more: bool,
}

carries_nothing!(Changes { changes: _, position: _, more: _ });
