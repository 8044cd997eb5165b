use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{
    AgentId, IdempotencyKey, Message, MessageId, Position, Revision, Seq, TenantId, ThreadId, Timestamp,
    audit_entry::AuditEntry,
    change::Change,
    id::{AttachmentKey, ConsumerName, RuntimeId},
    message::{CarriesContent, ContentField, ContentFieldMut, FieldValue, FieldValueMut, Generation},
    operation::{
        Fingerprint, QuarantinedChange,
        estimated_size::EstimatedSize as _,
        json_len,
        stored::{AgentRecord, AttemptRecord, KnownName, KnownSession, Replay, SessionHead, ThreadStats},
    },
};

/// A row image: one row of a store as it is kept, which replaces the row of a replica.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Image {
    /// The tenant of the row.
    pub tenant: TenantId,
    /// The kind and the content of the row.
    pub part: ImagePart,
}

/// The kind of the row in an [`Image`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub enum ImagePart {
    /// The row of a thread.
    Thread(Box<ThreadImage>),
    /// A whole message, open or settled.
    Message(Box<MessageImage>),
    /// The tombstone of a message.
    Gone(GoneImage),
    /// A provider alias of a message.
    Name(Box<NameImage>),
    /// A used idempotency key.
    Key(Box<KeyImage>),
    /// The counters of an agent.
    Agent {
        /// The agent.
        agent: AgentId,
        /// The counters.
        record: AgentRecord,
    },
    /// The drop counter of a runtime.
    Runtime {
        /// The runtime.
        runtime: RuntimeId,
        /// The number of drops.
        incarnation: u64,
    },
    /// A row of the sessions of an agent in a thread.
    Session(Box<SessionImage>),
    /// The state of a consumer.
    Consumer(ConsumerImage),
    /// A change event, with its position.
    Change(Box<Change>),
    /// An entry of the audit log, with its number.
    Audit(Box<AuditEntry>),
}

impl ImagePart {
    /// The name of the kind, as in JSON.
    #[must_use]
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Thread(_) => "thread",
            Self::Message(_) => "message",
            Self::Gone(_) => "gone",
            Self::Name(_) => "name",
            Self::Key(_) => "key",
            Self::Agent { .. } => "agent",
            Self::Runtime { .. } => "runtime",
            Self::Session(_) => "session",
            Self::Consumer(_) => "consumer",
            Self::Change(_) => "change",
            Self::Audit(_) => "audit",
        }
    }
}

/// The row of a thread.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ThreadImage {
    /// The thread.
    pub thread: ThreadId,
    /// The generation of the thread.
    pub generation: Generation,
    /// Whether the thread was deleted.
    pub deleted: bool,
    /// The last sequence number at the time of the last clear or deletion.
    pub floor: Seq,
    /// The highest sequence number of a deleted message. No number up to it is assigned again.
    pub gone_seq: Seq,
    /// The time of the last change among the deleted messages.
    pub gone_at: Timestamp,
    /// The highest sequence number of a deleted user message; zero if there is none.
    pub gone_question: Seq,
    /// Whether some messages up to the floor still have to be purged.
    pub purgeable: bool,
    /// The stats of the thread. `None` for a deleted thread.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub facts: Option<ThreadStats>,
}

/// A message, with what a store keeps in addition.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct MessageImage {
    /// The message.
    pub message: Message,
    /// The revision that last replaced its content; zero if nothing did.
    #[serde(default)]
    pub replaced: Revision,
}

impl From<Message> for MessageImage {
    fn from(message: Message) -> Self {
        Self { message, replaced: Revision::ZERO }
    }
}

/// The tombstone of a message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct GoneImage {
    /// The thread.
    pub thread: ThreadId,
    /// The id, which can be used again only in a thread that reuses ids.
    pub id: MessageId,
    /// The last revision of the message. The revisions of a later message of the id are higher.
    #[serde(default)]
    pub revision: Revision,
    /// The sequence number and the attachment keys of a message that was cleared or deleted with its thread and is not purged
    /// yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub left: Option<(Seq, Vec<AttachmentKey>)>,
}

