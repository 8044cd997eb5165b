use serde::Serialize;

use super::StreamCursor;
use crate::{
    Delta, Message, MessageId, MessageState, Revision, Seq, message::Generation, operation::DamagedMessage,
    thread::ThreadSummary,
};

/// An event of a [`ThreadStream`](super::ThreadStream), and the cursor from which another stream continues after it.
#[derive(Debug, Clone, PartialEq)]
pub struct StreamEvent {
    /// The cursor after this event.
    pub cursor: StreamCursor,
    /// The event.
    pub event: ThreadEvent,
}

/// A change of a thread, with the content that it brings.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub enum ThreadEvent {
    /// A complete message was added.
    Added(Box<Message>),
    /// A message was reserved. Its content is empty here; the events of its content follow.
    Reserved(Box<Message>),
    /// Content was appended to a message.
    Delta(AppendedContent),
    /// The content of a message begins again: discard what was shown of it. The first content of a message that the reader knows
    /// only from a page comes so too.
    Replaced(AppendedContent),
    /// A message became final. Its content is complete.
    Finished(EndedMessage),
    /// A message was abandoned. It keeps its content.
    Abandoned(EndedMessage),
    /// A final message was edited.
    Edited(Box<Message>),
    /// Metadata or attachments of a message were changed. Its content is empty here, and has not changed.
    Updated(Box<Message>),
    /// A message was deleted.
    Deleted(DeletedMessage),
    /// The thread was created, published, or changed in its title, labels, owner or archive flag.
    Thread(Box<ThreadSummary>),
    /// All messages up to a sequence number were deleted, and the next generation began.
    Cleared {
        /// The new generation.
        generation: Generation,
        /// The sequence number of the last deleted message.
        through: Seq,
    },
    /// All messages up to a sequence number were deleted.
    Pruned {
        /// The sequence number of the last deleted message.
        through: Seq,
    },
    /// The thread was deleted with all its messages.
    ThreadDeleted {},
    /// A message is damaged, and cannot be shown.
    Damaged(DamagedMessage),
    /// A change is damaged, or a newer version wrote it; or the thread that it changed cannot be read.
    Unreadable {
        /// The reason.
        why: String,
    },
}

impl ThreadEvent {
    /// The camelCase name of the event.
    #[must_use]
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Added(_) => "added",
            Self::Reserved(_) => "reserved",
            Self::Delta(_) => "delta",
            Self::Replaced(_) => "replaced",
            Self::Finished(_) => "finished",
            Self::Abandoned(_) => "abandoned",
            Self::Edited(_) => "edited",
            Self::Updated(_) => "updated",
            Self::Deleted(_) => "deleted",
            Self::Thread(_) => "thread",
            Self::Cleared { .. } => "cleared",
            Self::Pruned { .. } => "pruned",
            Self::ThreadDeleted {} => "threadDeleted",
            Self::Damaged(_) => "damaged",
            Self::Unreadable { .. } => "unreadable",
        }
    }
}

/// Content of a message, as appends in their order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct AppendedContent {
    /// The message.
    pub id: MessageId,
    /// The sequence number of the message.
    pub seq: Seq,
    /// The revision of the message.
    pub revision: Revision,
    /// The state of the message.
    pub state: MessageState,
    /// The appends.
    pub parts: Vec<Delta>,
}

/// A message that was settled.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct EndedMessage {
    /// The message.
    pub id: MessageId,
    /// The sequence number of the message.
    pub seq: Seq,
    /// The revision of the message.
    pub revision: Revision,
    /// The reason of an abandoned message.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// A message that was deleted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct DeletedMessage {
    /// The message.
    pub id: MessageId,
    /// The sequence number of the message.
    pub seq: Seq,
}
