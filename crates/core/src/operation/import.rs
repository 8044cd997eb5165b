use serde::{Deserialize, Serialize};

use super::{Addressed, nullable::present};
use crate::message::debug_without_text;
use crate::message::{
    CarriesContent, ContentField, ContentFieldMut, FieldValue, FieldValueMut, carries_nothing,
};
use crate::{
    Content, Message, MessageId, MessageState, Metadata, Revision, Role, Seq, TenantId, ThreadId, Timestamp,
    id::AttachmentKey, operation::Origin,
};

/// Brings messages into a thread that were written elsewhere: from another store, from a file, from the thread that this
/// one is a fork of. They keep their ids and their times, and come in the order of the list.
///
/// A message whose id the thread has already is left alone, and so is one whose id is dead: the answer says what became of
/// each. So an import can be made again from its beginning after a failure, and only what is missing is added. All that is
/// added is added in one commit.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Import {
    /// The thread; it exists from its first write.
    pub thread: ThreadId,
    /// The messages: 1 to [`Import::MAX_ROWS`].
    pub rows: Vec<ImportRow>,
    /// Overwrites damaged messages: see [`restoring`](Self::restoring).
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub restores_damaged: bool,
    /// Whether a fork makes it of messages that the store has. Not on the wire: a host cannot be told so from outside.
    #[serde(skip)]
    pub(crate) is_copy: bool,
}

impl Import {
    /// The most messages of one call.
    pub const MAX_ROWS: usize = 500;

    /// Brings these messages into `thread`.
    #[must_use]
    pub const fn new(thread: ThreadId, rows: Vec<ImportRow>) -> Self {
        Self { thread, rows, restores_damaged: false, is_copy: false }
    }

    /// Copies messages that the store has, for a fork.
    pub(crate) const fn copying(thread: ThreadId, rows: Vec<ImportRow>) -> Self {
        Self { thread, rows, restores_damaged: false, is_copy: true }
    }

    /// Whether a fork copies messages that the store has already. No limit of size refuses it: what was stored before a limit
    /// was lowered, or by a host without one, can still be forked.
    #[must_use]
    pub const fn is_copy(&self) -> bool {
        self.is_copy
    }

    /// Brings these messages into `thread`, each in place of the message of its id where the store cannot read that one: a repair
    /// from a backup. A restored message keeps its sequence number, and its revision is the first again. A message that can be read is
    /// left alone, as by every import.
    ///
    /// Without this, an import that meets a damaged message of one of its ids is refused as
    /// [`Corrupt`](crate::ErrorKind::Corrupt). So is a repair of a message that has lost its sequence number, or that has one which the
    /// thread has not given.
    #[must_use]
    pub const fn restoring(thread: ThreadId, rows: Vec<ImportRow>) -> Self {
        Self { thread, rows, restores_damaged: true, is_copy: false }
    }
}

/// A settled message to be imported.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ImportRow {
    /// Its id.
    pub id: MessageId,
    /// Who said it.
    pub role: Role,
    /// The blocks.
    pub content: Content,
    /// The host's facts.
    #[serde(default)]
    pub metadata: Metadata,
    /// Names of its attachments.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub attachments: Vec<AttachmentKey>,
    /// It was abandoned, for this reason where one is known; otherwise it is final.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    pub abandoned: Option<Option<String>>,
    /// What its provider calls it, for [`ResolveId`](crate::operation::ResolveId) to find it by.
    #[serde(default, skip_serializing_if = "Origin::is_empty")]
    pub origin: Origin,
    /// When it was first written.
    pub created_at: Timestamp,
    /// When it was last changed; not before it was written.
    pub updated_at: Timestamp,
}

debug_without_text!(ImportRow { id, role, content, metadata, attachments, origin, created_at, updated_at } unshown { abandoned });

impl ImportRow {
    /// A final message of this id, without metadata, written and last changed at this time.
    #[must_use]
    pub const fn new(id: MessageId, role: Role, content: Content, created_at: Timestamp) -> Self {
        Self {
            id,
            role,
            content,
            metadata: Metadata::new(),
            attachments: Vec::new(),
            abandoned: None,
            origin: Origin::new(),
            created_at,
            updated_at: created_at,
        }
    }

    /// Says what its provider calls it.
    #[must_use]
    pub fn with_origin(mut self, origin: Origin) -> Self {
        self.origin = origin;
        self
    }

    /// The same message as `message`, where that is settled; of no origin.
    #[must_use]
    pub fn of(message: Message) -> Option<Self> {
        let abandoned = match message.state {
            MessageState::Final => None,
            MessageState::Abandoned => Some(message.abandon_reason),
            MessageState::Reserved | MessageState::Streaming => return None,
        };
        let Message { id, role, content, metadata, attachments, created_at, updated_at, .. } = message;
        let origin = Origin::new();
        Some(Self { id, role, content, metadata, attachments, abandoned, origin, created_at, updated_at })
    }