/// A provider alias of a message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct NameImage {
    /// The thread.
    pub thread: ThreadId,
    /// The generation of the alias.
    pub generation: Generation,
    /// The alias.
    pub known: KnownName,
}

/// A used idempotency key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct KeyImage {
    /// The thread of the key.
    pub thread: ThreadId,
    /// The key.
    pub key: IdempotencyKey,
    /// The fingerprint of the operation.
    pub fingerprint: Fingerprint,
    /// The record from which a repeated call is answered.
    pub replay: Replay,
    /// The time of the first call.
    pub at: Timestamp,
}

/// A row of the sessions of an agent in a thread.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SessionImage {
    /// The thread.
    pub thread: ThreadId,
    /// The agent.
    pub agent: AgentId,
    /// The number of drops of the agent.
    pub incarnation: u64,
    /// The row.
    pub part: SessionPart,
}

/// The kind of the row in a [`SessionImage`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum SessionPart {
    /// The head row, with the pointer.
    Head(Box<SessionHead>),
    /// A session that a run has reported.
    Known(Box<KnownSession>),
    /// A run.
    Attempt(Box<AttemptRecord>),
}

/// The state of a consumer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ConsumerImage {
    /// The consumer.
    pub consumer: ConsumerName,
    /// The position of its cursor.
    pub position: Position,
    /// All of its quarantined changes, by position.
    pub quarantined: Vec<QuarantinedChange>,
}

impl Image {
    /// Returns an image of a row of this tenant.
    #[must_use]
    pub const fn new(tenant: TenantId, part: ImagePart) -> Self {
        Self { tenant, part }
    }

    /// The estimated bytes of the image: content, metadata, every name, and an amount for the rest.
    #[must_use]
    pub fn estimated_size(&self) -> usize {
        /// The bytes for ids, numbers and times.
        const REST: usize = 256;
        match &self.part {
            ImagePart::Message(image) => image.message.estimated_size(),
            ImagePart::Audit(entry) => entry.estimated_size(),
            part => REST + json_len(part),
        }
    }
}

/// Omits the preview, which is content.
impl fmt::Debug for ThreadImage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { thread, generation, deleted, floor, gone_seq, gone_at, gone_question, purgeable, facts } =
            self;
        f.debug_struct("ThreadImage")
            .field("thread", thread)
            .field("generation", generation)
            .field("deleted", deleted)
            .field("floor", floor)
            .field("gone_seq", gone_seq)
            .field("gone_at", gone_at)
            .field("gone_question", gone_question)
            .field("purgeable", purgeable)
            .field("has_facts", &facts.is_some())
            .finish()
    }
}

