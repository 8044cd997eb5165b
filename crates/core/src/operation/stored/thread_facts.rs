use serde::{Deserialize, Serialize};

use super::ThreadCounters;
use crate::{
    Labels, Message, Metadata, OwnerId, Seq, TenantId, ThreadId, Timestamp, Title,
    message::Generation,
    operation::CreateThread,
    thread::{ForkPoint, ThreadSummary},
};

/// The stats that a store keeps for a thread summary: the values that the host set, and the [`ThreadCounters`].
///
/// ```
/// use throughline_core::{
///     NewThread, Seq, TenantId, Timestamp,
///     backend::ThreadStats,
///     threads::{CreateThread, Generation},
/// };
///
/// let create = CreateThread::new(NewThread::new().with_title("Trip to Lisbon".parse()?));
/// let facts = ThreadStats::created(&create, Timestamp::from_micros(7));
/// let entry = facts.entry(&TenantId::default(), &create.thread, Generation::FIRST, Seq::ZERO);
/// assert!(entry.title.as_str() == "Trip to Lisbon" && !entry.listed);
/// # Ok::<(), throughline_core::messages::InvalidTitle>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ThreadStats {
    /// The title.
    pub title: Title,
    /// The owner inside the tenant.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<OwnerId>,
    /// The labels of the host.
    pub labels: Labels,
    /// The metadata of the host.
    pub metadata: Metadata,
    /// Whether the thread is archived.
    pub archived: bool,
    /// Whether the thread is hidden from lists until it is published.
    pub hidden: bool,
    /// Whether the thread has or had a settled message.
    pub has_begun: bool,
    /// Whether the ids of deleted messages can be used again.
    #[serde(default)]
    pub reuses_ids: bool,
    /// The source of a fork.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub forked_from: Option<ForkPoint>,
    /// The time of creation.
    pub created_at: Timestamp,
    /// The time of the last change that the counters do not cover.
    pub changed_at: Timestamp,
    /// The counters of the messages.
    pub counters: ThreadCounters,
}

impl ThreadStats {
    /// Returns the stats of a thread that its first message creates.
    #[must_use]
    pub fn implied(created_at: Timestamp) -> Self {
        Self {
            title: Title::default(),
            owner: None,
            labels: Labels::new(),
            metadata: Metadata::new(),
            archived: false,
            hidden: false,
            has_begun: false,
            reuses_ids: false,
            forked_from: None,
            created_at,
            changed_at: created_at,
            counters: ThreadCounters::new(created_at),
        }
    }

    /// Returns the stats of a created thread. It is created at `now` unless the operation names another time.
    #[must_use]
    pub fn created(create: &CreateThread, now: Timestamp) -> Self {
        let CreateThread {
            thread: _,
            title,
            owner,
            labels,
            metadata,
            created_at,
            forked_from,
            hidden,
            reuses_ids,
        } = create;
        Self {
            title: title.clone(),
            owner: owner.clone(),
            labels: labels.clone(),
            metadata: metadata.clone(),
            hidden: *hidden,
            reuses_ids: *reuses_ids,
            forked_from: forked_from.clone(),
            ..Self::implied(created_at.unwrap_or(now))
        }
    }

    /// Whether lists show the thread.
    #[must_use]
    pub const fn is_listed(&self) -> bool {
        self.has_begun && !self.hidden
    }

    /// Publishes the thread, and returns whether it was hidden. Lists show it from then on, even without messages, because an
    /// imported thread can have lost its messages before.
    pub const fn publish(&mut self) -> bool {
        let was_hidden = self.hidden;
        if was_hidden {
            (self.hidden, self.has_begun) = (false, true);
        }
        was_hidden
    }

    /// Records the time of a change that the counters do not cover.
    pub fn changed(&mut self, now: Timestamp) {
        self.changed_at = self.changed_at.max(now);
    }

    /// Counts a message that was added or became settled.
    pub fn count(&mut self, message: &Message) {
        self.has_begun = true;
        self.counters.settled(message);
    }

    /// Returns the summary of the thread, with this generation and this last sequence number.
    #[must_use]
    pub fn entry(
        &self,
        tenant: &TenantId,
        thread: &ThreadId,
        generation: Generation,
        last_seq: Seq,
    ) -> ThreadSummary {
        let Self {
            title,
            owner,
            labels,
            metadata,
            archived,
            hidden: _,
            has_begun: _,
            reuses_ids,
            forked_from,
            created_at,
            changed_at,
            counters,
        } = self;
        let ThreadCounters { messages, turns, bytes, preview_seq: _, preview, active_at } = counters;
        ThreadSummary {
            tenant: tenant.clone(),
            thread: thread.clone(),
            title: title.clone(),
            owner: owner.clone(),
            labels: labels.clone(),
            metadata: metadata.clone(),
            archived: *archived,
            listed: self.is_listed(),
            reuses_ids: *reuses_ids,
            generation,
            last_seq,
            forked_from: forked_from.clone().map(Box::new),
            preview: preview.clone(),
            messages: *messages,
            turns: *turns,
            bytes: *bytes,
            created_at: *created_at,
            active_at: *active_at,
            updated_at: (*active_at).max(*changed_at),
        }
    }
}
