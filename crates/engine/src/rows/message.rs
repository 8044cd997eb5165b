use serde::{Deserialize, Serialize};
use throughline_core::{
    Content, Lease, Message, MessageId, MessageState, Metadata, Revision, Role, Seq, TenantId, ThreadId,
    Timestamp,
    backend::{Length, Tail},
    changes::ChangedMessage,
    ids::AttachmentKey,
};

/// A message without its content, or the tombstone of a deleted one.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct MessageRow {
    /// The sequence number. A tombstone has none.
    pub seq: Option<Seq>,
    /// The author of the message.
    pub role: Role,
    /// Where it is in its life.
    pub state: MessageState,
    /// The revision of the content.
    pub revision: Revision,
    /// The number of the last chunk that was written. Zero of a settled message.
    pub chunks: u64,
    /// The number of the first chunk that counts: a replacement of the content makes those before it obsolete.
    pub first_chunk: u64,
    /// The size of the content, and how it ends.
    pub length: Length,
    /// The lease of the writer of an open message.
    pub lease: Option<Lease>,
    /// When it was added.
    pub created_at: Timestamp,
    /// When it was last changed.
    pub updated_at: Timestamp,
    /// The facts of the host.
    pub metadata: Metadata,
    /// The names of its attachments.
    pub attachments: Vec<AttachmentKey>,
    /// Why it was abandoned.
    pub abandon_reason: Option<String>,
    /// The change event of its last change.
    pub last_change: LastChange,
}

/// The change event of the last change of a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum LastChange {
    /// A committed one: its position, as far as the store keeps it.
    Stored(u64),
    /// One of this transaction: its index in [`StagedRows::events`](crate::StagedRows::events).
    Staged(usize),
}

impl MessageRow {
    /// The row of this message.
    #[must_use]
    pub fn new(message: &Message, last_change: LastChange) -> Self {
        Self {
            seq: Some(message.seq),
            role: message.role,
            state: message.state,
            revision: message.revision,
            chunks: 0,
            first_chunk: 1,
            length: Length::settled(&message.content),
            lease: message.lease,
            created_at: message.created_at,
            updated_at: message.updated_at,
            metadata: message.metadata.clone(),
            attachments: message.attachments.clone(),
            abandon_reason: message.abandon_reason.clone(),
            last_change,
        }
    }

    /// What a deletion leaves: nothing that was said.
    #[must_use]
    pub fn tombstone(&self, last_change: LastChange) -> Self {
        Self {
            seq: None,
            chunks: 0,
            first_chunk: 1,
            length: Length { bytes: 0, tail: Tail::Nothing },
            lease: None,
            metadata: Metadata::new(),
            attachments: Vec::new(),
            abandon_reason: None,
            last_change,
            ..self.clone()
        }
    }

    /// Whether the message was deleted.
    #[must_use]
    pub const fn is_tombstone(&self) -> bool {
        self.seq.is_none()
    }

    /// Whether it is a question: a final message of the user.
    #[must_use]
    pub const fn is_question(&self) -> bool {
        matches!((self.role, self.state), (Role::User, MessageState::Final))
    }

    /// The message with this content.
    #[must_use]
    pub fn message(&self, tenant: &TenantId, thread: &ThreadId, id: &MessageId, content: Content) -> Message {
        Message {
            tenant: tenant.clone(),
            thread: thread.clone(),
            id: id.clone(),
            seq: self.seq.unwrap_or(Seq::ZERO),
            role: self.role,
            state: self.state,
            revision: self.revision,
            content,
            metadata: self.metadata.clone(),
            attachments: self.attachments.clone(),
            abandon_reason: self.abandon_reason.clone(),
            lease: self.lease,
            created_at: self.created_at,
            updated_at: self.updated_at,
        }
    }

    /// What a change event says of the message.
    pub(crate) fn changed(&self, id: &MessageId) -> ChangedMessage {
        ChangedMessage { id: id.clone(), seq: self.seq.unwrap_or(Seq::ZERO), revision: self.revision }
    }
}

/// The row of a message that the store cannot read. Nothing of it is verified. The engine repairs no row whose sequence number the thread
/// cannot have given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DamagedRow {
    /// The sequence number; zero where it cannot be read.
    pub seq: Seq,
    /// The revision.
    pub revision: Revision,
    /// The state, where it can be read.
    pub state: Option<MessageState>,
}
