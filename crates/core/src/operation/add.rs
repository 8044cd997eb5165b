use serde::{Deserialize, Serialize};

use super::Addressed;
use crate::message::{carries_content, carries_parts};
use crate::{
    Content, Message, MessageId, MessageState, Metadata, Revision, Role, Seq, TenantId, ThreadId, Timestamp,
    id::AttachmentKey, message::Generation,
};

/// A complete message, as a caller gives it.
///
/// ```
/// use throughline_core::{Content, NewMessage, Role};
///
/// let message = NewMessage::new(Role::User, Content::from_json(r#"[{"type":"image","source":"cat.png"}]"#)?)
///     .with_id("telegram:42:17".parse()?);
/// # let _ = message;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct NewMessage {
    pub(crate) id: Option<MessageId>,
    pub(crate) role: Role,
    pub(crate) content: Content,
    pub(crate) metadata: Metadata,
    pub(crate) attachments: Vec<AttachmentKey>,
    pub(crate) created_at: Option<Timestamp>,
    pub(crate) generation: Option<Generation>,
    pub(crate) after: Option<Seq>,
}

impl NewMessage {
    /// A message with these blocks, under an id that is minted when it is added.
    #[must_use]
    pub const fn new(role: Role, content: Content) -> Self {
        Self {
            id: None,
            role,
            content,
            metadata: Metadata::new(),
            attachments: Vec::new(),
            created_at: None,
            generation: None,
            after: None,
        }
    }

    /// A user's message of one text block.
    #[must_use]
    pub fn user(text: &str) -> Self {
        Self::new(Role::User, Content::text(text))
    }

    /// An assistant's message of one text block.
    #[must_use]
    pub fn assistant(text: &str) -> Self {
        Self::new(Role::Assistant, Content::text(text))
    }

    /// A system message of one text block.
    #[must_use]
    pub fn system(text: &str) -> Self {
        Self::new(Role::System, Content::text(text))
    }

    /// Uses this id instead of a minted one. An id that the thread has, or has ever had, is refused.
    #[must_use]
    pub fn with_id(mut self, id: MessageId) -> Self {
        self.id = Some(id);
        self
    }

    /// Gives it these facts.
    #[must_use]
    pub fn with_metadata(mut self, metadata: Metadata) -> Self {
        self.metadata = metadata;
        self
    }

    /// Names its attachments.
    #[must_use]
    pub fn with_attachments(mut self, attachments: impl IntoIterator<Item = AttachmentKey>) -> Self {
        self.attachments = attachments.into_iter().collect();
        self
    }

    /// The id that it is to have; nothing where one is minted.
    #[must_use]
    pub const fn id(&self) -> Option<&MessageId> {
        self.id.as_ref()
    }

    /// Who says it.
    #[must_use]
    pub const fn role(&self) -> Role {
        self.role
    }

    /// The blocks.
    #[must_use]
    pub const fn content(&self) -> &Content {
        &self.content
    }

    /// The host's facts.
    #[must_use]
    pub const fn metadata(&self) -> &Metadata {
        &self.metadata
    }

    /// Says when it was first written, for an import. Order does not follow it: the store assigns that.
    #[must_use]
    pub const fn created_at(mut self, created_at: Timestamp) -> Self {
        self.created_at = Some(created_at);
        self
    }

    /// Names the generation of the thread that it belongs to; in another one it is refused as
    /// [`Stale`](crate::ErrorKind::Stale), so that what was begun before the thread was cleared does not turn up after it.
    #[must_use]
    pub const fn in_generation(mut self, generation: Generation) -> Self {
        self.generation = Some(generation);
        self
    }

    /// Names the last sequence number that the thread had given when the caller read it: [`Page::last_seq`](crate::operation::Page::last_seq) or
    /// [`ThreadSummary::last_seq`](crate::thread::ThreadSummary::last_seq), 0 in a thread that was never written to. When the thread has given
    /// another one since, the message is refused as [`Stale`](crate::ErrorKind::Stale): what was said meanwhile is to be read first.
    ///
    /// A sequence number is never given again. After a deletion of the last message, or a clear, it is not the one of the last
    /// message that is there, and not 0.
    #[must_use]
    pub const fn after(mut self, seq: Seq) -> Self {
        self.after = Some(seq);
        self
    }
}

/// Adds a complete message; its state is `Final`, its revision 1.
///
/// Refused as [`AlreadyExists`](crate::ErrorKind::AlreadyExists) when the thread has the id, and as
/// [`Gone`](crate::ErrorKind::Gone) when it has had it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Add {
    /// The thread; it exists from its first write.
    pub thread: ThreadId,
    /// The id of the new message, fixed before the first attempt.
    pub id: MessageId,
    /// Whether the id was made up for this call, so that a repeated call carries another one.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) minted: bool,
    /// Who says it.
    pub role: Role,
    /// The blocks.
    pub content: Content,
    /// The host's facts.
    #[serde(default)]
    pub metadata: Metadata,
    /// Names of its attachments.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub attachments: Vec<AttachmentKey>,
    /// When it was first written, where it is imported; the pipeline's clock otherwise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created_at: Option<Timestamp>,
    /// The generation of the thread that the caller saw.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub generation: Option<Generation>,
    /// The last sequence number that the thread had given when the caller read it: see [`NewMessage::after`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<Seq>,
}

impl Add {
    /// Adds `message` to `thread`, under a minted id where it names none.
    #[must_use]
    pub fn new(thread: ThreadId, message: NewMessage) -> Self {
        let NewMessage { id, role, content, metadata, attachments, created_at, generation, after } = message;
        let minted = id.is_none();
        let id = id.unwrap_or_else(MessageId::mint);
        Self { thread, id, minted, role, content, metadata, attachments, created_at, generation, after }
    }

    /// Whether the id was made up for this call.
    #[must_use]
    pub const fn is_minted(&self) -> bool {
        self.minted
    }

    /// The message as a store keeps it: at this place, created `now` unless the call says otherwise.
    #[must_use]
    pub fn to_message(&self, tenant: &TenantId, seq: Seq, now: Timestamp) -> Message {
        let Self {
            thread,
            id,
            minted: _,
            role,
            content,
            metadata,
            attachments,
            created_at,
            generation: _,
            after: _,
        } = self;
        let created_at = created_at.unwrap_or(now);
        Message {
            tenant: tenant.clone(),
            thread: thread.clone(),
            id: id.clone(),
            seq,
            role: *role,
            state: MessageState::Final,
            revision: Revision::FIRST,
            content: content.clone(),
            metadata: metadata.clone(),
            attachments: attachments.clone(),
            abandon_reason: None,
            lease: None,
            created_at,
            updated_at: created_at,
        }
    }
}

carries_content!(
    Add { thread, id, minted: _, role: _, content, metadata, attachments: _, created_at: _, generation: _, after: _ }
    for (thread, id) => [Whole(content), Metadata(metadata)]
);
super::addressed_by_fields!(Add);

/// The answer to [`Add`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Added {
    /// The message as it was added.
    pub message: Message,
    /// Whether an earlier call with the same idempotency key had added it.
    pub deduplicated: bool,
}

carries_parts!(Added, self => {
    let Self { message, deduplicated: _ } = self;
    [message]
}, {
    let Self { message, deduplicated: _ } = self;
    [message]
});

impl Addressed for Added {
    fn thread(&self) -> Option<&ThreadId> {
        Some(&self.message.thread)
    }

    fn message(&self) -> Option<&MessageId> {
        Some(&self.message.id)
    }
}
