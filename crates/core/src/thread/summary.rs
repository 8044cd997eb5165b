use serde::{Deserialize, Serialize};

use super::Labels;
use crate::Title;
use crate::message::debug_without_text;
use crate::{
    MessageId, Metadata, OwnerId, Seq, TenantId, ThreadId, Timestamp,
    message::{CarriesContent, ContentField, ContentFieldMut, FieldValue, FieldValueMut, Generation},
};

/// A conversation as a list shows it.
///
/// Title, labels, owner, metadata and the archive are what the host said. The rest follows from the messages: a store keeps it up to
/// date with every commit, and [`RebuildThread`](crate::operation::RebuildThread) makes the same of the messages alone. Counts,
/// preview and activity are of messages that are settled; one that is still being written is in none of them.
///
/// Every field is public and the struct is exhaustive on purpose: a backend that builds an entry must be made to look
/// again when a field is added.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ThreadSummary {
    /// Whose conversation it is.
    pub tenant: TenantId,
    /// Its id.
    pub thread: ThreadId,
    /// What it is called.
    pub title: Title,
    /// Who it belongs to inside the tenant.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<OwnerId>,
    /// What the host says about it.
    #[serde(default, skip_serializing_if = "Labels::is_empty")]
    pub labels: Labels,
    /// The host's own facts about it.
    #[serde(default, skip_serializing_if = "Metadata::is_empty")]
    pub metadata: Metadata,
    /// Whether it was put away.
    pub archived: bool,
    /// Whether lists show it: from its first settled message on, and never while it is being imported.
    pub listed: bool,
    /// How often it was begun: 1, and one more each time that it is cleared.
    pub generation: Generation,
    /// The last sequence number that it has ever given, also where the message is gone: what
    /// [`NewMessage::after`](crate::NewMessage::after) is compared with. 0 before its first message.
    pub last_seq: Seq,
    /// Where it branched off, if it is a fork.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub forked_from: Option<ForkPoint>,
    /// The first [`ThreadSummary::PREVIEW_CHARS`] characters of the latest message of the user, if that has text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub preview: Option<String>,
    /// How many final messages it has.
    pub messages: u64,
    /// How many of them are the user's: each begins a turn.
    pub turns: u64,
    /// The bytes of content in its final messages.
    pub bytes: u64,
    /// The time at which it began.
    pub created_at: Timestamp,
    /// When one of its messages was last added, settled or changed; when it began, if none was. Lists are in this order.
    /// Never decreases.
    pub active_at: Timestamp,
    /// When anything of it was last changed. Never decreases.
    pub updated_at: Timestamp,
}

debug_without_text!(ThreadSummary { tenant, thread, title, owner, labels, metadata, archived, listed, generation, last_seq, forked_from, messages, turns, bytes, created_at, active_at, updated_at } unshown { preview });

impl ThreadSummary {
    /// How many characters a preview has at most.
    pub const PREVIEW_CHARS: usize = 80;
}

/// Where a fork branched off.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ForkPoint {
    /// The thread that it is a copy of.
    pub thread: ThreadId,
    /// The last message that was copied.
    pub message: MessageId,
}

/// A place in a list of threads, which is ordered by their activity, the latest first, and then by the bytes of their ids.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ThreadCursor {
    /// When the last thread shown was active.
    pub active_at: Timestamp,
    /// Its id.
    pub thread: ThreadId,
}

impl ThreadCursor {
    /// The place of `entry`.
    #[must_use]
    pub fn of(entry: &ThreadSummary) -> Self {
        Self { active_at: entry.active_at, thread: entry.thread.clone() }
    }

    /// Whether `other` stands after this place.
    #[must_use]
    pub fn is_before(&self, other: &Self) -> bool {
        (other.active_at, &self.thread) < (self.active_at, &other.thread)
    }
}

/// How far a prune is to go: see [`PlanPrune`](crate::operation::PlanPrune).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Keep {
    /// The latest so many final messages.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub messages: Option<u64>,
    /// The latest messages whose content has so many bytes together at most.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes: Option<u64>,
    /// Everything from the first message on that was created at this time or later.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<Timestamp>,
}

impl Keep {
    /// Everything.
    #[must_use]
    pub const fn everything() -> Self {
        Self { messages: None, bytes: None, since: None }
    }

    /// No more than the latest `count` final messages.
    #[must_use]
    pub const fn messages(mut self, count: u64) -> Self {
        self.messages = Some(count);
        self
    }

    /// No more than `bytes` of content.
    #[must_use]
    pub const fn bytes(mut self, bytes: u64) -> Self {
        self.bytes = Some(bytes);
        self
    }

    /// Nothing from before the first message that was created at `time` or later.
    #[must_use]
    pub const fn since(mut self, time: Timestamp) -> Self {
        self.since = Some(time);
        self
    }
}

impl CarriesContent for ThreadSummary {
    fn content_fields(&self) -> Vec<ContentField<'_>> {
        let Self {
            tenant: _,
            thread,
            title,
            owner: _,
            labels: _,
            metadata,
            archived: _,
            listed: _,
            generation: _,
            last_seq: _,
            forked_from: _,
            preview,
            messages: _,
            turns: _,
            bytes: _,
            created_at: _,
            active_at: _,
            updated_at: _,
        } = self;
        let at = |value| ContentField { thread, message: None, value };
        let mut content_fields = vec![at(FieldValue::Title(title)), at(FieldValue::Metadata(metadata))];
        content_fields.extend(preview.as_deref().map(|preview| at(FieldValue::Preview(preview))));
        content_fields
    }

    fn content_fields_mut(&mut self) -> Vec<ContentFieldMut<'_>> {
        let Self {
            tenant: _,
            thread,
            title,
            owner: _,
            labels: _,
            metadata,
            archived: _,
            listed: _,
            generation: _,
            last_seq: _,
            forked_from: _,
            preview,
            messages: _,
            turns: _,
            bytes: _,
            created_at: _,
            active_at: _,
            updated_at: _,
        } = self;
        let thread = &*thread;
        let at = |value| ContentFieldMut { thread, message: None, value };
        let mut content_fields = vec![at(FieldValueMut::Title(title)), at(FieldValueMut::Metadata(metadata))];
        content_fields.extend(preview.as_mut().map(|preview| at(FieldValueMut::Preview(preview))));
        content_fields
    }
}
