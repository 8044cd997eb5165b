use serde::{Deserialize, Serialize};

use crate::{
    Message, Seq, ThreadId,
    message::{CarriesContent, ContentField, ContentFieldMut, carries_nothing},
    operation::Deleted,
};

/// Deletes the last message of a thread in any state, and returns it. Both are one transaction, so that no write comes between.
/// In a thread without messages, the answer is empty. The store keeps a tombstone, as after [`Delete`](crate::operation::Delete).
///
/// ```no_run
/// use throughline_core::{NewMessage, Persistence};
///
/// # async fn example(db: Persistence) -> throughline_core::Result<()> {
/// let thread = db.thread("telegram:42");
/// if let Some(reply) = thread.take_last().await?.message {
///     println!("{} is asked for again", reply.id);
/// }
/// # Ok(())
/// # }
/// ```
///
/// Two callers that take the last message take two messages. A caller that means one message sets [`expecting`](Self::expecting).
///
/// # Errors
/// - [`NotFound`](crate::ErrorKind::NotFound) if the thread does not exist.
/// - [`Stale`](crate::ErrorKind::Stale) if [`expected`](Self::expected) does not match.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct TakeLastMessage {
    /// The thread.
    pub thread: ThreadId,
    /// The required sequence number of the last message. If another message is the last one, or there is none, the call fails as
    /// [`Stale`](crate::ErrorKind::Stale).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expected: Option<Seq>,
}

impl TakeLastMessage {
    /// Returns an operation that takes any last message.
    #[must_use]
    pub const fn new(thread: ThreadId) -> Self {
        Self { thread, expected: None }
    }

    /// Requires this sequence number of the last message.
    #[must_use]
    pub const fn expecting(mut self, seq: Seq) -> Self {
        self.expected = Some(seq);
        self
    }
}

carries_nothing!(TakeLastMessage { thread: _, expected: _ });

/// The answer to [`TakeLastMessage`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TakenMessage {
    /// The thread.
    pub thread: ThreadId,
    /// The facts of the deletion. `None` if the thread had no message.
    pub deleted: Option<Deleted>,
    /// The deleted message. `None` if the thread had no message, and in a replay, because the store keeps no copy of a deleted
    /// message. A caller that must not lose the content with a lost answer reads the message first, and then deletes it by id.
    pub message: Option<Message>,
    /// Whether this answer replays an earlier call with the same idempotency key.
    pub deduplicated: bool,
}

/// The facts of a deletion have no content.
impl CarriesContent for TakenMessage {
    fn content_fields(&self) -> Vec<ContentField<'_>> {
        let Self { thread: _, deleted: _, message, deduplicated: _ } = self;
        message.iter().flat_map(CarriesContent::content_fields).collect()
    }

    fn content_fields_mut(&mut self) -> Vec<ContentFieldMut<'_>> {
        let Self { thread: _, deleted: _, message, deduplicated: _ } = self;
        message.iter_mut().flat_map(CarriesContent::content_fields_mut).collect()
    }
}
