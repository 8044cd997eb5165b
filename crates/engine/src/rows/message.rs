use serde::{Deserialize, Serialize};
use throughline_core::{
    Content, Lease, Message, MessageId, MessageState, Metadata, Revision, Role, Seq, TenantId, ThreadId,
    Timestamp,
    backend::{Length, Tail},
    changes::ChangedMessage,
    ids::AttachmentKey,
};

use crate::read::ContentState;

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
    /// The revision of the content. That of a tombstone is the last one of its message.
    pub revision: Revision,
    /// The revision that last replaced the content; zero if nothing did. A tail read begins again after a replacement. A repair
    /// starts again at the first revision, so that after one this is a higher number.
    #[serde(default)]
    pub replaced: Revision,
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

/// The bits of the code of a [`Tail`].
const TAIL_BITS: u32 = 2;

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
            replaced: Revision::ZERO,
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

    /// The number that a store keeps for the end of the content and for [`replaced`](Self::replaced): the code of the tail in the
    /// two lowest bits, and the revision above them. The number of content that was never replaced is the code of its tail.
    #[must_use]
    pub fn tail_code(&self) -> i64 {
        let replaced = i64::try_from(self.replaced.get()).unwrap_or(i64::MAX >> TAIL_BITS);
        (replaced << TAIL_BITS) | self.length.tail.code()
    }

    /// Returns the tail and the revision of a [`tail_code`](Self::tail_code); `None` if no code is this number.
    #[must_use]
    pub fn from_tail_code(code: i64) -> Option<(Tail, Revision)> {
        let replaced = u64::try_from(code >> TAIL_BITS).ok()?;
        Some((Tail::from_code(code & ((1 << TAIL_BITS) - 1))?, Revision::new(replaced)))
    }

    /// Records that this revision replaced the content: by its number, or the next one that [`replaced`](Self::replaced) did not
    /// have.
    pub fn replace_content(&mut self) {
        self.replaced = self.revision.max(self.replaced.next());
    }

    /// Begins the revisions of a message whose id a deleted message had. Its cursors are of another replacement than those of the deleted
    /// message. `chunks` is the number of the last chunk that the transaction has staged or deleted under the id.
    pub(crate) fn begin_again(&mut self, chunks: u64) {
        self.replaced = self.revision;
        if self.state.is_open() {
            (self.chunks, self.first_chunk) = (chunks, chunks + 1);
        }
    }

    /// Returns the tombstone of the message, which has no content and no metadata. It keeps the last revision, counting replacements, so
    /// that no later message of the id repeats one.
    #[must_use]
    pub fn tombstone(&self, last_change: LastChange) -> Self {
        Self {
            seq: None,
            revision: self.revision.max(self.replaced),
            replaced: Revision::ZERO,
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

    /// The columns that a tail read needs.
    #[must_use]
    pub const fn content_state(&self) -> ContentState {
        ContentState {
            seq: match self.seq {
                Some(seq) => seq,
                None => Seq::ZERO,
            },
            state: self.state,
            revision: self.revision,
            replaced: self.replaced,
            length: self.length,
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
    /// The revision that last replaced the content, as [`MessageRow::replaced`]; zero if it is not readable.
    pub replaced: Revision,
    /// The state, if it is readable.
    pub state: Option<MessageState>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tail_codes_come_back() {
        let message = throughline_core::messages::Add::new(
            "t".parse().unwrap(),
            throughline_core::NewMessage::user("x"),
        );
        let message = message.to_message(&"a".parse().unwrap(), Seq::FIRST, Timestamp::from_micros(0));
        let mut row = MessageRow::new(&message, LastChange::Stored(1));
        for tail in [Tail::Nothing, Tail::Text, Tail::Block] {
            row.length.tail = tail;
            row.replaced = Revision::ZERO;
            assert_eq!(row.tail_code(), tail.code());
            for replaced in [0, 1, 7, (i64::MAX >> TAIL_BITS) as u64] {
                row.replaced = Revision::new(replaced);
                assert_eq!(MessageRow::from_tail_code(row.tail_code()), Some((tail, row.replaced)));
            }
        }
        for unknown in [3, 7, -1, i64::MIN] {
            assert_eq!(MessageRow::from_tail_code(unknown), None);
        }
    }
}
