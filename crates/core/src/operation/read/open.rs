use serde::{Deserialize, Serialize};

use super::{DamagedMessage, page};
use crate::{
    Message, Seq, ThreadId,
    message::{carries_nothing, carries_parts},
    operation::ReadPage,
};

/// Lists the open messages of a thread, or of every thread of the tenant, with what is committed of them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ListOpen {
    /// One thread, or all of the tenant's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub thread: Option<ThreadId>,
    /// Only those whose lease has expired.
    #[serde(default)]
    pub expired_only: bool,
    /// Where the page before ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<OpenCursor>,
    /// How many at most: 1 to [`ReadPage::MAX_LIMIT`](crate::operation::ReadPage::MAX_LIMIT).
    pub limit: u32,
    /// How many bytes at most: 1 to [`ReadPage::MAX_BYTES`]. A list ends before the message that would exceed
    /// them, and says where the next page begins; it shows at least one.
    #[serde(default = "page::default_bytes", skip_serializing_if = "page::is_default_bytes")]
    pub max_bytes: u32,
}

impl ListOpen {
    /// The first `limit` open messages of the tenant.
    #[must_use]
    pub const fn new(limit: u32) -> Self {
        Self { thread: None, expired_only: false, after: None, limit, max_bytes: ReadPage::DEFAULT_BYTES }
    }

    /// Ends the answer at so many bytes.
    #[must_use]
    pub const fn with_max_bytes(mut self, max_bytes: u32) -> Self {
        self.max_bytes = max_bytes;
        self
    }

    /// Of this thread only.
    #[must_use]
    pub fn in_thread(mut self, thread: ThreadId) -> Self {
        self.thread = Some(thread);
        self
    }

    /// Only those whose lease has expired.
    #[must_use]
    pub const fn expired_only(mut self) -> Self {
        self.expired_only = true;
        self
    }
}

/// A place in the list of open messages, which is ordered by thread (by the bytes of its id) and seq.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct OpenCursor {
    /// The thread of the last message shown.
    pub thread: ThreadId,
    /// Its place.
    pub seq: Seq,
}

/// The answer to [`ListOpen`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct OpenReservations {
    /// The open messages, by thread and seq.
    pub messages: Vec<Message>,
    /// Those of this stretch that are damaged, by thread and seq; each counts for the limit.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub damaged: Vec<DamagedMessage>,
    /// Where the next page begins; nothing when this was the last one.
    pub next: Option<OpenCursor>,
}

carries_parts!(OpenReservations, self => {
    let Self { messages, damaged: _, next: _ } = self;
    messages
}, {
    let Self { messages, damaged: _, next: _ } = self;
    messages
});

carries_nothing!(ListOpen { thread: _, expired_only: _, after: _, limit: _, max_bytes: _ });
