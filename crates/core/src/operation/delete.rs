use serde::{Deserialize, Serialize};

use crate::{
    MessageId, MessageState, Metadata, Result, Revision, Seq, TenantId, ThreadId,
    id::AttachmentKey,
    message::carries_nothing,
    operation::{
        PersistResult, Verb,
        bytes::stored_len,
        facts::{AnswerFacts, Facts, StatesFacts, deduplicated_by_field},
        stored::{LookUp, Replay},
    },
};

/// Deletes one message in any state. The store keeps a tombstone, so that no later message can have the same id, unless the thread
/// [reuses ids](crate::threads::CreateThread::reuses_ids).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Delete {
    /// The thread.
    pub thread: ThreadId,
    /// The message.
    pub id: MessageId,
    /// The required revision. With another one the deletion fails as [`Stale`](crate::ErrorKind::Stale).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expected: Option<Revision>,
    /// The required last sequence number of the thread, as in [`Page::last_seq`](crate::operation::Page::last_seq). If the thread
    /// has assigned another one since, the deletion fails as [`Stale`](crate::ErrorKind::Stale).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<Seq>,
    /// Whether to delete only a damaged message: see [`damaged`](Self::damaged).
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub only_damaged: bool,
}

impl Delete {
    /// Returns the deletion of a message with any revision.
    #[must_use]
    pub const fn new(thread: ThreadId, id: MessageId) -> Self {
        Self { thread, id, expected: None, after: None, only_damaged: false }
    }

    /// Returns the deletion of a damaged message, for which the store answers [`Corrupt`](crate::ErrorKind::Corrupt) and which no
    /// other write can change. The store keeps a tombstone and counts the messages of the thread again. The [`Deleted`] answer
    /// has the unverified values of the damaged row, and no attachments.
    ///
    /// To restore the message from a backup instead, import it with [`Import::restoring`](crate::operation::Import::restoring).
    ///
    /// # Errors
    /// - [`Conflict`](crate::ErrorKind::Conflict) if the message is readable.
    /// - [`Corrupt`](crate::ErrorKind::Corrupt) if the row has no sequence number, or one that the thread has not assigned.
    #[must_use]
    pub const fn damaged(thread: ThreadId, id: MessageId) -> Self {
        Self { thread, id, expected: None, after: None, only_damaged: true }
    }

    /// Requires this revision.
    #[must_use]
    pub const fn expecting(mut self, revision: Revision) -> Self {
        self.expected = Some(revision);
        self
    }

    /// Requires this last sequence number of the thread: see [`after`](Self::after).
    #[must_use]
    pub const fn after(mut self, seq: Seq) -> Self {
        self.after = Some(seq);
        self
    }
}

carries_nothing!(Delete { thread: _, id: _, expected: _, after: _, only_damaged: _ });
super::addressed_by_fields!(Delete, Deleted);

/// The answer to [`Delete`]: the facts of the deleted message, so that the caller can delete dependent data, such as index
/// entries under `(thread, id)` or `(thread, seq)`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Deleted {
    /// The thread.
    pub thread: ThreadId,
    /// The message.
    pub id: MessageId,
    /// The sequence number of the message.
    pub seq: Seq,
    /// The last revision of the message.
    pub revision: Revision,
    /// The last state of the message.
    pub state: MessageState,
    /// The attachment keys that the message had. The message holds them no longer, so the host can delete the files.
    pub attachments: Vec<AttachmentKey>,
    /// Whether this answer replays an earlier call with the same idempotency key.
    pub deduplicated: bool,
}

carries_nothing!(Deleted {
    thread: _,
    id: _,
    seq: _,
    revision: _,
    state: _,
    attachments: _,
    deduplicated: _
});

impl StatesFacts for Delete {
    #[inline]
    fn facts(&self) -> Facts<'_> {
        Facts { is_batchable: true, deletes: true, ..Facts::needing(&[Verb::Delete]) }
    }

    fn byte_len(&self) -> Option<usize> {
        Some(self.thread.as_str().len() + self.id.as_str().len())
    }

    fn replayed(&self, stored: &Replay, _: &TenantId, _: &mut dyn LookUp) -> Result<PersistResult> {
        let Replay::Delete(first) = stored else { return Err(Replay::misfit()) };
        Ok(Deleted { deduplicated: true, ..first.clone() }.into())
    }
}

impl AnswerFacts for Deleted {
    deduplicated_by_field!();

    fn replay(&self) -> Option<Replay> {
        Some(Replay::Delete(self.clone()))
    }

    fn stored_bytes(&self) -> usize {
        stored_len(&Metadata::new(), &self.attachments)
    }

    fn revision(&self) -> Option<Revision> {
        Some(self.revision)
    }
}
