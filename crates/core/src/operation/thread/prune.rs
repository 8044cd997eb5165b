use serde::{Deserialize, Serialize};

use crate::{
    Seq, ThreadId,
    id::AttachmentKey,
    message::{Generation, carries_nothing},
};

/// Prunes a thread: deletes its oldest messages up to a sequence number, which [`PlanPrune`](crate::operation::PlanPrune) finds.
///
/// A prune never includes the first open message or later ones. The ids of the deleted messages cannot be used again. Each call
/// is a short transaction; repeat it while [`Pruned::more`] is true. It succeeds if there is nothing to delete.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PruneThread {
    /// The thread.
    pub thread: ThreadId,
    /// The sequence number of the last message to delete.
    pub through: Seq,
    /// The required generation, from the plan. With another one the prune fails as [`Stale`](crate::ErrorKind::Stale).
    pub generation: Generation,
    /// The most messages to delete: 1 to [`ReadPage::MAX_LIMIT`](crate::operation::ReadPage::MAX_LIMIT).
    pub limit: u32,
}

carries_nothing!(PruneThread { thread: _, through: _, generation: _, limit: _ });

/// The answer to [`PruneThread`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Pruned {
    /// The thread.
    pub thread: ThreadId,
    /// The number of deleted messages, final or abandoned.
    pub messages: u64,
    /// The bytes of their content.
    pub bytes: u64,
    /// The attachment keys that the deleted messages had. The host can delete the files.
    pub attachments: Vec<AttachmentKey>,
    /// Whether there are more messages to delete.
    pub more: bool,
    /// Whether this answer replays an earlier call with the same idempotency key.
    pub deduplicated: bool,
}

carries_nothing!(Pruned { thread: _, messages: _, bytes: _, attachments: _, more: _, deduplicated: _ });
