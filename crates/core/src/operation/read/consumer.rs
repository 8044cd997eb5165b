use serde::{Deserialize, Serialize};

use crate::message::debug_without_text;
use crate::{
    Position, ThreadId, Timestamp,
    id::ConsumerName,
    message::{CarriesContent, ContentField, ContentFieldMut, FieldValue, FieldValueMut, carries_nothing},
};

/// Reads how far a consumer has come.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct GetCursor {
    /// Whose cursor.
    pub consumer: ConsumerName,
}

carries_nothing!(GetCursor { consumer: _ });

/// The answer to [`GetCursor`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ConsumerCursor {
    /// Whose cursor.
    pub consumer: ConsumerName,
    /// Where it is: [`Position::ZERO`] where it has never been moved.
    pub position: Position,
    /// How many changes it has passed over, and stand on the list.
    pub quarantined: u64,
}

carries_nothing!(ConsumerCursor { consumer: _, position: _, quarantined: _ });

/// Lists the changes that a consumer has passed over, by their positions.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ListQuarantined {
    /// Whose list.
    pub consumer: ConsumerName,
    /// Only those after this one.
    pub after: Position,
    /// How many at most: 1 to [`ReadPage::MAX_LIMIT`](crate::operation::ReadPage::MAX_LIMIT).
    pub limit: u32,
}

impl ListQuarantined {
    /// The first `limit` of them.
    #[must_use]
    pub const fn new(consumer: ConsumerName, limit: u32) -> Self {
        Self { consumer, after: Position::ZERO, limit }
    }
}

carries_nothing!(ListQuarantined { consumer: _, after: _, limit: _ });

/// The answer to [`ListQuarantined`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct QuarantinedChanges {
    /// Whose list.
    pub consumer: ConsumerName,
    /// The changes, by position.
    pub changes: Vec<QuarantinedChange>,
    /// Whether there are more after the last of them.
    pub more: bool,
}

/// One change that a consumer has passed over.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct QuarantinedChange {
    /// The change.
    pub position: Position,
    /// The thread that it is about.
    pub thread: ThreadId,
    /// When it was passed over.
    pub at: Timestamp,
    /// Why.
    pub why: String,
}

debug_without_text!(QuarantinedChange { position, thread, at } unshown { why });

impl CarriesContent for QuarantinedChanges {
    fn content_fields(&self) -> Vec<ContentField<'_>> {
        fn field(change: &QuarantinedChange) -> ContentField<'_> {
            let QuarantinedChange { position: _, thread, at: _, why } = change;
            ContentField { thread, message: None, value: FieldValue::Reason(why) }
        }
        let Self { consumer: _, changes, more: _ } = self;
        changes.iter().map(field).collect()
    }

    fn content_fields_mut(&mut self) -> Vec<ContentFieldMut<'_>> {
        fn field(change: &mut QuarantinedChange) -> ContentFieldMut<'_> {
            let QuarantinedChange { position: _, thread, at: _, why } = change;
            ContentFieldMut { thread: &*thread, message: None, value: FieldValueMut::Reason(why) }
        }
        let Self { consumer: _, changes, more: _ } = self;
        changes.iter_mut().map(field).collect()
    }
}
