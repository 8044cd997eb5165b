use serde::{Deserialize, Serialize};

use crate::{
    Delta, MessageId, MessageState, Revision, Seq, ThreadId,
    message::{ContentCursor, carries_content, carries_nothing},
    operation::{
        Addressed, ReadPage, Verb,
        facts::{AnswerFacts, Facts, Limits, Split, StatesFacts},
    },
};

/// A tail read: reads the content of a message that was appended after a cursor, in any state of the message.
///
/// A reader that starts without a cursor, and appends the [`parts`](ContentTail::parts) of each answer to a
/// [`ContentBuffer`](crate::messages::ContentBuffer), has the content of the message block by block, byte for byte. It begins
/// again with an empty buffer if an answer is [`replaced`](ContentTail::replaced).
///
/// # Cost
/// While the message is open, a read costs all bytes after the cursor, whatever the limit is: a store reads from the end back to
/// the cursor. So the reads of a reader that keeps up cost the bytes of the message once. A read of a settled message costs the bytes
/// of the message, whatever the cursor is. In both states n answers to a reader that is behind cost up to n times its content: read
/// it with few large limits.
///
/// # Errors
/// [`Invalid`](crate::ErrorKind::Invalid) for a limit that is out of range, and for a cursor after the end of the content or
/// inside of a character. [`Corrupt`](crate::ErrorKind::Corrupt) for a damaged message. A missing or deleted message is no error:
/// the answer is `None`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ReadContent {
    /// The thread.
    pub thread: ThreadId,
    /// The message.
    pub id: MessageId,
    /// The cursor of an earlier answer. `None` for the start of the content.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<ContentCursor>,
    /// The most bytes of content in the answer: 1 to [`ReadPage::MAX_BYTES`]. The answer has at least one part. Text is divided
    /// between characters; a block of another kind is never divided, and behind encryption the text of one write. A
    /// transform that restores text divides no text, so that its answer can be longer.
    #[serde(default = "super::page::default_bytes", skip_serializing_if = "super::page::is_default_bytes")]
    pub limit: u32,
}

impl ReadContent {
    /// Returns a read after this cursor, with a limit of [`ReadPage::DEFAULT_BYTES`].
    #[must_use]
    pub const fn new(thread: ThreadId, id: MessageId, after: Option<ContentCursor>) -> Self {
        Self { thread, id, after, limit: ReadPage::DEFAULT_BYTES }
    }

    /// Sets the most bytes of the answer.
    #[must_use]
    pub const fn with_limit(mut self, limit: u32) -> Self {
        self.limit = limit;
        self
    }
}

/// The answer to [`ReadContent`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ContentTail {
    /// The thread.
    pub thread: ThreadId,
    /// The message.
    pub id: MessageId,
    /// The sequence number of the message. In a thread that reuses ids, another one than before means a later message of the id.
    pub seq: Seq,
    /// The state of the message.
    pub state: MessageState,
    /// The revision of the message.
    pub revision: Revision,
    /// Whether the content was replaced since the cursor. Then the answer begins at the start of the new content.
    pub replaced: bool,
    /// The content after the cursor, as appends in their order.
    pub parts: Vec<Delta>,
    /// The cursor behind the parts.
    pub next: ContentCursor,
    /// Whether the message has more content at this moment.
    pub has_more: bool,
}

impl ContentTail {
    /// Whether the reader has the whole content of a settled message, so that only an edit can add to it.
    #[must_use]
    pub const fn is_complete(&self) -> bool {
        !self.has_more && !self.state.is_open()
    }
}

carries_nothing!(ReadContent { thread: _, id: _, after: _, limit: _ });

crate::operation::addressed_by_fields!(ReadContent);

impl StatesFacts for ReadContent {
    fn facts(&self) -> Facts<'_> {
        Facts {
            limits: Limits::page(1, self.limit),
            split_by_message: Split::Here,
            ..Facts::needing(&[Verb::Read])
        }
    }
}

carries_content!(
    ContentTail { thread, id, seq: _, state: _, revision: _, replaced: _, parts, next: _, has_more: _ } for (thread, id) =>
    [], each [Delta(parts)]
);

impl Addressed for Option<ContentTail> {
    fn thread(&self) -> Option<&ThreadId> {
        self.as_ref().map(|tail| &tail.thread)
    }

    fn message(&self) -> Option<&MessageId> {
        self.as_ref().map(|tail| &tail.id)
    }
}

impl AnswerFacts for Option<ContentTail> {}
