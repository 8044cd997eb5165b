use serde::{Deserialize, Serialize};

use crate::{
    Content, Message, MessageId, MessageState, Metadata, Result, Revision, Role, Seq, TenantId, ThreadId,
    Timestamp,
    id::AttachmentKey,
    message::{Generation, carries_content, carries_parts},
    operation::{
        PersistResult, Verb,
        bytes::stored_len,
        facts::{AnswerFacts, Facts, StatesFacts, deduplicated_by_field},
        stored::{LookUp, Replay},
    },
};

/// The arguments of a new complete message.
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
    /// Returns a message with these blocks. Its id is generated when it is added.
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

    /// Returns a user message with one text block.
    #[must_use]
    pub fn user(text: &str) -> Self {
        Self::new(Role::User, Content::text(text))
    }

    /// Returns an assistant message with one text block.
    #[must_use]
    pub fn assistant(text: &str) -> Self {
        Self::new(Role::Assistant, Content::text(text))
    }

    /// Returns a system message with one text block.
    #[must_use]
    pub fn system(text: &str) -> Self {
        Self::new(Role::System, Content::text(text))
    }

    /// Sets the id instead of a generated one. The store refuses an id that the thread has, or that it deleted, unless the thread
    /// [reuses ids](crate::threads::CreateThread::reuses_ids).
    #[must_use]
    pub fn with_id(mut self, id: MessageId) -> Self {
        self.id = Some(id);
        self
    }

    /// Sets the metadata.
    #[must_use]
    pub fn with_metadata(mut self, metadata: Metadata) -> Self {
        self.metadata = metadata;
        self
    }

    /// Sets the keys of the attachments.
    #[must_use]
    pub fn with_attachments(mut self, attachments: impl IntoIterator<Item = AttachmentKey>) -> Self {
        self.attachments = attachments.into_iter().collect();
        self
    }

    /// The id of the message. `None` if it is generated.
    #[must_use]
    pub const fn id(&self) -> Option<&MessageId> {
        self.id.as_ref()
    }

    /// The author of the message.
    #[must_use]
    pub const fn role(&self) -> Role {
        self.role
    }

    /// The content of the message.
    #[must_use]
    pub const fn content(&self) -> &Content {
        &self.content
    }

    /// The metadata of the message.
    #[must_use]
    pub const fn metadata(&self) -> &Metadata {
        &self.metadata
    }

    /// Sets the time of creation, for an import. It does not affect the order of messages: the store assigns that.
    #[must_use]
    pub const fn created_at(mut self, created_at: Timestamp) -> Self {
        self.created_at = Some(created_at);
        self
    }

    /// Requires this generation of the thread. In another generation the write fails as [`Stale`](crate::ErrorKind::Stale), so
    /// that a late write cannot add to a thread that was cleared.
    #[must_use]
    pub const fn in_generation(mut self, generation: Generation) -> Self {
        self.generation = Some(generation);
        self
    }

    /// Requires that `seq` is still the last sequence number that the thread has assigned. The caller reads it from
    /// [`Page::last_seq`](crate::operation::Page::last_seq) or
    /// [`ThreadSummary::last_seq`](crate::thread::ThreadSummary::last_seq); it is 0 before the first message. If the thread has
    /// assigned another number since, the write fails as [`Stale`](crate::ErrorKind::Stale), and the caller should read the new
    /// messages first.
    ///
    /// A sequence number is never reused. After a deletion or a clear it is not the number of the last existing message, and not
    /// 0.
    #[must_use]
    pub const fn after(mut self, seq: Seq) -> Self {
        self.after = Some(seq);
        self
    }
}

