use serde::{Deserialize, Serialize};

use crate::{
    Position, ThreadId, Timestamp,
    id::ConsumerName,
    message::{carries_content, carries_nothing, carries_parts, debug_without_text},
    operation::{
        consumer::on_consumer,
        facts::{AnswerFacts, Facts, Limits, StatesFacts, consumer_by_field},
    },
};

/// Reads the cursor of a consumer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct GetCursor {
    /// The consumer.
    pub consumer: ConsumerName,
}

carries_nothing!(GetCursor { consumer: _ });

/// The answer to [`GetCursor`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ConsumerCursor {
    /// The consumer.
    pub consumer: ConsumerName,
    /// The position of the cursor; [`Position::ZERO`] if it was never moved.
    pub position: Position,
    /// The number of changes in the quarantine.
    pub quarantined: u64,
}

carries_nothing!(ConsumerCursor { consumer: _, position: _, quarantined: _ });

/// Lists the quarantined changes of a consumer, by position.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ListQuarantined {
    /// The consumer.
    pub consumer: ConsumerName,
    /// Only the changes after this position.
    pub after: Position,
    /// The most entries to return: 1 to [`ReadPage::MAX_LIMIT`](crate::operation::ReadPage::MAX_LIMIT).
    pub limit: u32,
}

impl ListQuarantined {
    /// Returns a list of the first `limit` changes.
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
    /// The consumer.
    pub consumer: ConsumerName,
    /// The changes, by position.
    pub changes: Vec<QuarantinedChange>,
    /// Whether there are more changes after the last one.
    pub more: bool,
}

/// A quarantined change of a consumer.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct QuarantinedChange {
    /// The position of the change.
    pub position: Position,
    /// The thread of the change.
    pub thread: ThreadId,
    /// The time of the quarantine.
    pub at: Timestamp,
    /// The reason.
    pub why: String,
}

debug_without_text!(QuarantinedChange { position, thread, at } unshown { why });

carries_content!(QuarantinedChange { position: _, thread, at: _, why } for (thread) => [Reason(why)]);
carries_parts!(QuarantinedChanges { consumer: _, changes, more: _ } => changes);

crate::operation::addresses_no_thread!(GetCursor, ConsumerCursor, ListQuarantined, QuarantinedChanges);

impl StatesFacts for GetCursor {
    fn facts(&self) -> Facts<'_> {
        on_consumer(&self.consumer)
    }
}

impl AnswerFacts for ConsumerCursor {
    consumer_by_field!();
}

impl StatesFacts for ListQuarantined {
    fn facts(&self) -> Facts<'_> {
        Facts { limits: Limits::items(self.limit), ..on_consumer(&self.consumer) }
    }
}

impl AnswerFacts for QuarantinedChanges {
    consumer_by_field!();
}
