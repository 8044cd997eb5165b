//! How a store writes its audit log: it makes each entry in the commit that the entry is about.

use std::{fmt, sync::Arc};

use crate::{
    Context, PersistResult, Position, Revision, TenantId, Timestamp,
    audit_entry::{AuditDigest, AuditEntry, AuditItem, AuditOutcome, AuditRecord},
    context::{AuditDraft, AuditSealer},
    message::AuditNumber,
    operation::ThreadResult,
};

/// The facts of a call, with an outcome and a moment.
pub(crate) fn record(
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
    fn seal(&mut self, sealer: &dyn AuditSealer, record: AuditRecord) -> AuditEntry {
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
pub struct PendingAuditEntry {
    draft: Arc<AuditDraft>,
    context: Context,
}

impl PendingAuditEntry {
    /// The ticket of one attempt.
    pub(crate) fn new(draft: &Arc<AuditDraft>, context: &Context) -> Self {
        draft.hand_over();
        Self { draft: Arc::clone(draft), context: context.clone() }
    }

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
        let sealer = self.draft.sealer();
        let mut items = self.draft.items().to_vec();
        settle(&mut items, result);
        let outcome = AuditOutcome::Applied { after, position };
        link.seal(sealer, record(sealer, &self.context, (outcome, now), (self.draft.content(), items)))
    }
}

impl fmt::Debug for PendingAuditEntry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("PendingAuditEntry").field(&self.context.call_id()).finish()
    }
}

/// Entries about calls that the store has not applied: what failed, what was answered elsewhere. A store that claims
/// [`Capabilities::audit`](crate::Capabilities::audit) appends them in one commit.
///
/// Only a pipeline makes one, and nothing but entries can be made of it.
pub struct RejectedCallRecords {
    sealer: Arc<dyn AuditSealer>,
    records: Vec<AuditRecord>,
}

impl RejectedCallRecords {
    pub(crate) fn new(sealer: &Arc<dyn AuditSealer>, records: Vec<AuditRecord>) -> Self {
        Self { sealer: Arc::clone(sealer), records }
    }

    /// The tenant of the first of them.
    #[must_use]
    pub fn tenant(&self) -> TenantId {
        self.records.first().map_or_else(TenantId::default, |record| record.tenant.clone())
    }

    /// How many there are: one at least.
    #[must_use]
    #[allow(clippy::len_without_is_empty, reason = "there is one at least")]
    pub const fn len(&self) -> usize {
        self.records.len()
    }

    /// Whose they are, each as often as there are notes of it.
    pub fn tenants(&self) -> impl Iterator<Item = &TenantId> {
        self.records.iter().map(|record| &record.tenant)
    }

    /// The entries. `link` moves on behind them.
    #[must_use]
    pub fn entries(&self, link: &mut AuditLink) -> Vec<AuditEntry> {
        self.records.iter().map(|record| link.seal(&*self.sealer, record.clone())).collect()
    }
}

impl fmt::Debug for RejectedCallRecords {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RejectedCallRecords").field("records", &self.records.len()).finish_non_exhaustive()
    }
}

/// Fills in the revisions that the store answered.
fn settle(items: &mut [AuditItem], result: &PersistResult) {
    match result {
        PersistResult::Batch(batched) => {
            for (item, output) in items.iter_mut().zip(&batched.outputs) {
                settle_one(item, output);
            }
        }
        single => {
            if let [item] = items {
                settle_one(item, single);
            }
        }
    }
}

fn settle_one(item: &mut AuditItem, result: &PersistResult) {
    item.revision = revision(result);
    // Which message is the last one only the store knows.
    if let PersistResult::Thread(ThreadResult::TakeLast(taken)) = result
        && let Some(deleted) = &taken.deleted
    {
        item.messages = vec![deleted.id.clone()];
    }
}

fn revision(result: &PersistResult) -> Option<Revision> {
    match result {
        PersistResult::Add(added) => Some(added.message.revision),
        PersistResult::Reserve(reserved) => Some(reserved.message.revision),
        PersistResult::UpdateContent(updated) => Some(updated.revision),
        PersistResult::Update(updated) => Some(updated.revision),
        PersistResult::Delete(deleted) => Some(deleted.revision),
        PersistResult::Thread(ThreadResult::TakeLast(taken)) => {
            taken.deleted.as_ref().map(|deleted| deleted.revision)
        }
        PersistResult::Batch(_)
        | PersistResult::Import(_)
        | PersistResult::Thread(_)
        | PersistResult::Read(_)
        | PersistResult::Consumer(_)
        | PersistResult::Session(_)
        | PersistResult::Replica(_) => None,
    }
}
