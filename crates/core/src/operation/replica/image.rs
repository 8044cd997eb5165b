use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{
    AgentId, IdempotencyKey, Message, MessageId, Position, Seq, TenantId, ThreadId, Timestamp,
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

/// One thing that a store keeps, as it is kept: to be put into another store over what that has of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Image {
    /// Whose it is.
    pub tenant: TenantId,
    /// What it is.
    pub part: ImagePart,
}

/// What an [`Image`] is of.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub enum ImagePart {
    /// What is kept of a thread as a whole.
    Thread(Box<ThreadImage>),
    /// A message, open or settled, whole.
    Message(Box<Message>),
    /// An id whose message is gone.
    Gone(GoneImage),
    /// A name that a provider gave a message.
    Name(Box<NameImage>),
    /// An idempotency key that was used.
    Key(Box<KeyImage>),
    /// What was done to an agent as a whole.
    Agent {
        /// The agent.
        agent: AgentId,
        /// How often.
        record: AgentRecord,
    },
    /// How often a runtime was dropped.
    Runtime {
        /// The runtime.
        runtime: RuntimeId,
        /// How often.
        incarnation: u64,
    },
    /// A row of the sessions of an agent in a thread.
    Session(Box<SessionImage>),
    /// What a consumer of the changes keeps.
    Consumer(ConsumerImage),
    /// A change of the feed, at its position.
    Change(Box<Change>),
    /// An entry of the log of who did what, at its number.
    Audit(Box<AuditEntry>),
}

impl ImagePart {
    /// The name of its kind, as in JSON.
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

/// What is kept of a thread as a whole.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ThreadImage {
    /// The thread.
    pub thread: ThreadId,
    /// How often it was begun.
    pub generation: Generation,
    /// Whether it was deleted.
    pub deleted: bool,
    /// The last place that went when it was cleared or deleted.
    pub floor: Seq,
    /// The last place of a message that is gone: no place up to it is given again.
    pub gone_seq: Seq,
    /// When the latest of the messages that are gone was changed.
    pub gone_at: Timestamp,
    /// The last place of a question of the user that was deleted; zero where there is none.
    pub gone_question: Seq,
    /// Whether something up to the floor is still to be purged.
    pub purgeable: bool,
    /// What the host said and what follows from the messages; none of a deleted thread.
    pub facts: Option<ThreadStats>,
}

/// An id whose message is gone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct GoneImage {
    /// The thread.
    pub thread: ThreadId,
    /// The id, which stays dead.
    pub id: MessageId,
    /// Where it went with all others and was not purged: the place it had, and its attachments.
    pub left: Option<(Seq, Vec<AttachmentKey>)>,
}

/// A name that a provider gave a message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct NameImage {
    /// The thread.
    pub thread: ThreadId,
    /// In which of its generations.
    pub generation: Generation,
    /// The name.
    pub known: KnownName,
}

/// An idempotency key that was used.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct KeyImage {
    /// The thread that it is scoped to.
    pub thread: ThreadId,
    /// The key.
    pub key: IdempotencyKey,
    /// What it stands for.
    pub fingerprint: Fingerprint,
    /// What a repeated call is answered by.
    pub replay: Replay,
    /// When it was used.
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
    /// How often the agent had been dropped.
    pub incarnation: u64,
    /// The row.
    pub part: SessionPart,
}

/// Which row a [`SessionImage`] is of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum SessionPart {
    /// Where the agent goes on.
    Head(Box<SessionHead>),
    /// A session that a run has reported.
    Known(Box<KnownSession>),
    /// A run.
    Attempt(Box<AttemptRecord>),
}

/// What a consumer of the changes keeps.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ConsumerImage {
    /// The consumer.
    pub consumer: ConsumerName,
    /// How far it has come.
    pub position: Position,
    /// What it has passed over, by position: all of it.
    pub quarantined: Vec<QuarantinedChange>,
}

impl Image {
    /// An image of this tenant's.
    #[must_use]
    pub const fn new(tenant: TenantId, part: ImagePart) -> Self {
        Self { tenant, part }
    }

    /// About how many bytes it holds: content, metadata, every name, and a little for the rest.
    #[must_use]
    pub fn weight(&self) -> usize {
        /// Ids, numbers and times.
        const REST: usize = 256;
        match &self.part {
            ImagePart::Message(message) => message.estimated_size(),
            ImagePart::Audit(entry) => entry.estimated_size(),
            part => REST + json_len(part),
        }
    }
}

/// Without the preview, which is content.
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
            ImagePart::Message(message) => message.content_fields(),
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
                fn field(change: &QuarantinedChange) -> ContentField<'_> {
                    let QuarantinedChange { position: _, thread, at: _, why } = change;
                    ContentField { thread, message: None, value: FieldValue::Reason(why) }
                }
                quarantined.iter().map(field).collect()
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
            ImagePart::Message(message) => message.content_fields_mut(),
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
                fn field(change: &mut QuarantinedChange) -> ContentFieldMut<'_> {
                    let QuarantinedChange { position: _, thread, at: _, why } = change;
                    ContentFieldMut { thread: &*thread, message: None, value: FieldValueMut::Reason(why) }
                }
                quarantined.iter_mut().map(field).collect()
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
    fn every_name_of_an_image_has_its_weight() {
        let long = "n".repeat(200);
        let image = |part| Image::new(TenantId::default(), part).weight();
        let attachments = vec![long.parse().unwrap(); 100];
        let thread = || "t".parse::<ThreadId>().unwrap();
        let gone =
            GoneImage { thread: thread(), id: "m".parse().unwrap(), left: Some((Seq::FIRST, attachments)) };
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
