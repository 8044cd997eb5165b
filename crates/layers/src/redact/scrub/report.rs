use serde::{Deserialize, Serialize};

use crate::redact::Redactions;
use throughline_core::{ErrorKind, MessageId, ThreadId, messages::PageFrom, threads::ThreadCursor};

/// Where a [`Scrub`](super::Scrub) goes on. It can be kept, and gone on with by another process.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ScrubCursor {
    /// Behind which place of the list the next thread is; nothing at its beginning.
    pub(super) threads: Option<ThreadCursor>,
    /// Whether the list has been gone through.
    pub(super) listed_all: bool,
    /// The thread that is being gone through, and how far.
    pub(super) thread: Option<(ThreadId, PageFrom)>,
}

/// What a [`Scrub`](super::Scrub) came to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ScrubReport {
    /// What was found, by rule: hidden, or to be hidden where nothing was written.
    pub redactions: Redactions,
    /// How many messages and threads were looked at.
    pub looked_at: u64,
    /// How many of them were changed, or deleted; of a dry run, would be.
    pub changed: u64,
    /// What holds a secret and could not be changed.
    pub left: Vec<Left>,
    /// Where to go on; nothing at the end.
    pub next: Option<ScrubCursor>,
}

/// Something that holds a secret still.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Left {
    /// The thread.
    pub thread: ThreadId,
    /// The message; nothing where it is the thread itself.
    pub message: Option<MessageId>,
    /// Why it could not be changed.
    pub why: WhyLeft,
}

/// Why something is left as it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum WhyLeft {
    /// The message is being written: settle it, and scrub its thread again.
    Open,
    /// The message was abandoned, and its content and reason cannot be changed: it can only be
    /// [deleted](super::Scrub::deleting_abandoned).
    Abandoned,
    /// The change was refused like this: when it is `Stale`, somebody else changed it meanwhile.
    Refused(ErrorKind),
}

impl ScrubReport {
    /// Adds what a later step came to.
    pub(super) fn add(&mut self, step: Self) {
        self.redactions.add(&step.redactions);
        self.looked_at += step.looked_at;
        self.changed += step.changed;
        self.left.extend(step.left);
        self.next = step.next;
    }
}
