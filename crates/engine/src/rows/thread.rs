use serde::{Deserialize, Serialize};
use throughline_core::{
    Seq, TenantId, ThreadId, Timestamp,
    backend::ThreadStats,
    threads::{Generation, ThreadSummary},
};

/// The row of a thread, deleted or not.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ThreadRow {
    /// The last sequence number that the thread has assigned.
    pub last_seq: Seq,
    /// The last sequence number at the time of the last clear or deletion. Messages up to it are removed.
    pub floor: Seq,
    /// The generation: each clear starts the next one.
    pub generation: Generation,
    /// The number of messages, including open ones. `None` in a store that does not count them; the engine then looks them up.
    pub live: Option<u64>,
    /// The number of provider aliases that the thread has ever recorded. A store that numbers its alias rows itself can use 1 for
    /// any number.
    pub aliases: u64,
    /// The time of the last change of the latest removed message, or the time of creation.
    pub removed_at: Timestamp,
    /// The sequence number of the last removed final user message.
    pub removed_question: Option<Seq>,
    /// Whether the thread was deleted.
    pub deleted: bool,
    /// Whether a purge has rows to remove.
    pub purgeable: bool,
    /// The stats of the thread. `None` for a deleted thread, and for a damaged summary.
    pub summary: Option<ThreadStats>,
    /// Whether the order of the messages is damaged: `last_seq` is then unknown, and no write that needs it is decided.
    pub order_is_damaged: bool,
}

impl ThreadRow {
    /// Returns the row of a new thread.
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

    /// The summary of the thread. `None` for a deleted thread, and for a damaged summary.
    #[must_use]
    pub fn entry(&self, tenant: &TenantId, thread: &ThreadId) -> Option<ThreadSummary> {
        self.summary.as_ref().map(|summary| summary.entry(tenant, thread, self.generation, self.last_seq))
    }

    /// Counts an added message.
    pub(crate) fn add_live(&mut self) {
        self.live = self.live.map(|live| live + 1);
    }

    /// Counts a removed message.
    pub(crate) fn remove_live(&mut self) {
        self.live = self.live.map(|live| live.saturating_sub(1));
    }
}
