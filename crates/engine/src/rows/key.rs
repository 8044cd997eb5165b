use serde::{Deserialize, Serialize};
use throughline_core::{IdempotencyKey, MessageId, TenantId, ThreadId};

/// The key of a thread.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ThreadKey {
    /// The tenant.
    pub tenant: TenantId,
    /// The thread.
    pub thread: ThreadId,
}

impl ThreadKey {
    /// The key of this thread.
    #[must_use]
    pub fn new(tenant: &TenantId, thread: &ThreadId) -> Self {
        Self { tenant: tenant.clone(), thread: thread.clone() }
    }
}

/// The key of a message.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MessageKey {
    /// The thread.
    pub thread: ThreadKey,
    /// The message.
    pub id: MessageId,
}

impl MessageKey {
    /// The key of this message.
    #[must_use]
    pub fn new(tenant: &TenantId, thread: &ThreadId, id: &MessageId) -> Self {
        Self { thread: ThreadKey::new(tenant, thread), id: id.clone() }
    }
}

/// The key of an [`IdempotencyRow`](super::IdempotencyRow): an idempotency key belongs to a thread.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct IdempotencyRowKey {
    /// The thread.
    pub thread: ThreadKey,
    /// The idempotency key of the call.
    pub key: IdempotencyKey,
}
