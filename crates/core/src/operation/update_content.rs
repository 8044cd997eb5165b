use std::fmt;

use serde::{Deserialize, Serialize};

use super::lower;
use crate::{
    Content, Delta, MessageId, MessageState, Result, Revision, TenantId, ThreadId,
    message::{
        CarriesContent, ContentField, ContentFieldMut, FieldValue, FieldValueMut, Length, carries_nothing,
    },
    operation::{
        PersistResult, Verb,
        facts::{AnswerFacts, Facts, StatesFacts, deduplicated_by_field},
        stored::{LookUp, Replay},
    },
};

/// The change of the content.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum ContentChange {
    /// Replaces the content.
    Replace(Content),
    /// Appends to the content. The cost depends on the appended bytes, not on the length of the message.
    Append(Delta),
}

impl ContentChange {
    /// Returns a change that keeps the content.
    #[must_use]
    pub const fn none() -> Self {
        Self::Append(Delta::empty())
    }

    /// Whether the change keeps the content.
    #[must_use]
    pub fn is_none(&self) -> bool {
        matches!(self, Self::Append(delta) if delta.is_empty())
    }

    /// The bytes of the change.
    #[must_use]
    pub fn byte_len(&self) -> usize {
        match self {
            Self::Replace(content) => content.byte_len(),
            Self::Append(delta) => delta.byte_len(),
        }
    }
}

/// The effect of an update on the state of the message.
///
/// | mode | on an open message | on a final one | on an abandoned one |
/// |---|---|---|---|
/// | `Partial` | `Streaming`, lease renewed | refused: `Stale` | refused: `Stale` |
/// | `Final` | `Final` | refused: `Stale` | refused: `Stale` |
/// | `Abandon` | `Abandoned` | refused: `Stale` | refused: `Stale` |
/// | `Edit` | refused: `Conflict` | stays `Final` | refused: `Stale` |
///
/// A partial update without a content change only renews the lease; the state and the revision remain. Every other update
/// increases the revision by one.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum UpdateMode {
    /// More updates follow.
    Partial,
    /// The message is complete.
    Final,
    /// The writer abandons the message; the committed content remains.
    Abandon {
        /// The reason, for people.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reason: Option<String>,
    },
    /// Corrects a final message.
    Edit,
}

/// Shows the length of the reason instead of the text, which does not belong into logs.
impl fmt::Debug for UpdateMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Partial => f.write_str("Partial"),
            Self::Final => f.write_str("Final"),
            Self::Abandon { reason } => f.debug_struct("Abandon").field("reason", &Length(reason)).finish(),
            Self::Edit => f.write_str("Edit"),
        }
    }
}

impl UpdateMode {
    /// The bytes of the reason of an abandonment.
    fn reason_len(&self) -> usize {
        match self {
            Self::Abandon { reason } => reason.as_ref().map_or(0, String::len),
            Self::Partial | Self::Final | Self::Edit => 0,
        }
    }

    /// The lower-case name.
    #[must_use]
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Partial => "partial",
            Self::Final => "final",
            Self::Abandon { .. } => "abandon",
            Self::Edit => "edit",
        }
    }
}

/// Changes the content of a message, or settles it.
///
/// # Errors
/// - [`NotFound`](crate::ErrorKind::NotFound) if there is no such message, [`Gone`](crate::ErrorKind::Gone) if it was deleted.
/// - [`Stale`](crate::ErrorKind::Stale) or [`Conflict`](crate::ErrorKind::Conflict) if the state does not allow the mode: see
///   [`UpdateMode`].
/// - [`Stale`](crate::ErrorKind::Stale) if [`expected`](Self::expected) does not match.
/// - [`Conflict`](crate::ErrorKind::Conflict) if [`only_if_expired`](Self::only_if_expired) is set and the lease has not expired.
/// - [`TooLarge`](crate::ErrorKind::TooLarge) if the content would exceed a limit.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct UpdateContent {
    /// The thread.
    pub thread: ThreadId,
    /// The message.
    pub id: MessageId,
    /// The change of the content.
    pub change: ContentChange,
    /// The effect on the state of the message.
    pub mode: UpdateMode,
    /// The required revision.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expected: Option<Revision>,
    /// Whether to update only a message whose lease has expired. The recovery of expired drafts sets it, so that it never settles
    /// the message of a live writer.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub only_if_expired: bool,
    /// The most bytes of the content as JSON after the change, as stored. It can lower the limit of the store, but not raise it.
    /// A change without content is not checked, so that a writer can always settle its message. The layer `limits` sets this for
    /// appends.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_content_bytes: Option<u64>,
}

impl UpdateContent {
    /// Returns a change of a message with any revision.
    #[must_use]
    pub const fn new(thread: ThreadId, id: MessageId, change: ContentChange, mode: UpdateMode) -> Self {
        Self { thread, id, change, mode, expected: None, only_if_expired: false, max_content_bytes: None }
    }

