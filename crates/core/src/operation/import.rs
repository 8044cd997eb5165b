use serde::{Deserialize, Serialize};

use super::nullable::present;
use crate::{
    Content, Message, MessageId, MessageState, Metadata, Result, Revision, Role, Seq, TenantId, ThreadId,
    Timestamp,
    id::AttachmentKey,
    message::{
        CarriesContent, ContentField, ContentFieldMut, FieldValue, FieldValueMut, carries_nothing,
        debug_without_text,
    },
    operation::{
        Origin, PersistResult, Verb,
        bytes::stored_len,
        facts::{AnswerFacts, Facts, StatesFacts, deduplicated_by_field},
        stored::{LookUp, Replay},
    },
};

/// Imports settled messages with their original ids and times: from another store, from a file, or from the source of a fork.
/// They get the order of the list.
///
/// The import skips a message whose id the thread already has or has deleted; the answer has the outcome of each message. An
/// import can therefore be repeated from its beginning after a failure, and it adds only the missing messages. One commit adds
/// all of them. A thread that [reuses ids](crate::threads::CreateThread::reuses_ids) gets the deleted messages again, as new ones.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Import {
    /// The thread. The first write creates it.
    pub thread: ThreadId,
    /// The messages: 1 to [`Import::MAX_ROWS`].
    pub rows: Vec<ImportRow>,
    /// Whether to overwrite damaged messages: see [`restoring`](Self::restoring).
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub restores_damaged: bool,
    /// The required first revision of each message that is added, in the order of [`rows`](Self::rows): see
    /// [`Add::revision`](crate::operation::Add::revision). Empty: any.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub revisions: Vec<Revision>,
    /// Whether a fork copies stored messages. Not in the wire format, so that a remote caller cannot set it.
    #[serde(skip)]
    pub(crate) is_copy: bool,
}

impl Import {
    /// The most messages of one call: 500.
    pub const MAX_ROWS: usize = 500;

    /// Returns an import of these messages into `thread`.
    #[must_use]
    pub const fn new(thread: ThreadId, rows: Vec<ImportRow>) -> Self {
        Self { thread, rows, restores_damaged: false, revisions: Vec::new(), is_copy: false }
    }

    /// Returns a copy of stored messages, for a fork.
    pub(crate) const fn copying(thread: ThreadId, rows: Vec<ImportRow>) -> Self {
        Self { thread, rows, restores_damaged: false, revisions: Vec::new(), is_copy: true }
    }

    /// Requires these first revisions of the messages that are added: see [`revisions`](Self::revisions).
    #[must_use]
    pub fn expecting(mut self, revisions: Vec<Revision>) -> Self {
        self.revisions = revisions;
        self
    }

    /// Whether a fork copies stored messages. No size limit refuses such an import: messages that were stored before a limit was
    /// lowered can still be forked.
    #[must_use]
    pub const fn is_copy(&self) -> bool {
        self.is_copy
    }

    /// Returns an import that overwrites damaged messages: a repair from a backup. A restored message keeps its sequence number,
    /// and its revision is 1 again. Like every import, it does not change a readable message.
    ///
    /// Without this, an import fails as [`Corrupt`](crate::ErrorKind::Corrupt) if one of its ids belongs to a damaged message. A
    /// repair also fails as `Corrupt` if the damaged row has no sequence number, or one that the thread has not assigned.
    #[must_use]
    pub const fn restoring(thread: ThreadId, rows: Vec<ImportRow>) -> Self {
        Self { thread, rows, restores_damaged: true, revisions: Vec::new(), is_copy: false }
    }
}

/// A settled message to import.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ImportRow {
    /// The id of the message.
    pub id: MessageId,
    /// The author of the message.
    pub role: Role,
    /// The content.
    pub content: Content,
    /// The metadata of the host.
    #[serde(default)]
    pub metadata: Metadata,
    /// The keys of the attachments.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub attachments: Vec<AttachmentKey>,
    /// Whether the message was abandoned, with the reason if it is known. `None` for a final message.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    pub abandoned: Option<Option<String>>,
    /// The provider's ids of the message, by which [`ResolveId`](crate::operation::ResolveId) can find it.
    #[serde(default, skip_serializing_if = "Origin::is_empty")]
    pub origin: Origin,
    /// The time of creation.
    pub created_at: Timestamp,
    /// The time of the last change; not before the time of creation.
    pub updated_at: Timestamp,
}

