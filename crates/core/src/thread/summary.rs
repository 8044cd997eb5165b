use serde::{Deserialize, Serialize};

use super::Labels;
use crate::Title;
use crate::message::debug_without_text;
use crate::{
    MessageId, Metadata, OwnerId, Seq, TenantId, ThreadId, Timestamp,
    message::{Generation, carries_content},
};

/// The row of a thread in lists.
///
/// The host sets the title, the labels, the owner, the metadata and the archive flag. The store computes the other values from
/// the messages with every commit; [`RebuildThread`](crate::operation::RebuildThread) recomputes them. Counters, preview and
/// activity cover settled messages only.
///
/// Every field is public and the struct is exhaustive on purpose, so that a backend that builds a summary must consider a new
/// field.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ThreadSummary {
    /// The tenant of the thread.
    pub tenant: TenantId,
    /// The id of the thread.
    pub thread: ThreadId,
    /// The title.
    pub title: Title,
    /// The owner inside the tenant.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<OwnerId>,
    /// The labels of the host.
    #[serde(default, skip_serializing_if = "Labels::is_empty")]
    pub labels: Labels,
    /// The metadata of the host.
    #[serde(default, skip_serializing_if = "Metadata::is_empty")]
    pub metadata: Metadata,
    /// Whether the thread is archived.
    pub archived: bool,
    /// Whether lists show the thread: from its first settled message on, but not while it is hidden.
    pub listed: bool,
    /// Whether the ids of deleted messages can be used again: see [`CreateThread::reuses_ids`](crate::operation::CreateThread::reuses_ids).
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub reuses_ids: bool,
    /// The generation, from 1. Each clear increases it.
    pub generation: Generation,
    /// The last sequence number that the thread has assigned, also if that message is deleted.
    /// [`NewMessage::after`](crate::NewMessage::after) compares with it. 0 before the first message.
    pub last_seq: Seq,
    /// The source of a fork. Few threads have one, and the box keeps the summaries of the others small.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub forked_from: Option<Box<ForkPoint>>,
    /// The first [`ThreadSummary::PREVIEW_CHARS`] characters of the latest user message, if it has text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub preview: Option<String>,
    /// The number of final messages.
    pub messages: u64,
    /// The number of final user messages, each of which begins a turn.
    pub turns: u64,
    /// The bytes of content in final messages.
    pub bytes: u64,
    /// The time of creation.
    pub created_at: Timestamp,
    /// The time at which a message was last added, settled or changed; the time of creation before that. Lists are in this order
    /// by default. It never decreases.
    pub active_at: Timestamp,
    /// The time of the last change of the thread or its messages. It never decreases.
    pub updated_at: Timestamp,
}

debug_without_text!(ThreadSummary { tenant, thread, title, owner, labels, metadata, archived, listed, reuses_ids, generation, last_seq, forked_from, messages, turns, bytes, created_at, active_at, updated_at } unshown { preview });

impl ThreadSummary {
    /// The most characters of a preview: 80.
    pub const PREVIEW_CHARS: usize = 80;
}

/// The source of a fork.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ForkPoint {
    /// The thread that was copied.
    pub thread: ThreadId,
    /// The last message that was copied.
    pub message: MessageId,
}

/// The bounds of a prune: see [`PlanPrune`](crate::operation::PlanPrune).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Keep {
    /// The most final messages to keep, counted from the latest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub messages: Option<u64>,
    /// The most bytes of content to keep, counted from the latest message.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes: Option<u64>,
    /// Keeps all messages from the first one that was created at this time or later.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<Timestamp>,
}

impl Keep {
    /// Keeps all messages.
    #[must_use]
    pub const fn everything() -> Self {
        Self { messages: None, bytes: None, since: None }
    }

    /// Keeps at most the latest `count` final messages.
    #[must_use]
    pub const fn messages(mut self, count: u64) -> Self {
        self.messages = Some(count);
        self
    }

    /// Keeps at most `bytes` of content.
    #[must_use]
    pub const fn bytes(mut self, bytes: u64) -> Self {
        self.bytes = Some(bytes);
        self
    }

    /// Deletes the messages before the first one that was created at `time` or later.
    #[must_use]
    pub const fn since(mut self, time: Timestamp) -> Self {
        self.since = Some(time);
        self
    }
}

carries_content!(
    ThreadSummary {
        tenant: _, thread, title, owner: _, labels: _, metadata, archived: _, listed: _, reuses_ids: _, generation: _, last_seq: _,
        forked_from: _, preview, messages: _, turns: _, bytes: _, created_at: _, active_at: _, updated_at: _
    }
    for (thread) => [Title(title), Metadata(metadata)], each [Preview(preview)]
);