    /// Whether a message of this id is the same one, whenever it was written: who said it, what, and how it ended, with the same
    /// facts and attachments.
    #[must_use]
    pub fn is_same_as(&self, message: &Message) -> bool {
        let Self {
            id,
            role,
            content,
            metadata,
            attachments,
            abandoned,
            origin: _,
            created_at: _,
            updated_at: _,
        } = self;
        let state = if abandoned.is_some() { MessageState::Abandoned } else { MessageState::Final };
        (id, *role, content, state) == (&message.id, message.role, &message.content, message.state)
            && (metadata, attachments) == (&message.metadata, &message.attachments)
            && abandoned.as_ref().and_then(Option::as_ref) == message.abandon_reason.as_ref()
    }

    /// The message as a store keeps it, at this place of `thread`.
    #[must_use]
    pub fn to_message(&self, tenant: &TenantId, thread: &ThreadId, seq: Seq) -> Message {
        let Self { id, role, content, metadata, attachments, abandoned, origin: _, created_at, updated_at } =
            self;
        Message {
            tenant: tenant.clone(),
            thread: thread.clone(),
            id: id.clone(),
            seq,
            role: *role,
            state: if abandoned.is_some() { MessageState::Abandoned } else { MessageState::Final },
            revision: Revision::FIRST,
            content: content.clone(),
            metadata: metadata.clone(),
            attachments: attachments.clone(),
            abandon_reason: abandoned.clone().flatten(),
            lease: None,
            created_at: *created_at,
            updated_at: (*updated_at).max(*created_at),
        }
    }
}

impl CarriesContent for Import {
    fn content_fields(&self) -> Vec<ContentField<'_>> {
        let Self { thread, rows, restores_damaged: _, is_copy: _ } = self;
        let mut content_fields = Vec::with_capacity(2 * rows.len());
        for row in rows {
            let ImportRow {
                id,
                role: _,
                content,
                metadata,
                attachments: _,
                abandoned,
                origin: _,
                created_at: _,
                updated_at: _,
            } = row;
            let at = |value| ContentField { thread, message: Some(id), value };
            content_fields.extend([at(FieldValue::Whole(content)), at(FieldValue::Metadata(metadata))]);
            content_fields.extend(abandoned.iter().flatten().map(|reason| at(FieldValue::Reason(reason))));
        }
        content_fields
    }

    fn content_fields_mut(&mut self) -> Vec<ContentFieldMut<'_>> {
        let Self { thread, rows, restores_damaged: _, is_copy: _ } = self;
        let thread = &*thread;
        let mut content_fields = Vec::with_capacity(2 * rows.len());
        for row in rows {
            let ImportRow {
                id,
                role: _,
                content,
                metadata,
                attachments: _,
                abandoned,
                origin: _,
                created_at: _,
                updated_at: _,
            } = row;
            let id = &*id;
            let at = |value| ContentFieldMut { thread, message: Some(id), value };
            content_fields.extend([at(FieldValueMut::Whole(content)), at(FieldValueMut::Metadata(metadata))]);
            content_fields
                .extend(abandoned.iter_mut().flatten().map(|reason| at(FieldValueMut::Reason(reason))));
        }
        content_fields
    }
}

impl Addressed for Import {
    fn thread(&self) -> Option<&ThreadId> {
        Some(&self.thread)
    }

    fn message(&self) -> Option<&MessageId> {
        None
    }
}

/// The answer to [`Import`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Imported {
    /// The thread.
    pub thread: ThreadId,
    /// What became of each message, in the order of the call.
    pub rows: Vec<ImportedRow>,
    /// Whether an earlier call with the same idempotency key had made the import.
    pub deduplicated: bool,
}

/// What became of a message that was to be imported.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum ImportedRow {
    /// It was added at this place.
    Added(Seq),
    /// The thread has this message at this place, with the same role, content, facts, attachments and end: see
    /// [`ImportRow::is_same_as`].
    Present(Seq),
    /// The thread has another message of this id at this place, which was left as it is.
    Differs(Seq),
    /// The thread had a message of this id, which was deleted.
    Gone,
    /// The message of this id was damaged, and was overwritten at this sequence number.
    Restored(Seq),
}

impl Imported {
    /// How many messages were added.
    #[must_use]
    pub fn added(&self) -> usize {
        self.rows.iter().filter(|row| matches!(row, ImportedRow::Added(_))).count()
    }
}

carries_nothing!(Imported { thread: _, rows: _, deduplicated: _ });

impl Addressed for Imported {
    fn thread(&self) -> Option<&ThreadId> {
        Some(&self.thread)
    }

    fn message(&self) -> Option<&MessageId> {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_that_was_abandoned_for_no_known_reason_is_so_on_the_wire() {
        let row =
            ImportRow::new("m".parse().unwrap(), Role::User, Content::empty(), Timestamp::from_micros(7));
        for abandoned in [None, Some(None), Some(Some("why".to_owned()))] {
            let row = ImportRow { abandoned, ..row.clone() };
            let json = serde_json::to_string(&row).unwrap();
            assert_eq!(serde_json::from_str::<ImportRow>(&json).unwrap(), row, "{json}");
        }
    }
}
