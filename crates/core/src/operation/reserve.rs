use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::Addressed;
use crate::message::{carries_content, carries_parts};
use crate::{
    Content, Lease, Message, MessageId, MessageState, Metadata, Revision, Role, Seq, TenantId, ThreadId,
    Timestamp, id::AttachmentKey, message::Generation, message_lease_milliseconds as milliseconds,
};

/// A message that is about to be written, as a caller gives it.
#[derive(Debug, Clone, PartialEq)]
pub struct NewReservation {
    pub(crate) id: Option<MessageId>,
    pub(crate) role: Role,
    pub(crate) metadata: Metadata,
    pub(crate) attachments: Vec<AttachmentKey>,
    pub(crate) lease: Duration,
    pub(crate) created_at: Option<Timestamp>,
    pub(crate) generation: Option<Generation>,
    pub(crate) after: Option<Seq>,
}

impl NewReservation {
    /// A reservation under a minted id, with the lease of [`Reserve::DEFAULT_LEASE`].
    #[must_use]
    pub const fn new(role: Role) -> Self {
        Self {
            id: None,
            role,
            metadata: Metadata::new(),
            attachments: Vec::new(),
            lease: Reserve::DEFAULT_LEASE,
            created_at: None,
            generation: None,
            after: None,
        }
    }

    /// Uses this id instead of a minted one.
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

    /// How long its writer is taken to be alive without a sign; a part of a millisecond counts as a whole one.
    #[must_use]
    pub const fn with_lease(mut self, lease: Duration) -> Self {
        let over = lease.subsec_nanos() % 1_000_000;
        let missing = if over == 0 { 0 } else { 1_000_000 - over };
        self.lease = lease.saturating_add(Duration::from_nanos(missing as u64));
        self
    }

    /// Says when it was first written, for an import.
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

    /// Names the last sequence number that the thread had given when the caller read it; when it has given another one since, the
    /// reservation is refused as [`Stale`](crate::ErrorKind::Stale): see [`NewMessage::after`](crate::NewMessage::after).
    #[must_use]
    pub const fn after(mut self, seq: Seq) -> Self {
        self.after = Some(seq);
        self
    }
}

impl From<Role> for NewReservation {
    fn from(role: Role) -> Self {
        Self::new(role)
    }
}

/// Makes an empty row with its id, place, role and metadata, so that every streamed event can carry a stable id
/// from the first byte. State `Reserved`, revision 1, content `[]`; it causes no effects such as indexing.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Reserve {
    /// The thread; it exists from its first write.
    pub thread: ThreadId,
    /// The id of the new message, fixed before the first attempt.
    pub id: MessageId,
    /// Whether the id was made up for this call.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) minted: bool,
    /// Who will say it.
    pub role: Role,
    /// The host's facts.
    #[serde(default)]
    pub metadata: Metadata,
    /// Names of its attachments.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub attachments: Vec<AttachmentKey>,
    /// How long the writer is taken to be alive without a sign: each partial update renews it.
    #[serde(with = "milliseconds")]
    pub lease: Duration,
    /// When it was first written, where it is imported; the pipeline's clock otherwise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created_at: Option<Timestamp>,
    /// The generation of the thread that the caller saw.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub generation: Option<Generation>,
    /// The last sequence number that the thread had given when the caller read it: see [`NewMessage::after`](crate::NewMessage::after).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<Seq>,
}

impl Reserve {
    /// The lease of a reservation that names none: one minute.
    pub const DEFAULT_LEASE: Duration = Duration::from_secs(60);
    /// The shortest lease: one millisecond.
    pub const MIN_LEASE: Duration = Duration::from_millis(1);
    /// The longest lease: thirty days.
    pub const MAX_LEASE: Duration = Duration::from_secs(30 * 24 * 3600);

    /// Reserves a message in `thread`, under a minted id where `reservation` names none.
    #[must_use]
    pub fn new(thread: ThreadId, reservation: NewReservation) -> Self {
        let NewReservation { id, role, metadata, attachments, lease, created_at, generation, after } =
            reservation;
        let minted = id.is_none();
        let id = id.unwrap_or_else(MessageId::mint);
        Self { thread, id, minted, role, metadata, attachments, lease, created_at, generation, after }
    }

    /// Whether the id was made up for this call.
    #[must_use]
    pub const fn is_minted(&self) -> bool {
        self.minted
    }

    /// The message as a store keeps it: at this place, created `now` unless the call says otherwise, its lease beginning
    /// now.
    #[must_use]
    pub fn to_message(&self, tenant: &TenantId, seq: Seq, now: Timestamp) -> Message {
        let Self {
            thread,
            id,
            minted: _,
            role,
            metadata,
            attachments,
            lease,
            created_at,
            generation: _,
            after: _,
        } = self;
        let whole_milliseconds = Duration::from_millis(u64::try_from(lease.as_millis()).unwrap_or(u64::MAX));
        let created_at = created_at.unwrap_or(now);
        Message {
            tenant: tenant.clone(),
            thread: thread.clone(),
            id: id.clone(),
            seq,
            role: *role,
            state: MessageState::Reserved,
            revision: Revision::FIRST,
            content: Content::empty(),
            metadata: metadata.clone(),
            attachments: attachments.clone(),
            abandon_reason: None,
            lease: Some(Lease::starting(now, whole_milliseconds)),
            created_at,
            updated_at: created_at,
        }
    }
}

carries_content!(
    Reserve { thread, id, minted: _, role: _, metadata, attachments: _, lease: _, created_at: _, generation: _, after: _ }
    for (thread, id) => [Metadata(metadata)]
);
super::addressed_by_fields!(Reserve);

/// The answer to [`Reserve`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Reserved {
    /// The message as it was reserved.
    pub message: Message,
    /// Whether an earlier call with the same idempotency key had reserved it.
    pub deduplicated: bool,
}

carries_parts!(Reserved, self => {
    let Self { message, deduplicated: _ } = self;
    [message]
}, {
    let Self { message, deduplicated: _ } = self;
    [message]
});

impl Addressed for Reserved {
    fn thread(&self) -> Option<&ThreadId> {
        Some(&self.message.thread)
    }

    fn message(&self) -> Option<&MessageId> {
        Some(&self.message.id)
    }
}
