use serde::{Deserialize, Serialize};

use super::lower;
use crate::message::{
    CarriesContent, ContentField, ContentFieldMut, FieldValue, FieldValueMut, carries_content,
};
use crate::{MessageId, Metadata, MetadataPatch, Revision, ThreadId, id::AttachmentKey};

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

impl CarriesContent for Update {
    fn content_fields(&self) -> Vec<ContentField<'_>> {
        let Self { thread, id: message, metadata, attachments: _, expected: _, max_metadata_bytes: _ } = self;
        vec![ContentField {
            thread,
            message: Some(message),
            value: FieldValue::Metadata(metadata.as_metadata()),
        }]
    }

    fn content_fields_mut(&mut self) -> Vec<ContentFieldMut<'_>> {
        let Self { thread, id: message, metadata, attachments: _, expected: _, max_metadata_bytes: _ } = self;
        vec![ContentFieldMut {
            thread,
            message: Some(message),
            value: FieldValueMut::Metadata(metadata.as_metadata_mut()),
        }]
    }
}

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
