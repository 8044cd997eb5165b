use serde::{Deserialize, Serialize};
use throughline_core::{
    Seq, TenantId, ThreadId, Timestamp,
    backend::ThreadStats,
    threads::{Generation, ThreadSummary},
};

/// A thread as a whole, deleted or not.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ThreadRow {
    /// The last sequence number that the thread has given.
    pub last_seq: Seq,
    /// Messages up to this sequence number were removed by a clear, or by the deletion of the thread.
    pub floor: Seq,
    /// How often the thread was begun: each clear begins another generation.
    pub generation: Generation,
    /// How many messages there are, open ones included. A store that does not count them says `None`; the engine then looks.
    pub live: Option<u64>,
    /// How many provider aliases the thread has ever recorded. A store that numbers its alias rows by itself may say 1 for any number.
    pub aliases: u64,
    /// When the latest removed message was last changed, or when the thread began.
    pub removed_at: Timestamp,
    /// The sequence number of the last removed message that was a question: a final message of the user.
    pub removed_question: Option<Seq>,
    /// Whether the thread was deleted.
    pub deleted: bool,
    /// Whether a purge has rows to remove.
    pub purgeable: bool,
    /// What lists show of the thread, and its counters. None of a deleted thread, and none where the store cannot read it.
    pub summary: Option<ThreadStats>,
    /// Whether the store cannot tell the order of the messages: `last_seq` is not known then, and nothing that needs it is decided.
    pub order_is_damaged: bool,
}

impl ThreadRow {
    /// The row of a thread that begins.
    #[must_use]
    pub const fn new(summary: ThreadStats) -> Self {
        Self {
            last_seq: Seq::ZERO,
            floor: Seq::ZERO,
            generation: Generation::FIRST,
            live: Some(0),
            aliases: 0,
            removed_at: summary.created_at,
            removed_question: None,
            deleted: false,
            purgeable: false,
            summary: Some(summary),
            order_is_damaged: false,
        }
    }

    /// The thread as lists show it. None of a deleted thread, and none where the summary cannot be read.
    #[must_use]
    pub fn entry(&self, tenant: &TenantId, thread: &ThreadId) -> Option<ThreadSummary> {
        self.summary.as_ref().map(|summary| summary.entry(tenant, thread, self.generation, self.last_seq))
    }

    /// Counts a message that was added.
    pub(crate) fn add_live(&mut self) {
        self.live = self.live.map(|live| live + 1);
    }

    /// Counts a message that was removed.
    pub(crate) fn remove_live(&mut self) {
        self.live = self.live.map(|live| live.saturating_sub(1));
    }
}
