use std::fmt;

use serde::{Deserialize, Serialize};

use super::lower;
use crate::message::Length;
use crate::message::{
    CarriesContent, ContentField, ContentFieldMut, FieldValue, FieldValueMut, carries_content,
};
use crate::{Content, Delta, MessageId, MessageState, Revision, ThreadId};

/// What happens to the content.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum ContentChange {
    /// It becomes this.
    Replace(Content),
    /// This is added at its end. Costs what it appends, whatever the length of what is there.
    Append(Delta),
}

impl ContentChange {
    /// Leaves the content as it is.
    #[must_use]
    pub const fn none() -> Self {
        Self::Append(Delta::empty())
    }

    /// Whether the content stays as it is.
    #[must_use]
    pub fn is_none(&self) -> bool {
        matches!(self, Self::Append(delta) if delta.is_empty())
    }

    /// The bytes it carries.
    #[must_use]
    pub fn byte_len(&self) -> usize {
        match self {
            Self::Replace(content) => content.byte_len(),
            Self::Append(delta) => delta.byte_len(),
        }
    }
}

/// What the change means for the life of the message.
///
/// | mode | on an open message | on a final one | on an abandoned one |
/// |---|---|---|---|
/// | `Partial` | `Streaming`, lease renewed | refused: `Stale` | refused: `Stale` |
/// | `Final` | `Final` | refused: `Stale` | refused: `Stale` |
/// | `Abandon` | `Abandoned` | refused: `Stale` | refused: `Stale` |
/// | `Edit` | refused: `Conflict` | stays `Final` | refused: `Stale` |
///
/// A partial update that changes no content only renews the lease: state and revision stay. Every other one
/// raises the revision by one.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum UpdateMode {
    /// More will follow.
    Partial,
    /// The message is complete.
    Final,
    /// The writer gives up; what is committed stays.
    Abandon {
        /// Why, for people to read.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reason: Option<String>,
    },
    /// A complete message is corrected.
    Edit,
}

/// The reason shows as its length: it does not belong into logs.
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
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct UpdateContent {
    /// The thread.
    pub thread: ThreadId,
    /// The message.
    pub id: MessageId,
    /// What happens to the content.
    pub change: ContentChange,
    /// What it means for the life of the message.
    pub mode: UpdateMode,
    /// The revision that the caller saw; with another one in the store it is refused as
    /// [`Stale`](crate::ErrorKind::Stale).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expected: Option<Revision>,
    /// Only if the writer's lease has expired; refused as [`Conflict`](crate::ErrorKind::Conflict) otherwise.
    /// How a sweep settles what a crash left without touching a live writer.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub only_if_expired: bool,
    /// The most bytes of JSON that the content may have after the change, as the store keeps it; a change that exceeds it is
    /// refused as [`TooLarge`](crate::ErrorKind::TooLarge). It tightens the limit of the store and never widens it. A change of
    /// nothing is not measured: an end is not refused because of what the message has already.
    /// The layer `limits` sets it for appends.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_content_bytes: Option<u64>,
}

impl UpdateContent {
    /// A change of this message, whatever its revision.
    #[must_use]
    pub const fn new(thread: ThreadId, id: MessageId, change: ContentChange, mode: UpdateMode) -> Self {
        Self { thread, id, change, mode, expected: None, only_if_expired: false, max_content_bytes: None }
    }

    /// Refuses to run on another revision than this.
    #[must_use]
    pub const fn expecting(mut self, revision: Revision) -> Self {
        self.expected = Some(revision);
        self
    }

    /// Refuses to run while the lease of the message is alive.
    #[must_use]
    pub const fn only_if_expired(mut self) -> Self {
        self.only_if_expired = true;
        self
    }

    /// Refuses to run where the content would have more than `bytes` afterwards. An earlier, lower limit stays.
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
    /// Its revision after the change.
    pub revision: Revision,
    /// Its state after the change.
    pub state: MessageState,
    /// Whether an earlier call with the same idempotency key had made the change.
    pub deduplicated: bool,
}

carries_content!(
    ContentUpdated { thread, id, revision: _, state: _, deduplicated: _ } for (thread, id) => []
);
