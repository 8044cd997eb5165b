use serde::{Deserialize, Serialize};

use crate::{
    ThreadId,
    id::AttachmentKey,
    message::{Generation, carries_nothing},
};

/// Takes every message of a thread away, in any state, and begins another generation of it. Title and labels stay.
///
/// Nobody sees the messages any more from the commit on, and their ids stay dead; [`PurgeThread`] frees what they take up.
/// A writer of an earlier generation cannot write into the new one: what it names is gone, and what it adds is refused as
/// [`Stale`](crate::ErrorKind::Stale) where it [names the generation](crate::NewMessage::in_generation) it knows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ClearThread {
    /// The thread.
    pub thread: ThreadId,
    /// The generation that the caller saw; with another one it is refused as [`Stale`](crate::ErrorKind::Stale).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expected: Option<Generation>,
}

impl ClearThread {
    /// Clears `thread`, whatever its generation.
    #[must_use]
    pub const fn new(thread: ThreadId) -> Self {
        Self { thread, expected: None }
    }

    /// Only in this generation.
    #[must_use]
    pub const fn expecting(mut self, generation: Generation) -> Self {
        self.expected = Some(generation);
        self
    }
}

carries_nothing!(ClearThread { thread: _, expected: _ });

/// Deletes a thread, with everything in it. A tombstone keeps its id dead: every later write to it is refused as
/// [`Gone`](crate::ErrorKind::Gone), and reads show nothing. Deleting it again is fine.
///
/// Nobody sees anything of it from the commit on; [`PurgeThread`] frees what it takes up.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct DeleteThread {
    /// The thread.
    pub thread: ThreadId,
}

carries_nothing!(DeleteThread { thread: _ });

/// The answer to [`DeleteThread`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ThreadDeleted {
    /// The thread.
    pub thread: ThreadId,
    /// Whether it had been deleted before.
    pub already: bool,
    /// Whether an earlier call with the same idempotency key had deleted it.
    pub deduplicated: bool,
}

carries_nothing!(ThreadDeleted { thread: _, already: _, deduplicated: _ });

/// Frees some of what a cleared or deleted thread still takes up. To be repeated while there is more; each call is short.
/// With nothing to free it answers so.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PurgeThread {
    /// The thread.
    pub thread: ThreadId,
    /// How many messages at most: 1 to [`ReadPage::MAX_LIMIT`](crate::operation::ReadPage::MAX_LIMIT). There may be fewer: a call ends where the
    /// names of their attachments come to [`ReadPage::DEFAULT_BYTES`](crate::operation::ReadPage::DEFAULT_BYTES).
    pub limit: u32,
}

carries_nothing!(PurgeThread { thread: _, limit: _ });

/// The answer to [`PurgeThread`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Purged {
    /// The thread.
    pub thread: ThreadId,
    /// How many messages were freed.
    pub messages: u64,
    /// The attachments that they had.
    pub attachments: Vec<AttachmentKey>,
    /// Whether there is more to free.
    pub more: bool,
    /// Whether an earlier call with the same idempotency key had done it.
    pub deduplicated: bool,
}

carries_nothing!(Purged { thread: _, messages: _, attachments: _, more: _, deduplicated: _ });
