use serde::{Deserialize, Serialize};

use super::lower;
use crate::message::{
    CarriesContent, ContentField, ContentFieldMut, FieldValue, FieldValueMut, carries_content,
};
use crate::{MessageId, Metadata, MetadataPatch, Revision, ThreadId, id::AttachmentKey};

/// Patches what surrounds the content: metadata and the names of attachments. Works in every state, does not
/// raise the revision.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Update {
    /// The thread.
    pub thread: ThreadId,
    /// The message.
    pub id: MessageId,
    /// The change of the metadata: an absent key is kept, `null` clears, a value sets.
    #[serde(default)]
    pub metadata: MetadataPatch,
    /// The attachments: absent keeps them, an empty list clears them, another list sets them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attachments: Option<Vec<AttachmentKey>>,
    /// The revision that the caller saw; with another one in the store it is refused as
    /// [`Stale`](crate::ErrorKind::Stale).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expected: Option<Revision>,
    /// The most bytes of names and JSON values that the metadata may have after the patch, as the store keeps it; a patch that
    /// makes it longer than that is refused as [`TooLarge`](crate::ErrorKind::TooLarge). A patch that does not make it longer
    /// never is. The layer `limits` sets it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_metadata_bytes: Option<u64>,
}

impl Update {
    /// Patches the metadata of a message.
    #[must_use]
    pub const fn new(thread: ThreadId, id: MessageId, metadata: MetadataPatch) -> Self {
        Self { thread, id, metadata, attachments: None, expected: None, max_metadata_bytes: None }
    }

    /// Sets the names of its attachments; an empty list clears them.
    #[must_use]
    pub fn with_attachments(mut self, attachments: impl IntoIterator<Item = AttachmentKey>) -> Self {
        self.attachments = Some(attachments.into_iter().collect());
        self
    }

    /// Refuses to run on another revision than this.
    #[must_use]
    pub const fn expecting(mut self, revision: Revision) -> Self {
        self.expected = Some(revision);
        self
    }

    /// Refuses to run where it would make the metadata longer than `bytes`. An earlier, lower limit stays.
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
    /// The names of the attachments after the patch.
    pub attachments: Vec<AttachmentKey>,
    /// The revision of the content, which a patch does not change.
    pub revision: Revision,
    /// Whether an earlier call with the same idempotency key had made the change.
    pub deduplicated: bool,
}

carries_content!(
    Updated { thread, id, metadata, attachments: _, revision: _, deduplicated: _ }
    for (thread, id) => [Metadata(metadata)]
);
