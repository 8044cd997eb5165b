use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
};

use crate::audit_entry::{AuditDigest, AuditItem};

/// The holder of the key of an audit log, which computes keyed hashes. An audit layer passes one to the pipeline with
/// [`SiteSpec::with_audit`](crate::pipeline::SiteSpec::with_audit), and one to each [`AuditDraft`].
///
/// The store calls the methods on the thread that commits a write, so that they must not block.
pub trait AuditSealer: Send + Sync {
    /// Returns the keyed hash of the entry with this body.
    fn seal(&self, body: &[u8]) -> AuditDigest;

    /// Returns the keyed hash of an idempotency key. The entry contains the hash instead of the key.
    fn key(&self, key: &str) -> AuditDigest;
}

/// The part of an audit entry that a layer knows before the store answers. The layer records it with
/// [`Context::set_audit`](crate::Context::set_audit).
pub struct AuditDraft {
    sealer: Arc<dyn AuditSealer>,
    content: Option<AuditDigest>,
    items: Vec<AuditItem>,
    /// Whether the pipeline has passed the draft to the backend.
    handed_over: AtomicBool,
}

impl AuditDraft {
    /// Returns the draft of an entry: the sealer, the keyed hash of the content of the call (`None` without content), and the
    /// items (one, or one for each item of a batch).
    #[must_use]
    pub const fn new(
        sealer: Arc<dyn AuditSealer>,
        content: Option<AuditDigest>,
        items: Vec<AuditItem>,
    ) -> Self {
        Self { sealer, content, items, handed_over: AtomicBool::new(false) }
    }

    /// Records that the backend received the draft with an attempt of its call.
    pub(crate) fn hand_over(&self) {
        self.handed_over.store(true, Relaxed);
    }

    pub(crate) fn sealer(&self) -> &dyn AuditSealer {
        &*self.sealer
    }

    pub(crate) fn is_handed_over(&self) -> bool {
        self.handed_over.load(Relaxed)
    }

    pub(crate) fn items(&self) -> &[AuditItem] {
        &self.items
    }

    pub(crate) const fn content(&self) -> Option<AuditDigest> {
        self.content
    }
}

impl fmt::Debug for AuditDraft {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AuditDraft").field("items", &self.items).finish_non_exhaustive()
    }
}
