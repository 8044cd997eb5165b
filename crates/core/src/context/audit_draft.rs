use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
};

use crate::audit_entry::{AuditDigest, AuditItem};

/// Has the key of an audit log, and hashes with it. A layer that keeps an audit log gives one to the pipeline with
/// [`SiteSpec::with_audit`](crate::pipeline::SiteSpec::with_audit), and one to each [`AuditDraft`].
///
/// The methods run on the thread that commits a write: they compute, and do not block.
pub trait AuditSealer: Send + Sync {
    /// The keyed hash of the entry with this body.
    fn seal(&self, body: &[u8]) -> AuditDigest;

    /// The keyed hash of an idempotency key, which the entry names in place of the key.
    fn key(&self, key: &str) -> AuditDigest;
}

/// What an audit layer knows of a call before the store answers it. The layer records it with
/// [`Context::set_audit`](crate::Context::set_audit).
pub struct AuditDraft {
    sealer: Arc<dyn AuditSealer>,
    content: Option<AuditDigest>,
    items: Vec<AuditItem>,
    /// The backend was given it.
    handed_over: AtomicBool,
}

impl AuditDraft {
    /// The draft of an entry: who seals it, the keyed hash of the content that the call carries (`None` where it carries none), and
    /// what the call is about (one item, or one for each item of a batch).
    #[must_use]
    pub const fn new(
        sealer: Arc<dyn AuditSealer>,
        content: Option<AuditDigest>,
        items: Vec<AuditItem>,
    ) -> Self {
        Self { sealer, content, items, handed_over: AtomicBool::new(false) }
    }

    /// The backend is given the draft with an attempt of its call.
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