impl CarriesContent for Image {
    fn content_fields(&self) -> Vec<ContentField<'_>> {
        let Self { tenant: _, part } = self;
        match part {
            ImagePart::Thread(image) => {
                let ThreadImage {
                    thread,
                    generation: _,
                    deleted: _,
                    floor: _,
                    gone_seq: _,
                    gone_at: _,
                    gone_question: _,
                    purgeable: _,
                    facts,
                } = &**image;
                let Some(ThreadStats { title, metadata, counters, .. }) = facts else { return Vec::new() };
                let at = |value| ContentField { thread, message: None, value };
                let mut content_fields =
                    vec![at(FieldValue::Title(title)), at(FieldValue::Metadata(metadata))];
                content_fields
                    .extend(counters.preview.as_deref().map(|preview| at(FieldValue::Preview(preview))));
                content_fields
            }
            ImagePart::Message(image) => {
                let MessageImage { message, replaced: _ } = &**image;
                message.content_fields()
            }
            ImagePart::Session(image) => {
                let SessionImage { thread, agent: _, incarnation: _, part } = &**image;
                match part {
                    SessionPart::Attempt(record) => {
                        let detail = record.attempt.detail.iter();
                        detail
                            .map(|why| ContentField { thread, message: None, value: FieldValue::Reason(why) })
                            .collect()
                    }
                    SessionPart::Head(_) | SessionPart::Known(_) => Vec::new(),
                }
            }
            ImagePart::Consumer(ConsumerImage { consumer: _, position: _, quarantined }) => {
                quarantined.iter().flat_map(CarriesContent::content_fields).collect()
            }
            ImagePart::Gone(_)
            | ImagePart::Name(_)
            | ImagePart::Key(_)
            | ImagePart::Agent { .. }
            | ImagePart::Runtime { .. }
            | ImagePart::Change(_)
            | ImagePart::Audit(_) => Vec::new(),
        }
    }

    fn content_fields_mut(&mut self) -> Vec<ContentFieldMut<'_>> {
        let Self { tenant: _, part } = self;
        match part {
            ImagePart::Thread(image) => {
                let ThreadImage {
                    thread,
                    generation: _,
                    deleted: _,
                    floor: _,
                    gone_seq: _,
                    gone_at: _,
                    gone_question: _,
                    purgeable: _,
                    facts,
                } = &mut **image;
                let thread = &*thread;
                let Some(ThreadStats { title, metadata, counters, .. }) = facts else { return Vec::new() };
                let at = |value| ContentFieldMut { thread, message: None, value };
                let mut content_fields =
                    vec![at(FieldValueMut::Title(title)), at(FieldValueMut::Metadata(metadata))];
                content_fields
                    .extend(counters.preview.as_mut().map(|preview| at(FieldValueMut::Preview(preview))));
                content_fields
            }
            ImagePart::Message(image) => {
                let MessageImage { message, replaced: _ } = &mut **image;
                message.content_fields_mut()
            }
            ImagePart::Session(image) => {
                let SessionImage { thread, agent: _, incarnation: _, part } = &mut **image;
                let thread = &*thread;
                match part {
                    SessionPart::Attempt(record) => {
                        let detail = record.attempt.detail.iter_mut();
                        detail
                            .map(|why| ContentFieldMut {
                                thread,
                                message: None,
                                value: FieldValueMut::Reason(why),
                            })
                            .collect()
                    }
                    SessionPart::Head(_) | SessionPart::Known(_) => Vec::new(),
                }
            }
            ImagePart::Consumer(ConsumerImage { consumer: _, position: _, quarantined }) => {
                quarantined.iter_mut().flat_map(CarriesContent::content_fields_mut).collect()
            }
            ImagePart::Gone(_)
            | ImagePart::Name(_)
            | ImagePart::Key(_)
            | ImagePart::Agent { .. }
            | ImagePart::Runtime { .. }
            | ImagePart::Change(_)
            | ImagePart::Audit(_) => Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_of_an_image_counts_in_its_estimated_size() {
        let long = "n".repeat(200);
        let image = |part| Image::new(TenantId::default(), part).estimated_size();
        let attachments = vec![long.parse().unwrap(); 100];
        let thread = || "t".parse::<ThreadId>().unwrap();
        let gone = GoneImage {
            thread: thread(),
            id: "m".parse().unwrap(),
            revision: Revision::FIRST,
            left: Some((Seq::FIRST, attachments)),
        };
        assert!(image(ImagePart::Gone(gone)) > 20_000);
        let why = QuarantinedChange {
            position: Position::new(1),
            thread: long.parse().unwrap(),
            at: Timestamp::from_micros(0),
            why: String::new(),
        };
        let consumer = ConsumerImage {
            consumer: "c".parse().unwrap(),
            position: Position::ZERO,
            quarantined: vec![why; 100],
        };
        assert!(image(ImagePart::Consumer(consumer)) > 20_000);
        let runtime = ImagePart::Runtime { runtime: long.parse().unwrap(), incarnation: 1 };
        assert!(image(runtime) > 256 + 200);
    }
}
