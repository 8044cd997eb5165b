use serde::{Deserialize, Serialize};

use crate::{
    Position, ThreadId,
    id::ConsumerName,
    message::{carries_content, carries_nothing, debug_without_text},
    operation::{
        consumer::on_consumer,
        facts::{AnswerFacts, Facts, StatesFacts, consumer_by_field},
    },
};

/// Adds a change to the quarantine of a consumer, with a reason. A repeated call replaces the reason.
///
/// # Errors
/// [`TooLarge`](crate::ErrorKind::TooLarge) if the quarantine already has [`MAX_CHANGES`](Self::MAX_CHANGES) other changes. A
/// consumer that fails on so many changes is broken, and its cursor should not pass more of them.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct QuarantineChange {
    /// The consumer.
    pub consumer: ConsumerName,
    /// The position of the change.
    pub position: Position,
    /// The thread of the change.
    pub thread: ThreadId,
    /// The reason, which can repeat content. At most [`MAX_WHY`](Self::MAX_WHY) bytes.
    pub why: String,
}

debug_without_text!(QuarantineChange { consumer, position, thread } unshown { why });

impl QuarantineChange {
    /// The longest reason: 4096 bytes.
    pub const MAX_WHY: usize = 4096;

    /// The most changes in the quarantine of a consumer: 1000. A replica receives the quarantine of a consumer as one row image.
    pub const MAX_CHANGES: u64 = 1000;

    /// Returns the operation, for [`Persistence::on_consumer`](crate::Persistence::on_consumer).
    pub fn new(consumer: ConsumerName, position: Position, thread: ThreadId, why: impl Into<String>) -> Self {
        Self { consumer, position, thread, why: why.into() }
    }
}

carries_content!(QuarantineChange { consumer: _, position: _, thread, why } for (thread) => [Reason(why)]);

/// The answer to [`QuarantineChange`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ChangeQuarantined {
    /// The consumer.
    pub consumer: ConsumerName,
    /// The position of the change.
    pub position: Position,
}

carries_nothing!(ChangeQuarantined { consumer: _, position: _ });

/// Removes a change from the quarantine of a consumer. The consumer does not receive the change again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ReleaseChange {
    /// The consumer.
    pub consumer: ConsumerName,
    /// The position of the change.
    pub position: Position,
}

carries_nothing!(ReleaseChange { consumer: _, position: _ });

/// The answer to [`ReleaseChange`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ChangeReleased {
    /// The consumer.
    pub consumer: ConsumerName,
    /// The position of the change.
    pub position: Position,
    /// Whether the change was in the quarantine.
    pub was_listed: bool,
}

carries_nothing!(ChangeReleased { consumer: _, position: _, was_listed: _ });

// The thread of a quarantined change is only information for people, and no redirect uses it.
crate::operation::addresses_no_thread!(QuarantineChange, ChangeQuarantined, ReleaseChange, ChangeReleased);

impl StatesFacts for QuarantineChange {
    fn facts(&self) -> Facts<'_> {
        Facts { grows: true, ..on_consumer(&self.consumer) }
    }
}

impl AnswerFacts for ChangeQuarantined {
    consumer_by_field!();
}

impl StatesFacts for ReleaseChange {
    fn facts(&self) -> Facts<'_> {
        on_consumer(&self.consumer)
    }
}

impl AnswerFacts for ChangeReleased {
    consumer_by_field!();
}