/// Adds a complete message, with the state `Final` and revision 1.
///
/// In a thread that [reuses ids](crate::threads::CreateThread::reuses_ids), the first revision of a message whose id a deleted message had
/// is higher than every revision of that message.
///
/// # Errors
/// - [`AlreadyExists`](crate::ErrorKind::AlreadyExists) if the thread has a message with this id.
/// - [`Gone`](crate::ErrorKind::Gone) if a message with this id was deleted and the thread does not reuse ids, or if the thread was
///   deleted. In a thread that reuses ids, the id of a cleared message with attachments is `Gone` until the thread is purged.
/// - [`Stale`](crate::ErrorKind::Stale) if [`generation`](Self::generation), [`after`](Self::after) or
///   [`revision`](Self::revision) does not match.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Add {
    /// The thread. The first write creates it.
    pub thread: ThreadId,
    /// The id of the new message. It is the same in every attempt of the call.
    pub id: MessageId,
    /// Whether the id was generated for this call, so that a repeated call has another one.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) minted: bool,
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
    /// The time of creation, for an import. Otherwise the clock of the pipeline.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created_at: Option<Timestamp>,
    /// The required generation of the thread: see [`NewMessage::in_generation`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub generation: Option<Generation>,
    /// The required last sequence number of the thread: see [`NewMessage::after`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<Seq>,
    /// The required first revision of the message. If it would get another one, the write fails as
    /// [`Stale`](crate::ErrorKind::Stale), and [`PersistError::revision`](crate::PersistError::revision) names that one. `encrypt`
    /// sets this, because it binds content to its revision.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revision: Option<Revision>,
}

impl Add {
    /// Returns an operation that adds `message` to `thread`. It generates an id if the message has none.
    #[must_use]
    pub fn new(thread: ThreadId, message: NewMessage) -> Self {
        let NewMessage { id, role, content, metadata, attachments, created_at, generation, after } = message;
        let minted = id.is_none();
        let id = id.unwrap_or_else(MessageId::mint);
        Self {
            thread,
            id,
            minted,
            role,
            content,
            metadata,
            attachments,
            created_at,
            generation,
            after,
            revision: None,
        }
    }

    /// Requires this first revision of the message: see [`revision`](Self::revision).
    #[must_use]
    pub const fn expecting(mut self, revision: Revision) -> Self {
        self.revision = Some(revision);
        self
    }

    /// Whether the id was generated for this call.
    #[must_use]
    pub const fn is_minted(&self) -> bool {
        self.minted
    }

    /// Returns the message as a store keeps it, with this sequence number and the first revision. It is created at `now` unless the
    /// operation names another time.
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
            revision: _,
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
    Add {
        thread, id, minted: _, role: _, content, metadata, attachments: _, created_at: _, generation: _, after: _, revision: _
    }
    for (thread, id) => [Whole(content), Metadata(metadata)]
);
super::addressed_by_fields!(Add);

/// The answer to [`Add`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Added {
    /// The message as it was added.
    pub message: Message,
    /// Whether this answer replays an earlier call with the same idempotency key.
    pub deduplicated: bool,
}

carries_parts!(Added { message, deduplicated: _ } => [message]);

super::addressed_by_fields!(Added in message);

impl StatesFacts for Add {
    #[inline]
    fn facts(&self) -> Facts<'_> {
        Facts {
            minted_id: self.minted.then_some(&self.id),
            metadata: Some(&self.metadata),
            is_batchable: true,
            grows: true,
            brings_content: true,
            ..Facts::needing(&[Verb::Append])
        }
    }

    fn byte_len(&self) -> Option<usize> {
        let Self {
            thread,
            id,
            minted: _,
            role: _,
            content,
            metadata,
            attachments,
            created_at: _,
            generation: _,
            after: _,
            revision: _,
        } = self;
        let names = thread.as_str().len() + id.as_str().len();
        Some(names + content.byte_len() + stored_len(metadata, attachments))
    }

    fn replayed(&self, stored: &Replay, tenant: &TenantId, _: &mut dyn LookUp) -> Result<PersistResult> {
        let Replay::Add { id, seq, at, revision } = stored else { return Err(Replay::misfit()) };
        let message = self.to_message(tenant, *seq, *at);
        let message = Message { id: id.clone(), created_at: *at, revision: *revision, ..message };
        Ok(Added { message, deduplicated: true }.into())
    }
}

impl AnswerFacts for Added {
    deduplicated_by_field!();

    fn replay(&self) -> Option<Replay> {
        let Message { id, seq, created_at, revision, .. } = &self.message;
        Some(Replay::Add { id: id.clone(), seq: *seq, at: *created_at, revision: *revision })
    }

    fn revision(&self) -> Option<Revision> {
        Some(self.message.revision)
    }

    #[inline]
    fn messages(&self) -> &[Message] {
        std::slice::from_ref(&self.message)
    }
}
