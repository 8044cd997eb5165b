use serde::{Deserialize, Serialize};

use throughline_core::{Position, Seq, TenantId, ThreadId, threads::ThreadCursor};

/// How far a [`Rewrite`](super::Rewrite) is. It holds ids and no content.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RewriteCursor {
    pub(super) stage: Stage,
    /// The thread at hand, and the last message that was seen to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) within: Option<(ThreadId, Seq)>,
    /// Threads that are next.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) queue: Vec<ThreadId>,
    /// What had been changed when the list of threads was begun. A thread that is written to moves in the list, and may be
    /// missed there: it is among the changes after this one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) since: Option<Position>,
    /// What had been changed when the list of threads ended. Whoever was missed in the list was changed before; what comes after is
    /// under the present key, and there may be no end of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) until: Option<Position>,
}

/// What is gone through.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) enum Stage {
    /// Not begun.
    #[default]
    Start,
    /// The keys of threads, after the one of this thread.
    Keys(Option<(TenantId, ThreadId)>),
    /// The list of threads, after this one.
    Threads(Option<ThreadCursor>),
    /// The threads that were changed after this position.
    Changed(Position),
    /// The queue alone.
    Visit,
    /// Nothing more.
    Done,
}
