use serde::{Deserialize, Serialize};

use crate::message::carries_content;
use crate::{MessageId, MessageState, Revision, Seq, ThreadId, id::AttachmentKey};

/// Deletes one message, in any state. A tombstone keeps its id dead: it can never name another message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Delete {
    /// The thread.
    pub thread: ThreadId,
    /// The message.
    pub id: MessageId,
    /// The revision that the caller saw; with another one in the store it is refused as
    /// [`Stale`](crate::ErrorKind::Stale).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expected: Option<Revision>,
    /// The last sequence number that the thread had given when the caller read it, as [`Page::last_seq`](crate::operation::Page::last_seq) says;
    /// when it has given another one since, the deletion is refused as [`Stale`](crate::ErrorKind::Stale).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<Seq>,
    /// Deletes only a message that the store cannot read: see [`damaged`](Self::damaged).
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub only_damaged: bool,
}

impl Delete {
    /// Deletes a message, whatever its revision.
    #[must_use]
    pub const fn new(thread: ThreadId, id: MessageId) -> Self {
        Self { thread, id, expected: None, after: None, only_damaged: false }
    }

    /// Deletes a message that the store answers [`Corrupt`](crate::ErrorKind::Corrupt) for, and that nothing else can change. Its id
    /// stays dead, and the store counts the messages of the thread again. The [`Deleted`] answer shows what the damaged row says,
    /// which is not verified, and no attachments.
    ///
    /// A message that has lost its sequence number, or that has one which the thread has not given, is refused as
    /// [`Corrupt`](crate::ErrorKind::Corrupt): its sequence number is not known.
    ///
    /// A message that can be read is refused as [`Conflict`](crate::ErrorKind::Conflict). To put the message back from a backup
    /// instead, import it with [`Import::restoring`](crate::operation::Import::restoring).
    #[must_use]
    pub const fn damaged(thread: ThreadId, id: MessageId) -> Self {
        Self { thread, id, expected: None, after: None, only_damaged: true }
    }

    /// Refuses to run on another revision than this.
    #[must_use]
    pub const fn expecting(mut self, revision: Revision) -> Self {
        self.expected = Some(revision);
        self
    }

    /// Refuses to run when the thread has given another sequence number since.
    #[must_use]
    pub const fn after(mut self, seq: Seq) -> Self {
        self.after = Some(seq);
        self
    }
}

carries_content!(Delete { thread, id, expected: _, after: _, only_damaged: _ } for (thread, id) => []);
super::addressed_by_fields!(Delete, Deleted);

/// The answer to [`Delete`]: what was removed, so that the caller can clean up what hangs on it. An index keeps
/// its entries under `(thread, id)` or `(thread, seq)`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Deleted {
    /// The thread.
    pub thread: ThreadId,
    /// The message.
    pub id: MessageId,
    /// The place it had.
    pub seq: Seq,
    /// The revision it had.
    pub revision: Revision,
    /// The state it was in.
    pub state: MessageState,
    /// The attachments that no message of this id holds any more.
    pub attachments: Vec<AttachmentKey>,
    /// Whether an earlier call with the same idempotency key had deleted it.
    pub deduplicated: bool,
}

carries_content!(
    Deleted { thread, id, seq: _, revision: _, state: _, attachments: _, deduplicated: _ } for (thread, id) => []
);
