use serde::{Deserialize, Serialize};

use super::ThreadCounters;
use crate::{
    Labels, Message, Metadata, OwnerId, Seq, TenantId, ThreadId, Timestamp, Title,
    message::Generation,
    operation::CreateThread,
    thread::{ForkPoint, ThreadSummary},
};

/// What a store keeps of a thread for its entry: what the host said, and the [`ThreadCounters`] of its messages.
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
    /// What it is called.
    pub title: Title,
    /// Who it belongs to inside the tenant.
    pub owner: Option<OwnerId>,
    /// What the host says about it.
    pub labels: Labels,
    /// The host's own facts about it.
    pub metadata: Metadata,
    /// Whether it was put away.
    pub archived: bool,
    /// Whether it is kept out of lists until it is published.
    pub hidden: bool,
    /// Whether it has or had a settled message.
    pub has_begun: bool,
    /// Where it branched off.
    pub forked_from: Option<ForkPoint>,
    /// When it began.
    pub created_at: Timestamp,
    /// When anything was changed that its messages do not tell.
    pub changed_at: Timestamp,
    /// What follows from its messages.
    pub counters: ThreadCounters,
}

impl ThreadStats {
    /// Of a thread that begins with its first write.
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
            forked_from: None,
            created_at,
            changed_at: created_at,
            counters: ThreadCounters::new(created_at),
        }
    }

    /// Of a thread that is created, `now` unless the call says otherwise.
    #[must_use]
    pub fn created(create: &CreateThread, now: Timestamp) -> Self {
        let CreateThread { thread: _, title, owner, labels, metadata, created_at, forked_from, hidden } =
            create;
        Self {
            title: title.clone(),
            owner: owner.clone(),
            labels: labels.clone(),
            metadata: metadata.clone(),
            hidden: *hidden,
            forked_from: forked_from.clone(),
            ..Self::implied(created_at.unwrap_or(now))
        }
    }

    /// Whether lists show it.
    #[must_use]
    pub const fn is_listed(&self) -> bool {
        self.has_begun && !self.hidden
    }

    /// It is no longer hidden; answers whether it was. Lists show it from here on, with messages or without: what is brought over
    /// may have lost its messages before.
    pub const fn publish(&mut self) -> bool {
        let was_hidden = self.hidden;
        if was_hidden {
            (self.hidden, self.has_begun) = (false, true);
        }
        was_hidden
    }

    /// Something was changed that its messages do not tell.
    pub fn changed(&mut self, now: Timestamp) {
        self.changed_at = self.changed_at.max(now);
    }

    /// Counts a message that was added or became settled.
    pub fn count(&mut self, message: &Message) {
        self.has_begun = true;
        self.counters.settled(message);
    }

    /// The entry, of a thread in this generation that has given sequence numbers up to `last_seq`.
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
            generation,
            last_seq,
            forked_from: forked_from.clone(),
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
