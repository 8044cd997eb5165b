use serde::{Deserialize, Serialize};

use super::{DamagedMessage, page};
use crate::{
    Message, MessageId, Seq, ThreadId,
    message::{carries_nothing, carries_parts},
    operation::{
        Addressed, ReadPage, Verb,
        facts::{AnswerFacts, Facts, Limits, Split, StatesFacts},
    },
};

/// Lists the open messages of a thread, or of all threads of the tenant, with their committed content.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ListOpen {
    /// The thread. `None` for all threads of the tenant.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub thread: Option<ThreadId>,
    /// Whether to list only messages whose lease has expired.
    #[serde(default)]
    pub expired_only: bool,
    /// The end of the previous page. `None` for the first page.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<OpenCursor>,
    /// The most entries to return: 1 to [`ReadPage::MAX_LIMIT`](crate::operation::ReadPage::MAX_LIMIT).
    pub limit: u32,
    /// The most bytes of the answer: 1 to [`ReadPage::MAX_BYTES`]. A list ends before the message that would exceed them, but
    /// shows at least one message.
    #[serde(default = "page::default_bytes", skip_serializing_if = "page::is_default_bytes")]
    pub max_bytes: u32,
}

impl ListOpen {
    /// Returns a list of the first `limit` open messages of the tenant.
    #[must_use]
    pub const fn new(limit: u32) -> Self {
        Self { thread: None, expired_only: false, after: None, limit, max_bytes: ReadPage::DEFAULT_BYTES }
    }

    /// Sets the most bytes of the answer.
    #[must_use]
    pub const fn with_max_bytes(mut self, max_bytes: u32) -> Self {
        self.max_bytes = max_bytes;
        self
    }

    /// Lists only the messages of this thread.
    #[must_use]
    pub fn in_thread(mut self, thread: ThreadId) -> Self {
        self.thread = Some(thread);
        self
    }

    /// Lists only the messages whose lease has expired.
    #[must_use]
    pub const fn expired_only(mut self) -> Self {
        self.expired_only = true;
        self
    }
}

/// A cursor in a list of open messages. The list is ordered by thread (in the byte order of the ids) and by sequence number.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct OpenCursor {
    /// The thread of the last message on the page.
    pub thread: ThreadId,
    /// The sequence number of that message.
    pub seq: Seq,
}

/// The answer to [`ListOpen`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct OpenReservations {
    /// The open messages, by thread and sequence number.
    pub messages: Vec<Message>,
    /// The damaged open messages of this page, by thread and sequence number. Each counts for the limit.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub damaged: Vec<DamagedMessage>,
    /// The start of the next page. `None` after the last page.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<OpenCursor>,
}

carries_parts!(OpenReservations { messages, damaged: _, next: _ } => messages);

carries_nothing!(ListOpen { thread: _, expired_only: _, after: _, limit: _, max_bytes: _ });

impl Addressed for ListOpen {
    fn thread(&self) -> Option<&ThreadId> {
        self.thread.as_ref()
    }

    fn message(&self) -> Option<&MessageId> {
        None
    }
}

crate::operation::addresses_no_thread!(OpenReservations);

impl StatesFacts for ListOpen {
    fn facts(&self) -> Facts<'_> {
        Facts {
            limits: Limits::page(self.limit, self.max_bytes),
            split_by_message: Split::Here,
            split_by_thread: Split::Both,
            ..Facts::needing(&[Verb::Read])
        }
    }
}

impl AnswerFacts for OpenReservations {
    fn messages(&self) -> &[Message] {
        &self.messages
    }
}
