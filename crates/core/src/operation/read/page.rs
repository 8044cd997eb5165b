use serde::{Deserialize, Serialize};

use super::damaged::{self, DamagedMessage};
use crate::{
    Message, Position, Result, Seq, ThreadId,
    message::{carries_nothing, carries_parts},
    operation::{
        Verb,
        facts::{AnswerFacts, Facts, Limits, Split, StatesFacts},
    },
};

/// The start of a page, and its direction. Cursors are exclusive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum PageFrom {
    /// The oldest messages.
    Start,
    /// The oldest messages after this one.
    After(Seq),
    /// The latest messages.
    End,
    /// The latest messages before this one.
    Before(Seq),
}

impl PageFrom {
    /// Whether the read goes from older to newer messages.
    #[must_use]
    pub const fn is_forward(self) -> bool {
        matches!(self, Self::Start | Self::After(_))
    }
}

/// The states of the messages that a page shows.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Visibility {
    /// All messages.
    #[default]
    All,
    /// Final messages only, as for the history of a model.
    Final,
    /// Settled messages up to the first open one. A consumer needs this if its cursor must not pass a message that can still
    /// change.
    Settled,
}

/// Reads a page of a thread. The answer is always in the order of the thread, oldest first, also for a backward read ("the latest
/// 20, oldest first"). A thread without a write has no messages.
///
/// A page can be shorter than its limit although there is more: it ends at [`max_bytes`](Self::max_bytes), and a store can end it
/// earlier. Only [`Page::has_more`] states whether there is more.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ReadPage {
    /// The thread.
    pub thread: ThreadId,
    /// The start and the direction of the page.
    pub from: PageFrom,
    /// The most messages to return: 1 to [`ReadPage::MAX_LIMIT`].
    pub limit: u32,
    /// The states of the messages to return.
    #[serde(default)]
    pub visibility: Visibility,
    /// The most bytes of the answer: 1 to [`ReadPage::MAX_BYTES`]. A page ends before the message that would exceed them, but
    /// shows at least one message of any size.
    #[serde(default = "default_bytes", skip_serializing_if = "is_default_bytes")]
    pub max_bytes: u32,
}

/// The limit of a read that names none.
pub(super) const fn default_bytes() -> u32 {
    ReadPage::DEFAULT_BYTES
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde hands a reference")]
pub(super) const fn is_default_bytes(max_bytes: &u32) -> bool {
    *max_bytes == ReadPage::DEFAULT_BYTES
}

impl ReadPage {
    /// The most messages of one page: 1000.
    pub const MAX_LIMIT: u32 = 1000;
    /// The byte limit of a page or a list that names none: 8 MiB.
    pub const DEFAULT_BYTES: u32 = 8 << 20;
    /// The largest byte limit of a page or a list: 64 MiB.
    pub const MAX_BYTES: u32 = 64 << 20;

    /// Returns a read of messages in all states.
    #[must_use]
    pub const fn new(thread: ThreadId, from: PageFrom, limit: u32) -> Self {
        Self { thread, from, limit, visibility: Visibility::All, max_bytes: Self::DEFAULT_BYTES }
    }

    /// Sets the most bytes of the answer.
    #[must_use]
    pub const fn with_max_bytes(mut self, max_bytes: u32) -> Self {
        self.max_bytes = max_bytes;
        self
    }

    /// Sets the states of the messages to return.
    #[must_use]
    pub const fn showing(mut self, visibility: Visibility) -> Self {
        self.visibility = visibility;
        self
    }
}

/// The answer to [`ReadPage`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Page {
    /// The thread.
    pub thread: ThreadId,
    /// The messages, oldest first.
    pub messages: Vec<Message>,
    /// The damaged messages of this page, in the order of the thread. Each counts for the limit.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub damaged: Vec<DamagedMessage>,
    /// Whether there are more messages in the direction of the read. The length of the page does not state that, because a page
    /// can end at its byte limit.
    pub has_more: bool,
    /// The first open message of the thread. With [`Visibility::Settled`] the page shows nothing from this message on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first_open: Option<Seq>,
    /// The last sequence number that the thread has assigned, also if that message is deleted.
    /// [`NewMessage::after`](crate::NewMessage::after) compares with it. 0 before the first message.
    pub last_seq: Seq,
    /// The position of the last change of the thread that the page contains. A reader that continues with the changes after it
    /// misses none.
    pub position: Position,
}

impl Page {
    /// Returns the start of the next page in the same direction. `None` after the last page.
    #[must_use]
    pub fn next(&self, from: PageFrom) -> Option<PageFrom> {
        if !self.has_more {
            return None;
        }
        let healthy = self.messages.iter().map(|message| message.seq);
        let content_fields = healthy.chain(self.damaged.iter().filter_map(|damaged| damaged.seq));
        if from.is_forward() {
            content_fields.max().map(PageFrom::After)
        } else {
            content_fields.min().map(PageFrom::Before)
        }
    }

    /// Returns the messages if none of them is damaged.
    ///
    /// # Errors
    /// [`Corrupt`](crate::ErrorKind::Corrupt) with the id of the first damaged message.
    pub fn into_messages(self) -> Result<Vec<Message>> {
        damaged::all_of(self.messages, &self.damaged)
    }
}

carries_parts!(Page { thread: _, messages, damaged: _, has_more: _, first_open: _, last_seq: _, position: _ } => messages);

carries_nothing!(ReadPage { thread: _, from: _, limit: _, visibility: _, max_bytes: _ });

crate::operation::addressed_by_thread!(ReadPage, Page);

impl StatesFacts for ReadPage {
    fn facts(&self) -> Facts<'_> {
        Facts {
            limits: Limits::page(self.limit, self.max_bytes),
            split_by_message: Split::Here,
            ..Facts::needing(&[Verb::Read])
        }
    }
}

impl AnswerFacts for Page {
    fn messages(&self) -> &[Message] {
        &self.messages
    }
}
