use serde::{Deserialize, Serialize};

use crate::redact::Redactions;
use throughline_core::{ErrorKind, MessageId, ThreadId, messages::PageFrom, threads::ThreadCursor};

/// The position at which a [`Scrub`](super::Scrub) resumes. The host can keep it, and another process can use it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ScrubCursor {
    /// The position in the list after which the next thread is; none at the beginning.
    pub(super) threads: Option<ThreadCursor>,
    /// Whether the end of the list was reached.
    pub(super) listed_all: bool,
    /// The current thread, and the next page of it.
    pub(super) thread: Option<(ThreadId, PageFrom)>,
}

/// The result of a [`Scrub`](super::Scrub).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ScrubReport {
    /// The matches by rule: hidden, or only found in a dry run.
    pub redactions: Redactions,
    /// The number of visited messages and threads.
    pub looked_at: u64,
    /// The number of them that were changed or deleted; in a dry run, that would be.
    pub changed: u64,
    /// The messages and threads with a secret that could not be changed.
    pub left: Vec<Left>,
    /// The next cursor; none at the end.
    pub next: Option<ScrubCursor>,
}

/// A message or thread that still has a secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Left {
    /// The thread.
    pub thread: ThreadId,
    /// The message; none for the thread itself.
    pub message: Option<MessageId>,
    /// The reason why it was not changed.
    pub why: WhyLeft,
}

/// The reason why a message or thread was left unchanged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum WhyLeft {
    /// The message is open: settle it, and scrub its thread again.
    Open,
    /// The message is abandoned, so its content and reason cannot be changed: it can only be
    /// [deleted](super::Scrub::deleting_abandoned).
    Abandoned,
    /// The store refused the change with this kind; `Stale` means that another writer changed it meanwhile.
    Refused(ErrorKind),
}

impl ScrubReport {
    /// Adds the result of a later step.
    pub(super) fn add(&mut self, step: Self) {
        self.redactions.add(&step.redactions);
        self.looked_at += step.looked_at;
        self.changed += step.changed;
        self.left.extend(step.left);
        self.next = step.next;
    }
}
