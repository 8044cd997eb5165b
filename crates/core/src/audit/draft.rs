use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
};

use super::{AuditDigest, AuditEntry, AuditItem, AuditOutcome, AuditRecord};
use crate::{AuditNumber, Context, PersistResult, Position, Timestamp};

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

    /// The ticket of one attempt.
    pub(crate) fn ticket(self: &Arc<Self>, context: &Context) -> AuditTicket {
        self.handed_over.store(true, Relaxed);
        AuditTicket { draft: Arc::clone(self), context: context.clone() }
    }

    pub(super) fn is_handed_over(&self) -> bool {
        self.handed_over.load(Relaxed)
    }

    pub(super) fn items(&self) -> &[AuditItem] {
        &self.items
    }

    pub(super) const fn content(&self) -> Option<AuditDigest> {
        self.content
    }
}

impl fmt::Debug for AuditDraft {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AuditDraft").field("items", &self.items).finish_non_exhaustive()
    }
}

/// The facts of a call, with an outcome and a moment.
pub(super) fn record(
    sealer: &dyn AuditSealer,
    context: &Context,
    (outcome, at): (AuditOutcome, Timestamp),
    (content, items): (Option<AuditDigest>, Vec<AuditItem>),
) -> AuditRecord {
    AuditRecord {
        outcome,
        at,
        tenant: context.tenant().clone(),
        actor: context.actor().map(str::to_owned),
        call_site: context.call_site().map(str::to_owned),
        call: context.call_id().to_string(),
        key: context.idempotency().map(|idempotency| sealer.key(idempotency.key.as_str())),
        content,
        items,
        omitted: 0,
    }
}

/// Where the next entry of a log goes, and what it hangs on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AuditLink {
    number: AuditNumber,
    previous: AuditDigest,
}

impl AuditLink {
    /// The first entry of a log.
    #[must_use]
    pub const fn first() -> Self {
        Self::after(AuditNumber::ZERO, AuditDigest::ZERO)
    }

    /// The one after the entry of this number and hash.
    #[must_use]
    pub const fn after(number: AuditNumber, hash: AuditDigest) -> Self {
        Self { number: number.next(), previous: hash }
    }

    /// The number of the entry to come.
    #[must_use]
    pub const fn number(&self) -> AuditNumber {
        self.number
    }

    /// Makes the entry, and moves on behind it.
    pub(super) fn seal(&mut self, sealer: &dyn AuditSealer, record: AuditRecord) -> AuditEntry {
        let Self { number, previous } = *self;
        let hash = sealer.seal(AuditEntry::text(number, previous, &record).as_bytes());
        *self = Self::after(number, hash);
        AuditEntry { number, previous, hash, record, withheld: 0 }
    }
}

/// What comes with a write to be audited: a store that claims [`Capabilities::audit`](crate::Capabilities::audit) makes the entry
/// of the write from it, and keeps the entry in the same commit.
///
/// Only a pipeline makes one, with the [`Admitted`](crate::Admitted) ticket of the call.
pub struct AuditTicket {
    draft: Arc<AuditDraft>,
    context: Context,
}

impl AuditTicket {
    /// The entry of a write that is about to be committed: at `now`, in a store that had come to `after` and comes to `position`
    /// with it. A replay, and a write that takes no position, have none. `link` moves on behind the entry.
    #[must_use]
    pub fn entry(
        &self,
        link: &mut AuditLink,
        now: Timestamp,
        (after, position): (Position, Position),
        result: &PersistResult,
    ) -> AuditEntry {
        let sealer = &*self.draft.sealer;
        let mut items = self.draft.items.clone();
        AuditItem::settle(&mut items, result);
        let outcome = AuditOutcome::Applied { after, position };
        link.seal(sealer, record(sealer, &self.context, (outcome, now), (self.draft.content, items)))
    }
}

impl fmt::Debug for AuditTicket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("AuditTicket").field(&self.context.call_id()).finish()
    }
}
