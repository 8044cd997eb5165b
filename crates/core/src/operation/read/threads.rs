use serde::{Deserialize, Serialize};

use super::page;
use crate::{
    Labels, OwnerId, Position, Seq, ThreadId,
    message::{Generation, carries_nothing, carries_parts},
    operation::ReadPage,
    thread::{Keep, ThreadCursor, ThreadSummary},
};

/// Reads the entry of one thread; nothing where there is no such thread, or it was deleted. Shows threads that no list
/// shows yet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct GetThread {
    /// The thread.
    pub thread: ThreadId,
}

carries_nothing!(GetThread { thread: _ });

/// Lists threads of the tenant, by their activity, the latest first.
///
/// A thread is listed from its first settled message on. The cost is that of the page; of a list by owner or label, that of
/// the page as long as either few threads or a good part of all carry it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ListThreads {
    /// Only those of this owner.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<OwnerId>,
    /// Only those with all of these labels.
    #[serde(default, skip_serializing_if = "Labels::is_empty")]
    pub labels: Labels,
    /// Only those in the archive, only those outside it, or both.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub archived: Option<bool>,
    /// Where the page before ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<ThreadCursor>,
    /// How many at most: 1 to [`ReadPage::MAX_LIMIT`](crate::operation::ReadPage::MAX_LIMIT).
    pub limit: u32,
    /// How many bytes at most: 1 to [`ReadPage::MAX_BYTES`]. A list ends before the thread that would exceed
    /// them, and says where the next page begins; it shows at least one.
    #[serde(default = "page::default_bytes", skip_serializing_if = "page::is_default_bytes")]
    pub max_bytes: u32,
}

impl ListThreads {
    /// The first `limit` threads that are not in the archive.
    #[must_use]
    pub const fn new(limit: u32) -> Self {
        Self {
            owner: None,
            labels: Labels::new(),
            archived: Some(false),
            after: None,
            limit,
            max_bytes: ReadPage::DEFAULT_BYTES,
        }
    }

    /// Ends the answer at so many bytes.
    #[must_use]
    pub const fn with_max_bytes(mut self, max_bytes: u32) -> Self {
        self.max_bytes = max_bytes;
        self
    }

    /// Only those of this owner.
    #[must_use]
    pub fn of_owner(mut self, owner: OwnerId) -> Self {
        self.owner = Some(owner);
        self
    }

    /// Only those with all of these labels.
    #[must_use]
    pub fn with_labels(mut self, labels: Labels) -> Self {
        self.labels = labels;
        self
    }

    /// Only those in the archive.
    #[must_use]
    pub const fn archived(mut self) -> Self {
        self.archived = Some(true);
        self
    }

    /// Those in the archive too.
    #[must_use]
    pub const fn archived_too(mut self) -> Self {
        self.archived = None;
        self
    }

    /// Those after this place.
    #[must_use]
    pub fn after(mut self, cursor: ThreadCursor) -> Self {
        self.after = Some(cursor);
        self
    }

    /// Whether the list shows this thread, wherever it begins.
    #[must_use]
    pub fn shows(&self, entry: &ThreadSummary) -> bool {
        entry.listed
            && self.archived.is_none_or(|archived| archived == entry.archived)
            && self.owner.as_ref().is_none_or(|owner| entry.owner.as_ref() == Some(owner))
            && entry.labels.contains(&self.labels)
    }
}

carries_nothing!(ListThreads { owner: _, labels: _, archived: _, after: _, limit: _, max_bytes: _ });

/// The answer to [`ListThreads`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ThreadList {
    /// The threads, the latest active first.
    pub entries: Vec<ThreadSummary>,
    /// Threads that belong on this page and whose entry cannot be read. Nothing of their messages is lost by that:
    /// [`RebuildThread`](crate::operation::RebuildThread) makes the entry again. One whose id cannot be read is called `?`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub damaged: Vec<ThreadId>,
    /// Where the next page begins; nothing when this was the last one.
    pub next: Option<ThreadCursor>,
    /// The changes that the list holds: all up to this one. Whoever follows the changes after it misses none.
    pub position: Position,
}

carries_parts!(ThreadList, self => {
    let Self { entries, damaged: _, next: _, position: _ } = self;
    entries
}, {
    let Self { entries, damaged: _, next: _, position: _ } = self;
    entries
});

/// Finds out what a prune would take away, and takes nothing: how far it is to go so that the thread keeps no more than
/// `keep`. The plan never goes beyond the first open message. Costs a pass over what would go and over what `keep` counts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PlanPrune {
    /// The thread.
    pub thread: ThreadId,
    /// What is to stay. With several limits each of them holds.
    pub keep: Keep,
}

carries_nothing!(PlanPrune { thread: _, keep: _ });

/// The answer to [`PlanPrune`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PrunePlan {
    /// The thread.
    pub thread: ThreadId,
    /// Its generation.
    pub generation: Generation,
    /// The last place that would go; nothing when all may stay.
    pub through: Option<Seq>,
    /// How many messages would go, final or abandoned.
    pub messages: u64,
    /// The bytes of content that would go with them.
    pub bytes: u64,
}

carries_nothing!(PrunePlan { thread: _, generation: _, through: _, messages: _, bytes: _ });

/// Lists threads of the tenant that were cleared or deleted and still take up room: see
/// [`PurgeThread`](crate::operation::PurgeThread).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ListPurgeable {
    /// Those after this one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<ThreadId>,
    /// How many at most: 1 to [`ReadPage::MAX_LIMIT`](crate::operation::ReadPage::MAX_LIMIT).
    pub limit: u32,
}

carries_nothing!(ListPurgeable { after: _, limit: _ });

/// The answer to [`ListPurgeable`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PurgeableThreads {
    /// The threads, by the bytes of their ids.
    pub threads: Vec<ThreadId>,
}

carries_nothing!(PurgeableThreads { threads: _ });
