use serde::{Deserialize, Serialize};

use crate::{
    Message, Seq, ThreadId,
    message::{CarriesContent, ContentField, ContentFieldMut, carries_nothing},
    operation::Deleted,
};

/// Deletes the last message of a thread, in any state, and answers it whole: one write, so that nothing comes between reading the
/// message and deleting it. A thread without messages answers that there is none; an unknown thread is
/// [`NotFound`](crate::ErrorKind::NotFound).
///
/// Its id stays dead, as after [`Delete`](crate::operation::Delete).
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
/// Two callers that take the last message take two messages. A caller who means a certain one says so by
/// [`expecting`](Self::expecting).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct TakeLastMessage {
    /// The thread.
    pub thread: ThreadId,
    /// The sequence number of the last message that the caller saw. Where another message is the last by now, or none is, it is
    /// refused as [`Stale`](crate::ErrorKind::Stale).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expected: Option<Seq>,
}

impl TakeLastMessage {
    /// Takes the last message, whichever it is.
    #[must_use]
    pub const fn new(thread: ThreadId) -> Self {
        Self { thread, expected: None }
    }

    /// Only if the last message has this sequence number.
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
    /// What was deleted; nothing where the thread had no message.
    pub deleted: Option<Deleted>,
    /// The message as it was. Nothing where `deleted` is nothing, and nothing in the answer to a repeated call with the same
    /// idempotency key: no copy of a deleted message is kept. A caller who must not lose the content to a lost answer reads the
    /// message first and deletes it by its id.
    pub message: Option<Message>,
    /// Whether an earlier call with the same idempotency key had taken it.
    pub deduplicated: bool,
}

/// What was deleted carries no content.
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
