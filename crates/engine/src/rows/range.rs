use throughline_core::{Seq, threads::Generation};

use super::ThreadKey;

/// The messages of a [`MessageRange`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RangeKind {
    /// The latest final messages of the user above the floor, the latest first. Damaged rows are skipped.
    Questions,
    /// The oldest messages above the floor, the oldest first. A damaged row is an error.
    Oldest,
    /// The latest messages above the floor, the latest first. A damaged row is an error.
    Latest,
    /// The oldest open messages above the floor, the oldest first. A damaged row is an error.
    Open,
    /// Every message above the floor, the oldest first. Damaged rows are skipped.
    All,
    /// The oldest messages up to the floor, the oldest first, for their removal. For a damaged row, the source returns the
    /// readable fields; its sequence number, chunks and attachments matter. Damage therefore never blocks a purge.
    Purgeable,
}

impl RangeKind {
    /// Whether a damaged row is skipped instead of being an error.
    #[must_use]
    pub const fn skips_damaged(self) -> bool {
        matches!(self, Self::Questions | Self::All)
    }
}

/// Messages of a thread in the order of their sequence numbers. Tombstones have none, and are in no range.
///
/// Skipped rows do not count for the limit: if a source returns fewer rows, there are no more.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct MessageRange {
    /// The thread.
    pub thread: ThreadKey,
    /// The kind of the range.
    pub kind: RangeKind,
    /// The floor of the thread.
    pub floor: Seq,
    /// The most messages to return.
    pub limit: u64,
}

/// Rows that a purge removes once the messages are gone: aliases and sessions.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct LeftoverQuery {
    /// The thread.
    pub thread: ThreadKey,
    /// Only aliases of generations before this one. `None` for a deleted thread: all its aliases and all its sessions.
    pub below: Option<Generation>,
    /// The number at which the source stops counting.
    pub limit: u64,
}

/// The removal of the aliases of earlier generations of a thread; for a deleted thread, of all its aliases and sessions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeftoverPurge {
    /// The thread. Its staged row has the generation and the deleted flag.
    pub thread: ThreadKey,
    /// The most rows of each table. A source that does not count [leftovers](crate::RowSource::leftovers) removes all.
    pub limit: u64,
}
