use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::{
    Content, Lease, Message, MessageId, MessageState, Metadata, Result, Revision, Role, Seq, TenantId,
    ThreadId, Timestamp,
    id::AttachmentKey,
    message::{Generation, carries_content, carries_parts},
    message_lease_milliseconds as milliseconds,
    operation::{
        PersistResult, Verb,
        bytes::stored_len,
        facts::{AnswerFacts, Facts, StatesFacts, deduplicated_by_field},
        stored::{LookUp, Replay},
    },
};

/// The arguments of a new reservation.
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
    /// Returns a reservation with the lease [`Reserve::DEFAULT_LEASE`]. Its id is generated when it is made.
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

    /// Sets the id instead of a generated one.
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

    /// Sets the lease: the time after which a writer without a heartbeat counts as dead. A part of a millisecond is rounded up.
    #[must_use]
    pub const fn with_lease(mut self, lease: Duration) -> Self {
        let over = lease.subsec_nanos() % 1_000_000;
        let missing = if over == 0 { 0 } else { 1_000_000 - over };
        self.lease = lease.saturating_add(Duration::from_nanos(missing as u64));
        self
    }

    /// Sets the time of creation, for an import.
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

    /// Requires that `seq` is still the last sequence number that the thread has assigned; otherwise the write fails as
    /// [`Stale`](crate::ErrorKind::Stale). See [`NewMessage::after`](crate::NewMessage::after).
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

/// Reserves a message: creates an empty row with its id, sequence number, role and metadata, so that every streamed event has a
/// stable id from the first byte. The state is `Reserved`, the revision 1, the content `[]`. A reservation is not indexed for
/// search. In a thread that reuses ids, the first revision can be higher: see [`Add`](crate::operation::Add).
///
/// # Errors
/// - [`AlreadyExists`](crate::ErrorKind::AlreadyExists) if the thread has a message with this id.
/// - [`Gone`](crate::ErrorKind::Gone) if the thread was deleted, or a message with this id: see [`Add`](crate::operation::Add).
/// - [`Stale`](crate::ErrorKind::Stale) if [`generation`](Self::generation), [`after`](Self::after) or
///   [`revision`](Self::revision) does not match.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Reserve {
    /// The thread. The first write creates it.
    pub thread: ThreadId,
    /// The id of the new message. It is the same in every attempt of the call.
    pub id: MessageId,
    /// Whether the id was generated for this call.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) minted: bool,
    /// The author of the message.
    pub role: Role,
    /// The metadata of the host.
    #[serde(default)]
    pub metadata: Metadata,
    /// The keys of the attachments.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub attachments: Vec<AttachmentKey>,
    /// The lease, in whole milliseconds: [`MIN_LEASE`](Self::MIN_LEASE) to [`MAX_LEASE`](Self::MAX_LEASE). Each partial update
    /// renews it. After it has expired, the writer counts as dead.
    #[serde(with = "milliseconds")]
    pub lease: Duration,
    /// The time of creation, for an import. Otherwise the clock of the pipeline.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created_at: Option<Timestamp>,
    /// The required generation of the thread: see [`NewReservation::in_generation`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub generation: Option<Generation>,
    /// The required last sequence number of the thread: see [`NewMessage::after`](crate::NewMessage::after).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<Seq>,
    /// The required first revision of the message: see [`Add::revision`](crate::operation::Add::revision).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revision: Option<Revision>,
}

impl Reserve {
    /// The lease of a reservation that sets none: one minute.
    pub const DEFAULT_LEASE: Duration = Duration::from_secs(60);
    /// The shortest lease: one millisecond.
    pub const MIN_LEASE: Duration = Duration::from_millis(1);
    /// The longest lease: thirty days.
    pub const MAX_LEASE: Duration = Duration::from_secs(30 * 24 * 3600);

    /// Returns a reservation of a message in `thread`. It generates an id if `reservation` has none.
    #[must_use]
    pub fn new(thread: ThreadId, reservation: NewReservation) -> Self {
        let NewReservation { id, role, metadata, attachments, lease, created_at, generation, after } =
            reservation;
        let minted = id.is_none();
        let id = id.unwrap_or_else(MessageId::mint);
        Self {
            thread,
            id,
            minted,
            role,
            metadata,
            attachments,
            lease,
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

    /// Returns the message as a store keeps it, with this sequence number and the first revision. It is created at `now` unless the operation names
    /// another time, and its lease begins at `now`.
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
            revision: _,
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
    Reserve {
        thread, id, minted: _, role: _, metadata, attachments: _, lease: _, created_at: _, generation: _, after: _, revision: _
    }
    for (thread, id) => [Metadata(metadata)]
);
super::addressed_by_fields!(Reserve);

/// The answer to [`Reserve`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Reserved {
    /// The message as it was reserved.
    pub message: Message,
    /// Whether this answer replays an earlier call with the same idempotency key.
    pub deduplicated: bool,
}

carries_parts!(Reserved { message, deduplicated: _ } => [message]);

super::addressed_by_fields!(Reserved in message);

impl StatesFacts for Reserve {
    #[inline]
    fn facts(&self) -> Facts<'_> {
        Facts {
            minted_id: self.minted.then_some(&self.id),
            metadata: Some(&self.metadata),
            is_batchable: true,
            grows: true,
            ..Facts::needing(&[Verb::Append])
        }
    }

    fn byte_len(&self) -> Option<usize> {
        let Self {
            thread,
            id,
            minted: _,
            role: _,
            metadata,
            attachments,
            lease: _,
            created_at: _,
            generation: _,
            after: _,
            revision: _,
        } = self;
        Some(thread.as_str().len() + id.as_str().len() + stored_len(metadata, attachments))
    }

    fn replayed(&self, stored: &Replay, tenant: &TenantId, _: &mut dyn LookUp) -> Result<PersistResult> {
        let Replay::Reserve { id, seq, at, expires_at, revision } = stored else {
            return Err(Replay::misfit());
        };
        let message = self.to_message(tenant, *seq, *at);
        let lease = message.lease.map(|lease| Lease { expires_at: *expires_at, ..lease });
        let message = Message { id: id.clone(), created_at: *at, revision: *revision, lease, ..message };
        Ok(Reserved { message, deduplicated: true }.into())
    }
}

impl AnswerFacts for Reserved {
    deduplicated_by_field!();

    fn replay(&self) -> Option<Replay> {
        let Message { id, seq, created_at, revision, lease, .. } = &self.message;
        let expires_at = lease.map_or(*created_at, |lease| lease.expires_at);
        let revision = *revision;
        Some(Replay::Reserve { id: id.clone(), seq: *seq, at: *created_at, expires_at, revision })
    }

    fn revision(&self) -> Option<Revision> {
        Some(self.message.revision)
    }

    #[inline]
    fn messages(&self) -> &[Message] {
        std::slice::from_ref(&self.message)
    }
}
