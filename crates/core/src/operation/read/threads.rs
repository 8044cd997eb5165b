use serde::{Deserialize, Serialize};

use super::page;
use crate::{
    Labels, MessageId, OwnerId, Position, Seq, ThreadId,
    message::{Generation, carries_nothing, carries_parts},
    operation::{
        Addressed, NO_PRUNE, ReadPage, Verb,
        facts::{AnswerFacts, Facts, Limits, Split, StatesFacts},
    },
    thread::{Keep, ThreadCursor, ThreadOrder, ThreadSummary},
};

/// Reads the summary of one thread, including a thread that is not listed yet. The answer is `None` if the thread does not exist
/// or was deleted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct GetThread {
    /// The thread.
    pub thread: ThreadId,
}

carries_nothing!(GetThread { thread: _ });

/// Lists the threads of the tenant: by their last activity, the latest first, or in another [order](Self::ordered_by).
///
/// A thread is listed from its first settled message on, or from its creation on with [`unlisted_too`](Self::unlisted_too). The
/// cost grows with the page size. A list by owner or label costs the same if few threads or a large part of all threads match.
///
/// ```
/// use throughline_core::threads::{ListThreads, ThreadOrder};
///
/// // The newest threads first, with those that were just created.
/// let list = ListThreads::new(50).ordered_by(ThreadOrder::NewestCreated).unlisted_too();
/// assert!(list.unlisted && list.order == ThreadOrder::NewestCreated);
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ListThreads {
    /// Only the threads of this owner.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<OwnerId>,
    /// Only the threads with all of these labels.
    #[serde(default, skip_serializing_if = "Labels::is_empty")]
    pub labels: Labels,
    /// Only archived threads (`true`), only others (`false`), or both (`None`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub archived: Option<bool>,
    /// Also the threads that have no settled message yet.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub unlisted: bool,
    /// The order.
    #[serde(default, skip_serializing_if = "ThreadOrder::is_default")]
    pub order: ThreadOrder,
    /// The end of the previous page, of a list in the same order. `None` for the first page.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<ThreadCursor>,
    /// The most entries to return: 1 to [`ReadPage::MAX_LIMIT`](crate::operation::ReadPage::MAX_LIMIT).
    pub limit: u32,
    /// The most bytes of the answer: 1 to [`ReadPage::MAX_BYTES`]. A list ends before the thread that would exceed them, but
    /// shows at least one thread.
    #[serde(default = "page::default_bytes", skip_serializing_if = "page::is_default_bytes")]
    pub max_bytes: u32,
}

impl ListThreads {
    /// Returns a list of the first `limit` threads that are not archived.
    #[must_use]
    pub const fn new(limit: u32) -> Self {
        Self {
            owner: None,
            labels: Labels::new(),
            archived: Some(false),
            unlisted: false,
            order: ThreadOrder::LatestActivity,
            after: None,
            limit,
            max_bytes: ReadPage::DEFAULT_BYTES,
        }
    }

    /// Sets the most bytes of the answer.
    #[must_use]
    pub const fn with_max_bytes(mut self, max_bytes: u32) -> Self {
        self.max_bytes = max_bytes;
        self
    }

    /// Lists only the threads of this owner.
    #[must_use]
    pub fn of_owner(mut self, owner: OwnerId) -> Self {
        self.owner = Some(owner);
        self
    }

    /// Lists only the threads with all of these labels.
    #[must_use]
    pub fn with_labels(mut self, labels: Labels) -> Self {
        self.labels = labels;
        self
    }

    /// Lists only archived threads.
    #[must_use]
    pub const fn archived(mut self) -> Self {
        self.archived = Some(true);
        self
    }

    /// Lists archived threads too.
    #[must_use]
    pub const fn archived_too(mut self) -> Self {
        self.archived = None;
        self
    }

    /// Lists the threads without a settled message too. A thread that was created
    /// [hidden](crate::NewThread::hidden) stays out until it is published.
    #[must_use]
    pub const fn unlisted_too(mut self) -> Self {
        self.unlisted = true;
        self
    }

    /// Lists the threads in this order. Both orders by the time of creation stay in place while threads are written to.
    #[must_use]
    pub const fn ordered_by(mut self, order: ThreadOrder) -> Self {
        self.order = order;
        self
    }

    /// Lists the threads after this cursor, which a list of the same order has returned. With a cursor of another order, the
    /// list fails as [`Invalid`](crate::ErrorKind::Invalid).
    #[must_use]
    pub fn after(mut self, cursor: ThreadCursor) -> Self {
        self.after = Some(cursor);
        self
    }

