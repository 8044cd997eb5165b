use serde::{Deserialize, Serialize};

use crate::message::debug_without_text;
use crate::{
    Position, ThreadId,
    id::ConsumerName,
    message::{CarriesContent, ContentField, ContentFieldMut, FieldValue, FieldValueMut, carries_nothing},
};

/// Takes down that a consumer passed over a change, and why. A second time the later reason stands.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct QuarantineChange {
    /// Whose list.
    pub consumer: ConsumerName,
    /// The change.
    pub position: Position,
    /// The thread that it is about.
    pub thread: ThreadId,
    /// Why: what the consumer failed with, which may repeat content. At most [`MAX_WHY`](Self::MAX_WHY) bytes.
    pub why: String,
}

debug_without_text!(QuarantineChange { consumer, position, thread } unshown { why });

impl QuarantineChange {
    /// The longest reason, in bytes.
    pub const MAX_WHY: usize = 4096;

    /// For [`Persistence::on_consumer`](crate::Persistence::on_consumer).
    pub fn new(consumer: ConsumerName, position: Position, thread: ThreadId, why: impl Into<String>) -> Self {
        Self { consumer, position, thread, why: why.into() }
    }
}

impl CarriesContent for QuarantineChange {
    fn content_fields(&self) -> Vec<ContentField<'_>> {
        let Self { consumer: _, position: _, thread, why } = self;
        vec![ContentField { thread, message: None, value: FieldValue::Reason(why) }]
    }

    fn content_fields_mut(&mut self) -> Vec<ContentFieldMut<'_>> {
        let Self { consumer: _, position: _, thread, why } = self;
        vec![ContentFieldMut { thread, message: None, value: FieldValueMut::Reason(why) }]
    }
}

/// The answer to [`QuarantineChange`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ChangeQuarantined {
    /// Whose list.
    pub consumer: ConsumerName,
    /// The change.
    pub position: Position,
}

carries_nothing!(ChangeQuarantined { consumer: _, position: _ });

/// Takes a change off the list of those that a consumer passed over. It is not told again by that.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ReleaseChange {
    /// Whose list.
    pub consumer: ConsumerName,
    /// The change.
    pub position: Position,
}

carries_nothing!(ReleaseChange { consumer: _, position: _ });

/// The answer to [`ReleaseChange`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ChangeReleased {
    /// Whose list.
    pub consumer: ConsumerName,
    /// The change.
    pub position: Position,
    /// Whether it was on the list.
    pub was_listed: bool,
}

carries_nothing!(ChangeReleased { consumer: _, position: _, was_listed: _ });
