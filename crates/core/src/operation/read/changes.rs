use serde::{Deserialize, Serialize};

use crate::{
    MessageId, Position, Result, ThreadId,
    change::{Change, ChangeScope},
    message::carries_nothing,
    operation::{
        Addressed, Reach, Verb,
        facts::{AnswerFacts, Facts, Limits, Split, StatesFacts},
        subject::Asked,
    },
};

/// Reads the changes after a position, in commit order. The feed has no gaps, and a later commit never appears before a change
/// that was read. The position of an answer can be stored, and any process can continue from it.
///
/// # Errors
/// [`TooOld`](crate::ErrorKind::TooOld) if the store no longer has some changes after the position. The reader must then read its
/// data again, and continue from the position of those reads. The same error means that the store has not reached the position,
/// because it lost changes or was restored from a backup. A replica waits for the position instead.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ReadChanges {
    /// The changes to read: of a thread, of a tenant, or of the store.
    #[serde(default)]
    pub scope: ChangeScope,
    /// The position of the last known change; [`Position::ZERO`] for all changes.
    pub after: Position,
    /// The most entries to return: 1 to [`ReadPage::MAX_LIMIT`](crate::operation::ReadPage::MAX_LIMIT).
    pub limit: u32,
}

impl ReadChanges {
    /// Returns a read of the first `limit` changes of this scope after `after`.
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
    /// The changes, by position. The list can be empty although [`more`](Self::more) is true, because a store examines a bounded
    /// number of changes for a narrow scope.
    pub changes: Vec<Change>,
    /// The position of the last examined change. The next call continues after it.
    pub position: Position,
    /// Whether there are more changes now.
    pub more: bool,
}

carries_nothing!(Changes { changes: _, position: _, more: _ });

impl Addressed for ReadChanges {
    fn thread(&self) -> Option<&ThreadId> {
        self.scope.thread()
    }

    fn message(&self) -> Option<&MessageId> {
        None
    }
}

crate::operation::addresses_no_thread!(Changes);

impl StatesFacts for ReadChanges {
    fn facts(&self) -> Facts<'_> {
        Facts {
            reach: Some(Reach::of(&self.scope)),
            limits: Limits::items(self.limit),
            split_by_message: Split::Refused(
                "changes cannot be read: those of the other side are not in this feed",
            ),
            split_by_thread: Split::Refused("the changes of both sides of a redirect have no common order"),
            ..Facts::needing(&[Verb::Read])
        }
    }
}

impl AnswerFacts for Changes {
    fn check(&self, asked: &Asked<'_>) -> Result<(), &'static str> {
        let matches = |change: &Change| asked.is_of(&change.tenant) && asked.is_for(&change.thread);
        if self.changes.iter().all(matches) {
            Ok(())
        } else {
            Err("answered with a change of another tenant or thread than it was asked")
        }
    }
}
