use throughline_core::{Seq, threads::Generation};

use super::ThreadKey;

/// Which messages a [`MessageRange`] contains.
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
    /// The oldest messages up to the floor, the oldest first, for their removal. Of a damaged row the source answers what it can read: its
    /// sequence number, its chunks and its attachments count. So no damage keeps a thread from being purged.
    Purgeable,
}

impl RangeKind {
    /// Whether a row that the store cannot read is left out, and is no error.
    #[must_use]
    pub const fn skips_damaged(self) -> bool {
        matches!(self, Self::Questions | Self::All)
    }
}

/// Messages of a thread that are found by their sequence numbers. Tombstones have none, and are in no range.
///
/// Skipped rows do not count for the limit: a source that answers fewer rows says that there are no more.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct MessageRange {
    /// The thread.
    pub thread: ThreadKey,
    /// Which messages.
    pub kind: RangeKind,
    /// The floor of the thread.
    pub floor: Seq,
    /// How many at most.
    pub limit: u64,
}

/// Rows that a purge removes once the messages are gone: aliases and sessions.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct LeftoverQuery {
    /// The thread.
    pub thread: ThreadKey,
    /// Aliases of generations before this one. None of a deleted thread: all its aliases, and all its sessions.
    pub below: Option<Generation>,
    /// The source counts no further.
    pub limit: u64,
}

/// The removal of the aliases of earlier generations of a thread; of a deleted thread, of all its aliases and sessions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeftoverPurge {
    /// The thread. Its staged row says the generation, and whether it is deleted.
    pub thread: ThreadKey,
    /// At most so many rows of each table. A source that counts no [leftovers](crate::RowSource::leftovers) removes all.
    pub limit: u64,
}
