use serde::{Deserialize, Serialize};

use super::lower;
use crate::{
    ErrorKind, Message, MessageId, Metadata, MetadataPatch, PersistError, Result, Revision, TenantId,
    ThreadId,
    id::AttachmentKey,
    message::carries_content,
    operation::{
        PersistResult, Verb,
        bytes::stored_len,
        facts::{AnswerFacts, Facts, StatesFacts, deduplicated_by_field},
        stored::{LookUp, Replay},
    },
};

/// Patches the metadata and the attachment keys of a message, in any state. The revision does not change.
///
/// # Errors
/// - [`NotFound`](crate::ErrorKind::NotFound) if there is no such message, [`Gone`](crate::ErrorKind::Gone) if it was deleted.
/// - [`Stale`](crate::ErrorKind::Stale) if [`expected`](Self::expected) does not match.
/// - [`TooLarge`](crate::ErrorKind::TooLarge) if the patch makes the metadata larger than
///   [`max_metadata_bytes`](Self::max_metadata_bytes).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Update {
    /// The thread.
    pub thread: ThreadId,
    /// The message.
    pub id: MessageId,
    /// The patch of the metadata: an absent key remains, `null` removes it, a value sets it.
    #[serde(default)]
    pub metadata: MetadataPatch,
    /// The attachment keys: absent keeps them, an empty list removes them, another list replaces them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attachments: Option<Vec<AttachmentKey>>,
    /// The required revision.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expected: Option<Revision>,
    /// The most bytes of names and JSON values of the metadata after the patch, as stored. A patch that does not make the
    /// metadata larger is never refused. The layer `limits` sets this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_metadata_bytes: Option<u64>,
}

impl Update {
    /// Returns a patch of the metadata of a message.
    #[must_use]
    pub const fn new(thread: ThreadId, id: MessageId, metadata: MetadataPatch) -> Self {
        Self { thread, id, metadata, attachments: None, expected: None, max_metadata_bytes: None }
    }

    /// Replaces the attachment keys; an empty list removes them.
    #[must_use]
    pub fn with_attachments(mut self, attachments: impl IntoIterator<Item = AttachmentKey>) -> Self {
        self.attachments = Some(attachments.into_iter().collect());
        self
    }

    /// Requires this revision.
    #[must_use]
    pub const fn expecting(mut self, revision: Revision) -> Self {
        self.expected = Some(revision);
        self
    }

    /// Limits the metadata to `bytes`. A lower limit that was set before remains.
    #[must_use]
    pub const fn within(mut self, bytes: u64) -> Self {
        self.max_metadata_bytes = Some(lower(self.max_metadata_bytes, bytes));
        self
    }
}

carries_content!(
    Update { thread, id, metadata: MetadataPatch(metadata), attachments: _, expected: _, max_metadata_bytes: _ }
    for (thread, id) => [Metadata(metadata)]
);

super::addressed_by_fields!(Update, Updated);

/// The answer to [`Update`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Updated {
    /// The thread.
    pub thread: ThreadId,
    /// The message.
    pub id: MessageId,
    /// The whole metadata after the patch.
    pub metadata: Metadata,
    /// The attachment keys after the patch.
    pub attachments: Vec<AttachmentKey>,
    /// The revision of the content, which a patch does not change.
    pub revision: Revision,
    /// Whether this answer replays an earlier call with the same idempotency key.
    pub deduplicated: bool,
}

carries_content!(
    Updated { thread, id, metadata, attachments: _, revision: _, deduplicated: _ }
    for (thread, id) => [Metadata(metadata)]
);

impl StatesFacts for Update {
    fn facts(&self) -> Facts<'_> {
        let metadata = self.metadata.as_metadata();
        let sets_a_value = metadata.iter().any(|(_, value)| value.get() != "null");
        Facts {
            metadata: Some(metadata),
            is_batchable: true,
            grows: sets_a_value || self.attachments.as_ref().is_some_and(|keys| !keys.is_empty()),
            ..Facts::needing(&[Verb::Edit])
        }
    }

    fn byte_len(&self) -> Option<usize> {
        let Self { thread, id, metadata, attachments, expected: _, max_metadata_bytes: _ } = self;
        let attachments = attachments.as_deref().unwrap_or_default();
        Some(thread.as_str().len() + id.as_str().len() + stored_len(metadata.as_metadata(), attachments))
    }

    fn replayed(&self, stored: &Replay, _: &TenantId, look_up: &mut dyn LookUp) -> Result<PersistResult> {
        let Replay::Update = stored else { return Err(Replay::misfit()) };
        let Some(message) = look_up.message(&self.thread, &self.id)? else {
            let detail = "the patch was applied, and the message has been deleted since";
            return Err(PersistError::new(ErrorKind::Gone, detail).about(&self.thread, &self.id));
        };
        let Message { thread, id, metadata, attachments, revision, .. } = message;
        Ok(Updated { thread, id, metadata, attachments, revision, deduplicated: true }.into())
    }
}

impl AnswerFacts for Updated {
    deduplicated_by_field!();

    fn replay(&self) -> Option<Replay> {
        Some(Replay::Update)
    }

    fn stored_bytes(&self) -> usize {
        stored_len(&self.metadata, &self.attachments)
    }

    fn revision(&self) -> Option<Revision> {
        Some(self.revision)
    }
}
