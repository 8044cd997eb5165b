use serde::{Deserialize, Serialize};

use throughline_core::{Position, Seq, TenantId, ThreadId, threads::ThreadCursor};

/// The progress of a [`Rewrite`](super::Rewrite). It holds ids and no content.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RewriteCursor {
    pub(super) stage: Stage,
    /// The current thread, and the last message that was processed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) within: Option<(ThreadId, Seq)>,
    /// The next threads.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) queue: Vec<ThreadId>,
    /// The position of the change feed when the list of threads was begun. A write moves a thread in the list, so that
    /// the list may miss it; the thread is then among the changes after this position.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) since: Option<Position>,
    /// The position of the change feed when the list of threads ended. All threads that the list missed changed before
    /// it. Later changes are under the current key, and may never end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) until: Option<Position>,
}

/// The stage of the pass.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) enum Stage {
    /// Not started.
    #[default]
    Start,
    /// The thread keys, after the key of this thread.
    Keys(Option<(TenantId, ThreadId)>),
    /// The list of threads, after this one.
    Threads(Option<ThreadCursor>),
    /// The threads that were changed after this position.
    Changed(Position),
    /// Only the threads of the queue.
    Visit,
    /// Finished.
    Done,
}