    /// Whether the filter of the list matches this thread. The cursor is not considered. A summary does not state whether the
    /// thread is hidden, and no list shows a hidden thread: the store omits it.
    #[must_use]
    pub fn shows(&self, entry: &ThreadSummary) -> bool {
        (entry.listed || self.unlisted)
            && self.archived.is_none_or(|archived| archived == entry.archived)
            && self.owner.as_ref().is_none_or(|owner| entry.owner.as_ref() == Some(owner))
            && entry.labels.contains(&self.labels)
    }
}

carries_nothing!(ListThreads {
    owner: _,
    labels: _,
    archived: _,
    unlisted: _,
    order: _,
    after: _,
    limit: _,
    max_bytes: _
});

/// The answer to [`ListThreads`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ThreadList {
    /// The threads, in the order of the list.
    pub threads: Vec<ThreadSummary>,
    /// The threads of this page whose summary is damaged. Their messages are not affected:
    /// [`RebuildThread`](crate::operation::RebuildThread) rebuilds the summary. A thread with a damaged id is `?`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub damaged: Vec<ThreadId>,
    /// The start of the next page. `None` after the last page.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<ThreadCursor>,
    /// The position of the last change that the list contains. A reader that continues with the changes after it misses none.
    pub position: Position,
}

carries_parts!(ThreadList { threads, damaged: _, next: _, position: _ } => threads);

/// Plans a prune without a change: finds the messages to delete so that the thread keeps at most `keep`. The plan never includes
/// the first open message or later ones. The cost grows with the messages to delete and with those that `keep` counts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PlanPrune {
    /// The thread.
    pub thread: ThreadId,
    /// The bounds of the prune. If several are set, all of them hold.
    pub keep: Keep,
}

carries_nothing!(PlanPrune { thread: _, keep: _ });

/// The answer to [`PlanPrune`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PrunePlan {
    /// The thread.
    pub thread: ThreadId,
    /// The generation of the thread.
    pub generation: Generation,
    /// The sequence number of the last message to delete. `None` if there is nothing to delete.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub through: Option<Seq>,
    /// The number of messages to delete, final or abandoned.
    pub messages: u64,
    /// The bytes of their content.
    pub bytes: u64,
}

carries_nothing!(PrunePlan { thread: _, generation: _, through: _, messages: _, bytes: _ });

/// Lists the threads of the tenant that were cleared or deleted and still use space: see
/// [`PurgeThread`](crate::operation::PurgeThread).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ListPurgeable {
    /// Only the threads after this one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<ThreadId>,
    /// The most entries to return: 1 to [`ReadPage::MAX_LIMIT`](crate::operation::ReadPage::MAX_LIMIT).
    pub limit: u32,
}

carries_nothing!(ListPurgeable { after: _, limit: _ });

/// The answer to [`ListPurgeable`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PurgeableThreads {
    /// The threads, in the byte order of their ids.
    pub threads: Vec<ThreadId>,
}

carries_nothing!(PurgeableThreads { threads: _ });

crate::operation::addressed_by_thread!(GetThread, PlanPrune, PrunePlan);
crate::operation::addresses_no_thread!(ListThreads, ThreadList, ListPurgeable, PurgeableThreads);

impl StatesFacts for GetThread {
    fn facts(&self) -> Facts<'_> {
        Facts { split_by_message: Split::Here, ..Facts::needing(&[Verb::Read]) }
    }
}

impl Addressed for Option<ThreadSummary> {
    fn thread(&self) -> Option<&ThreadId> {
        self.as_ref().map(|summary| &summary.thread)
    }

    fn message(&self) -> Option<&MessageId> {
        None
    }
}

impl AnswerFacts for Option<ThreadSummary> {
    fn summaries(&self) -> &[ThreadSummary] {
        self.as_slice()
    }
}

impl StatesFacts for ListThreads {
    fn facts(&self) -> Facts<'_> {
        Facts {
            limits: Limits::page(self.limit, self.max_bytes),
            split_by_message: Split::Here,
            split_by_thread: Split::Both,
            ..Facts::needing(&[Verb::Read])
        }
    }
}

impl AnswerFacts for ThreadList {
    fn summaries(&self) -> &[ThreadSummary] {
        &self.threads
    }
}

impl StatesFacts for PlanPrune {
    fn facts(&self) -> Facts<'_> {
        Facts { split_by_message: Split::Refused(NO_PRUNE), ..Facts::needing(&[Verb::Read]) }
    }
}

impl AnswerFacts for PrunePlan {}

impl StatesFacts for ListPurgeable {
    fn facts(&self) -> Facts<'_> {
        Facts {
            limits: Limits::items(self.limit),
            split_by_message: Split::Here,
            split_by_thread: Split::Both,
            ..Facts::needing(&[Verb::Read])
        }
    }
}

impl AnswerFacts for PurgeableThreads {}
