use serde::{Deserialize, Serialize};

use crate::{
    Metadata, Result, TenantId, ThreadId,
    id::AttachmentKey,
    message::{Generation, carries_nothing},
    operation::{
        OperationOf as _, PersistResult, Verb,
        bytes::stored_len,
        facts::{AnswerFacts, Facts, Limits, Split, StatesFacts, as_replay, deduplicated_by_field},
        stored::{LookUp, Replay},
        thread::replay_summary,
    },
};

/// Clears a thread: deletes all messages in any state, and starts the next generation. The title and the labels remain.
///
/// Readers see no message from the commit on, and the ids of the messages cannot be used again. [`PurgeThread`] frees their
/// space. A writer of an earlier generation cannot write into the new one: its messages are gone, and its new messages fail as
/// [`Stale`](crate::ErrorKind::Stale) if they [name their generation](crate::NewMessage::in_generation).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ClearThread {
    /// The thread.
    pub thread: ThreadId,
    /// The required generation; with another one the clear fails as [`Stale`](crate::ErrorKind::Stale).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expected: Option<Generation>,
}

impl ClearThread {
    /// Returns a clear of any generation.
    #[must_use]
    pub const fn new(thread: ThreadId) -> Self {
        Self { thread, expected: None }
    }

    /// Requires this generation.
    #[must_use]
    pub const fn expecting(mut self, generation: Generation) -> Self {
        self.expected = Some(generation);
        self
    }
}

carries_nothing!(ClearThread { thread: _, expected: _ });

/// Deletes a thread with all its messages. The store keeps a tombstone: later writes to the thread fail as
/// [`Gone`](crate::ErrorKind::Gone), and reads show nothing. A repeated deletion succeeds.
///
/// Readers see nothing of the thread from the commit on. [`PurgeThread`] frees its space.
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
    /// Whether the thread was already deleted.
    pub already: bool,
    /// Whether this answer replays an earlier call with the same idempotency key.
    pub deduplicated: bool,
}

carries_nothing!(ThreadDeleted { thread: _, already: _, deduplicated: _ });

/// Frees part of the space of a cleared or deleted thread, in a short transaction. Repeat it while [`Purged::more`] is true. It
/// succeeds if there is nothing to free.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PurgeThread {
    /// The thread.
    pub thread: ThreadId,
    /// The most messages to purge: 1 to [`ReadPage::MAX_LIMIT`](crate::operation::ReadPage::MAX_LIMIT). A call also ends when the
    /// keys of their attachments reach [`ReadPage::DEFAULT_BYTES`](crate::operation::ReadPage::DEFAULT_BYTES).
    pub limit: u32,
}

carries_nothing!(PurgeThread { thread: _, limit: _ });

/// The answer to [`PurgeThread`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Purged {
    /// The thread.
    pub thread: ThreadId,
    /// The number of purged messages.
    pub messages: u64,
    /// The attachment keys of the purged messages.
    pub attachments: Vec<AttachmentKey>,
    /// Whether there is more to purge.
    pub more: bool,
    /// Whether this answer replays an earlier call with the same idempotency key.
    pub deduplicated: bool,
}

carries_nothing!(Purged { thread: _, messages: _, attachments: _, more: _, deduplicated: _ });

crate::operation::addressed_by_thread!(ClearThread, DeleteThread, PurgeThread, ThreadDeleted, Purged);

impl StatesFacts for ClearThread {
    fn facts(&self) -> Facts<'_> {
        Facts {
            is_batchable: true,
            deletes: true,
            split_by_message: Split::Both,
            ..Facts::needing(&[Verb::Clear])
        }
    }

    fn replayed(&self, stored: &Replay, _: &TenantId, look_up: &mut dyn LookUp) -> Result<PersistResult> {
        replay_summary::<Self>(&self.thread, stored, look_up)
    }
}

impl StatesFacts for DeleteThread {
    fn facts(&self) -> Facts<'_> {
        Facts {
            is_batchable: true,
            deletes: true,
            split_by_message: Split::Both,
            ..Facts::needing(&[Verb::Clear])
        }
    }

    fn replayed(&self, stored: &Replay, _: &TenantId, _: &mut dyn LookUp) -> Result<PersistResult> {
        let Replay::DeleteThread(first) = stored else { return Err(Replay::misfit()) };
        Ok(Self::answer(as_replay(first)).into())
    }
}

impl AnswerFacts for ThreadDeleted {
    deduplicated_by_field!();

    fn replay(&self) -> Option<Replay> {
        Some(Replay::DeleteThread(self.clone()))
    }
}

impl StatesFacts for PurgeThread {
    fn facts(&self) -> Facts<'_> {
        Facts {
            deletes: true,
            limits: Limits::items(self.limit),
            split_by_message: Split::Both,
            ..Facts::needing(&[Verb::Clear])
        }
    }

    fn replayed(&self, stored: &Replay, _: &TenantId, _: &mut dyn LookUp) -> Result<PersistResult> {
        let Replay::Purge(first) = stored else { return Err(Replay::misfit()) };
        Ok(Self::answer(as_replay(first)).into())
    }
}

impl AnswerFacts for Purged {
    deduplicated_by_field!();

    fn replay(&self) -> Option<Replay> {
        Some(Replay::Purge(self.clone()))
    }

    fn stored_bytes(&self) -> usize {
        stored_len(&Metadata::new(), &self.attachments)
    }
}