debug_without_text!(ImportRow { id, role, content, metadata, attachments, origin, created_at, updated_at } unshown { abandoned });

impl ImportRow {
    /// Returns a final message without metadata, which was created and last changed at `created_at`.
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

    /// Sets the provider's ids of the message.
    #[must_use]
    pub fn with_origin(mut self, origin: Origin) -> Self {
        self.origin = origin;
        self
    }

    /// Returns the row of a settled message, without an origin. `None` for an open message.
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

    /// Whether a stored message has the same author, content, end, metadata and attachments as this one. The times can differ.
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

    /// Returns the message as a store keeps it, with this sequence number in `thread`.
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
        let Self { thread, rows, restores_damaged: _, revisions: _, is_copy: _ } = self;
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
        let Self { thread, rows, restores_damaged: _, revisions: _, is_copy: _ } = self;
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

super::addressed_by_thread!(Import, Imported);

/// The answer to [`Import`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Imported {
    /// The thread.
    pub thread: ThreadId,
    /// The outcome of each message, in the order of the call.
    pub rows: Vec<ImportedRow>,
    /// Whether this answer replays an earlier call with the same idempotency key.
    pub deduplicated: bool,
}

/// The outcome of one message of an import.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum ImportedRow {
    /// The message was added with this sequence number.
    Added(Seq),
    /// The thread has the same message with this sequence number: see [`ImportRow::is_same_as`].
    Present(Seq),
    /// The thread has a different message of this id with this sequence number. The import did not change it.
    Differs(Seq),
    /// The message of this id was deleted, and the thread does not reuse ids; or it was cleared, and its attachments are not purged.
    Gone,
    /// The message of this id was damaged, and was overwritten at this sequence number.
    Restored(Seq),
}

impl Imported {
    /// The number of added messages.
    #[must_use]
    pub fn added(&self) -> usize {
        self.rows.iter().filter(|row| matches!(row, ImportedRow::Added(_))).count()
    }
}

carries_nothing!(Imported { thread: _, rows: _, deduplicated: _ });

impl StatesFacts for Import {
    #[inline]
    fn facts(&self) -> Facts<'_> {
        Facts { grows: true, brings_content: true, ..Facts::needing(&[Verb::Import]) }
    }

    fn byte_len(&self) -> Option<usize> {
        let Self { thread, rows, restores_damaged: _, revisions: _, is_copy: _ } = self;
        Some(thread.as_str().len() + rows.iter().map(ImportRow::byte_len).sum::<usize>())
    }

    fn replayed(&self, stored: &Replay, _: &TenantId, _: &mut dyn LookUp) -> Result<PersistResult> {
        match stored {
            Replay::Import(rows) if rows.len() == self.rows.len() => {
                let (thread, rows) = (self.thread.clone(), rows.clone());
                Ok(Imported { thread, rows, deduplicated: true }.into())
            }
            _ => Err(Replay::misfit()),
        }
    }
}

impl ImportRow {
    fn byte_len(&self) -> usize {
        let Self {
            id,
            role: _,
            content,
            metadata,
            attachments,
            abandoned,
            origin,
            created_at: _,
            updated_at: _,
        } = self;
        let Origin { turn, item, event } = origin;
        let origin = turn.as_ref().map_or(0, |turn| turn.as_str().len())
            + item.as_ref().map_or(0, |item| item.as_str().len())
            + event.as_ref().map_or(0, |event| event.as_str().len());
        let reason = abandoned.iter().flatten().map(String::len).sum::<usize>();
        id.as_str().len() + content.byte_len() + stored_len(metadata, attachments) + reason + origin
    }
}

impl AnswerFacts for Imported {
    deduplicated_by_field!();

    fn replay(&self) -> Option<Replay> {
        Some(Replay::Import(self.rows.clone()))
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
