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
    /// The state of the message.
    pub state: MessageState,
    /// The revision of the content.
    pub revision: Revision,
    /// The number of the last written chunk. Zero for a settled message.
    pub chunks: u64,
    /// The number of the first valid chunk: a replacement of the content makes earlier chunks obsolete.
    pub first_chunk: u64,
    /// The size of the content, and the state of its end.
    pub length: Length,
    /// The lease of the writer of an open message.
    pub lease: Option<Lease>,
    /// The time of creation.
    pub created_at: Timestamp,
    /// The time of the last change.
    pub updated_at: Timestamp,
    /// The metadata of the host.
    pub metadata: Metadata,
    /// The keys of the attachments.
    pub attachments: Vec<AttachmentKey>,
    /// The reason of an abandoned message.
    pub abandon_reason: Option<String>,
    /// The change event of its last change.
    pub last_change: LastChange,
}

/// The change event of the last change of a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum LastChange {
    /// A committed event: its position, as far as the store keeps it.
    Stored(u64),
    /// An event of this transaction: its index in [`StagedRows::events`](crate::StagedRows::events).
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

    /// Returns the tombstone of the message, which has no content and no metadata.
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

    /// Whether it is a final user message.
    #[must_use]
    pub const fn is_question(&self) -> bool {
        matches!((self.role, self.state), (Role::User, MessageState::Final))
    }

    /// Returns the message with this content.
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

    /// Returns the part of a change event about the message.
    pub(crate) fn changed(&self, id: &MessageId) -> ChangedMessage {
        ChangedMessage { id: id.clone(), seq: self.seq.unwrap_or(Seq::ZERO), revision: self.revision }
    }
}

/// The readable fields of a damaged message row, all unverified. The engine does not repair a row with a sequence number that the
/// thread cannot have assigned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DamagedRow {
    /// The sequence number; zero if it is damaged.
    pub seq: Seq,
    /// The revision.
    pub revision: Revision,
    /// The state, if it is readable.
    pub state: Option<MessageState>,
}