    /// Requires this revision.
    #[must_use]
    pub const fn expecting(mut self, revision: Revision) -> Self {
        self.expected = Some(revision);
        self
    }

    /// Requires that the lease of the message has expired.
    #[must_use]
    pub const fn only_if_expired(mut self) -> Self {
        self.only_if_expired = true;
        self
    }

    /// Limits the content to `bytes`. A lower limit that was set before remains.
    #[must_use]
    pub const fn within(mut self, bytes: u64) -> Self {
        self.max_content_bytes = Some(lower(self.max_content_bytes, bytes));
        self
    }
}

impl CarriesContent for UpdateContent {
    fn content_fields(&self) -> Vec<ContentField<'_>> {
        let Self { thread, id: message, change, mode, expected: _, only_if_expired: _, max_content_bytes: _ } =
            self;
        let at = |value| ContentField { thread, message: Some(message), value };
        let mut content_fields = vec![at(match change {
            ContentChange::Replace(content) => FieldValue::Whole(content),
            ContentChange::Append(delta) => FieldValue::Delta(delta),
        })];
        match mode {
            UpdateMode::Abandon { reason } => {
                content_fields.extend(reason.as_deref().map(|reason| at(FieldValue::Reason(reason))));
            }
            UpdateMode::Partial | UpdateMode::Final | UpdateMode::Edit => {}
        }
        content_fields
    }

    fn content_fields_mut(&mut self) -> Vec<ContentFieldMut<'_>> {
        let Self { thread, id: message, change, mode, expected: _, only_if_expired: _, max_content_bytes: _ } =
            self;
        let (thread, message) = (&*thread, &*message);
        let at = |value| ContentFieldMut { thread, message: Some(message), value };
        let mut content_fields = vec![at(match change {
            ContentChange::Replace(content) => FieldValueMut::Whole(content),
            ContentChange::Append(delta) => FieldValueMut::Delta(delta),
        })];
        match mode {
            UpdateMode::Abandon { reason } => {
                content_fields.extend(reason.as_mut().map(|reason| at(FieldValueMut::Reason(reason))));
            }
            UpdateMode::Partial | UpdateMode::Final | UpdateMode::Edit => {}
        }
        content_fields
    }
}

super::addressed_by_fields!(UpdateContent, ContentUpdated);

/// The answer to [`UpdateContent`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ContentUpdated {
    /// The thread.
    pub thread: ThreadId,
    /// The message.
    pub id: MessageId,
    /// The revision after the change.
    pub revision: Revision,
    /// The state after the change.
    pub state: MessageState,
    /// Whether this answer replays an earlier call with the same idempotency key.
    pub deduplicated: bool,
}

carries_nothing!(ContentUpdated { thread: _, id: _, revision: _, state: _, deduplicated: _ });

/// The longest reason that does not count as content.
const SHORT_REASON: usize = 4096;

impl StatesFacts for UpdateContent {
    #[inline]
    fn facts(&self) -> Facts<'_> {
        let verbs: &[Verb] = match self.mode {
            UpdateMode::Edit => &[Verb::Edit],
            UpdateMode::Partial | UpdateMode::Final | UpdateMode::Abandon { .. } => &[Verb::Append],
        };
        let settles = matches!(self.mode, UpdateMode::Final | UpdateMode::Abandon { .. });
        let changes = !self.change.is_none();
        Facts {
            is_batchable: true,
            settles,
            grows: changes && !settles,
            brings_content: changes || self.mode.reason_len() > SHORT_REASON,
            ..Facts::needing(verbs)
        }
    }

    fn byte_len(&self) -> Option<usize> {
        let Self { thread, id, change, mode, expected: _, only_if_expired: _, max_content_bytes: _ } = self;
        let change = match change {
            ContentChange::Replace(content) => content.byte_len(),
            ContentChange::Append(delta) => delta.stored_len(),
        };
        Some(thread.as_str().len() + id.as_str().len() + change + mode.reason_len())
    }

    fn replayed(&self, stored: &Replay, _: &TenantId, _: &mut dyn LookUp) -> Result<PersistResult> {
        let Replay::UpdateContent { revision, state } = *stored else { return Err(Replay::misfit()) };
        let (thread, id) = (self.thread.clone(), self.id.clone());
        Ok(ContentUpdated { thread, id, revision, state, deduplicated: true }.into())
    }
}

impl AnswerFacts for ContentUpdated {
    deduplicated_by_field!();

    fn replay(&self) -> Option<Replay> {
        Some(Replay::UpdateContent { revision: self.revision, state: self.state })
    }

    fn revision(&self) -> Option<Revision> {
        Some(self.revision)
    }
}
