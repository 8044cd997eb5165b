use serde::{Deserialize, Serialize};

use crate::{
    Seq, ThreadId,
    id::AttachmentKey,
    message::{Generation, carries_nothing},
};

/// Takes the oldest messages of a thread away, up to a place, as [`PlanPrune`](crate::operation::PlanPrune) found it.
///
/// It never goes beyond the first open message. Their ids stay dead. To be repeated while there is more; each call is
/// short. With nothing there it answers so.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PruneThread {
    /// The thread.
    pub thread: ThreadId,
    /// The last place that goes.
    pub through: Seq,
    /// The generation that the plan was made in; in another one it is refused as
    /// [`Stale`](crate::ErrorKind::Stale).
    pub generation: Generation,
    /// How many messages at most: 1 to [`ReadPage::MAX_LIMIT`](crate::operation::ReadPage::MAX_LIMIT).
    pub limit: u32,
}

carries_nothing!(PruneThread { thread: _, through: _, generation: _, limit: _ });

/// The answer to [`PruneThread`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Pruned {
    /// The thread.
    pub thread: ThreadId,
    /// How many messages went, final or abandoned.
    pub messages: u64,
    /// The bytes of content that went with them.
    pub bytes: u64,
    /// The attachments that no message of theirs holds any more.
    pub attachments: Vec<AttachmentKey>,
    /// Whether there is more to take away.
    pub more: bool,
    /// Whether an earlier call with the same idempotency key had done it.
    pub deduplicated: bool,
}

carries_nothing!(Pruned { thread: _, messages: _, bytes: _, attachments: _, more: _, deduplicated: _ });
