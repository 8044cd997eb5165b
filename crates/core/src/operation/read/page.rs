use serde::{Deserialize, Serialize};

use super::damaged::{self, DamagedMessage};
use crate::{
    Message, Position, Result, Seq, ThreadId,
    message::{carries_nothing, carries_parts},
};

/// Where a page begins. Cursors are exclusive.
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
    /// Whether the page goes from older to newer messages.
    #[must_use]
    pub const fn is_forward(self) -> bool {
        matches!(self, Self::Start | Self::After(_))
    }
}

/// Which messages a page shows.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Visibility {
    /// Every message, with its state.
    #[default]
    All,
    /// Final messages only: the history for a model.
    Final,
    /// Settled messages, final or abandoned, up to the first open one: for a consumer whose cursor must not
    /// pass a message that may still change.
    Settled,
}

/// Reads a stretch of a thread. The answer is in the order of the thread, oldest first, also when it was read
/// backwards ("the latest 20, oldest first"). A thread that was never written to has no messages.
///
/// A page may be shorter than its limit although there is more: it ends at [`max_bytes`](Self::max_bytes), and a store may end one
/// earlier. Only [`Page::has_more`] says whether the thread goes on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ReadPage {
    /// The thread.
    pub thread: ThreadId,
    /// Where to begin.
    pub from: PageFrom,
    /// How many messages at most: 1 to [`ReadPage::MAX_LIMIT`].
    pub limit: u32,
    /// Which messages to show.
    #[serde(default)]
    pub visibility: Visibility,
    /// How many bytes at most: 1 to [`ReadPage::MAX_BYTES`]. A page ends before the message that would exceed them, and says that
    /// there is more; it shows at least one, whatever its size.
    #[serde(default = "default_bytes", skip_serializing_if = "is_default_bytes")]
    pub max_bytes: u32,
}

/// The bound of a read that names none.
pub(super) const fn default_bytes() -> u32 {
    ReadPage::DEFAULT_BYTES
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde hands a reference")]
pub(super) const fn is_default_bytes(max_bytes: &u32) -> bool {
    *max_bytes == ReadPage::DEFAULT_BYTES
}

impl ReadPage {
    /// The most messages of one page.
    pub const MAX_LIMIT: u32 = 1000;
    /// At so many bytes a page or a list ends that names no other bound: 8 MiB.
    pub const DEFAULT_BYTES: u32 = 8 << 20;
    /// The largest bound that a page or a list may name: 64 MiB.
    pub const MAX_BYTES: u32 = 64 << 20;

    /// A page of all messages.
    #[must_use]
    pub const fn new(thread: ThreadId, from: PageFrom, limit: u32) -> Self {
        Self { thread, from, limit, visibility: Visibility::All, max_bytes: Self::DEFAULT_BYTES }
    }

    /// Ends the answer at so many bytes.
    #[must_use]
    pub const fn with_max_bytes(mut self, max_bytes: u32) -> Self {
        self.max_bytes = max_bytes;
        self
    }

    /// Shows only these messages.
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
    /// The messages of this stretch that are damaged, in the order of the thread; each counts for the limit.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub damaged: Vec<DamagedMessage>,
    /// Whether there are more to show in the direction of the read. Only this says so: a page that is shorter than its limit may
    /// have ended at its bytes.
    pub has_more: bool,
    /// The first open message of the thread, where there is one. Under [`Visibility::Settled`] nothing from
    /// here on is shown.
    pub first_open: Option<Seq>,
    /// The last sequence number that the thread has ever given, also where the message is gone: what
    /// [`NewMessage::after`](crate::NewMessage::after) is compared with. 0 in a thread that was never written to.
    pub last_seq: Seq,
    /// The changes that the page holds: all of the thread up to this one. Whoever follows the changes after it misses none.
    pub position: Position,
}

impl Page {
    /// Where the next page in the same direction begins; nothing when this was the last one.
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

    /// The messages, for who cannot do without any of them.
    ///
    /// # Errors
    /// [`Corrupt`](crate::ErrorKind::Corrupt), naming the first message that is damaged.
    pub fn into_messages(self) -> Result<Vec<Message>> {
        damaged::all_of(self.messages, &self.damaged)
    }
}

carries_parts!(Page, self => {
    let Self { thread: _, messages, damaged: _, has_more: _, first_open: _, last_seq: _, position: _ } = self;
    messages
}, {
    let Self { thread: _, messages, damaged: _, has_more: _, first_open: _, last_seq: _, position: _ } = self;
    messages
});

carries_nothing!(ReadPage { thread: _, from: _, limit: _, visibility: _, max_bytes: _ });
