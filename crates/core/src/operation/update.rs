use serde::{Deserialize, Serialize};

use super::lower;
use crate::{
    ErrorKind, Message, MessageId, Metadata, MetadataPatch, PersistError, Result, Revision, Seq, TenantId,
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
/// [`where_absent`](Self::where_absent) sets names only where the message does not have them. The store decides that name by name
/// in the commit, so that concurrent writers agree on the first value:
///
/// ```
/// use throughline_core::{Metadata, messages::Update};
///
/// let mut first = Metadata::new();
/// first.set("claimed-by", "worker-7")?;
/// let claim = Update::setting_absent("t".parse()?, "m".parse()?, first);
/// # let _ = claim;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// If such an update sets no name, patches nothing and replaces no attachments, it changes nothing: the store emits no change event,
/// and the time of the last change stays.
///
/// # Errors
/// - [`Invalid`](crate::ErrorKind::Invalid) if a value in [`where_absent`](Self::where_absent) is `null`, or if
///   [`metadata`](Self::metadata) names it too.
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
    /// The values to set where the message has no value of that name, not even `null`. The message keeps the values that it has. No
    /// value here is `null`, and no name is also in [`metadata`](Self::metadata).
    #[serde(default, skip_serializing_if = "Metadata::is_empty")]
    pub where_absent: Metadata,
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
        Self {
            thread,
            id,
            metadata,
            where_absent: Metadata::new(),
            attachments: None,
            expected: None,
            max_metadata_bytes: None,
        }
    }

    /// Returns an update that sets these values where the message has none of that name.
    #[must_use]
    pub fn setting_absent(thread: ThreadId, id: MessageId, values: Metadata) -> Self {
        Self::new(thread, id, MetadataPatch::new()).with_absent(values)
    }

    /// Sets these values where the message has none of that name: see [`where_absent`](Self::where_absent).
    #[must_use]
    pub fn with_absent(mut self, values: Metadata) -> Self {
        self.where_absent = values;
        self
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
    Update {
        thread, id, metadata: MetadataPatch(metadata), where_absent, attachments: _, expected: _, max_metadata_bytes: _
    }
    for (thread, id) => [Metadata(metadata), Metadata(where_absent)]
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
    /// The sequence number of the message.
    pub seq: Seq,
    /// The whole metadata after the patch.
    pub metadata: Metadata,
    /// The names of [`Update::where_absent`] that the message had already, sorted. It kept their values.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub kept: Vec<String>,
    /// The attachment keys after the patch.
    pub attachments: Vec<AttachmentKey>,
    /// The revision of the content, which a patch does not change.
    pub revision: Revision,
    /// Whether this answer replays an earlier call with the same idempotency key.
    pub deduplicated: bool,
}

carries_content!(
    Updated { thread, id, seq: _, metadata, kept: _, attachments: _, revision: _, deduplicated: _ }
    for (thread, id) => [Metadata(metadata)]
);

impl StatesFacts for Update {
    #[inline]
    fn facts(&self) -> Facts<'_> {
        let metadata = self.metadata.as_metadata();
        let sets_a_value =
            !self.where_absent.is_empty() || metadata.iter().any(|(_, value)| value.get() != "null");
        Facts {
            metadata: Some(metadata),
            more_metadata: Some(&self.where_absent),
            is_batchable: true,
            grows: sets_a_value || self.attachments.as_ref().is_some_and(|keys| !keys.is_empty()),
            ..Facts::needing(&[Verb::Edit])
        }
    }

    fn byte_len(&self) -> Option<usize> {
        let Self { thread, id, metadata, where_absent, attachments, expected: _, max_metadata_bytes: _ } =
            self;
        let attachments = attachments.as_deref().unwrap_or_default();
        let names = thread.as_str().len() + id.as_str().len();
        Some(names + stored_len(metadata.as_metadata(), attachments) + stored_len(where_absent, &[]))
    }

    fn replayed(&self, stored: &Replay, _: &TenantId, look_up: &mut dyn LookUp) -> Result<PersistResult> {
        let (patched, kept) = match stored {
            Replay::Update => (None, Vec::new()),
            Replay::Patch { seq, kept } => (Some(*seq), kept.clone()),
            _ => return Err(Replay::misfit()),
        };
        // With another sequence number it is a later message of the same id.
        let found = look_up.message(&self.thread, &self.id)?;
        let Some(message) = found.filter(|message| patched.is_none_or(|seq| seq == message.seq)) else {
            let detail = "the patch was applied, and the message has been deleted since";
            return Err(PersistError::new(ErrorKind::Gone, detail).about(&self.thread, &self.id));
        };
        let Message { thread, id, seq, metadata, attachments, revision, .. } = message;
        Ok(Updated { thread, id, seq, metadata, kept, attachments, revision, deduplicated: true }.into())
    }
}

impl AnswerFacts for Updated {
    deduplicated_by_field!();

    fn replay(&self) -> Option<Replay> {
        Some(Replay::Patch { seq: self.seq, kept: self.kept.clone() })
    }

    fn stored_bytes(&self) -> usize {
        stored_len(&self.metadata, &self.attachments)
    }

    fn revision(&self) -> Option<Revision> {
        Some(self.revision)
    }
}
