//! The audit log of a store: the store writes the record of a write in the commit of that write.

use std::{fmt, sync::Arc};

use crate::{
    Context, PersistResult, Position, TenantId, Timestamp,
    audit_entry::{AuditDigest, AuditEntry, AuditItem, AuditOutcome, AuditRecord},
    context::{AuditDraft, AuditSealer},
    message::AuditNumber,
};

/// Returns the audit record of a call with this outcome and time.
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

/// The end of an audit log: the number of the next record, and the hash of the record before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AuditLink {
    number: AuditNumber,
    previous: AuditDigest,
}

impl AuditLink {
    /// Returns the link for the first record of a log.
    #[must_use]
    pub const fn first() -> Self {
        Self::after(AuditNumber::ZERO, AuditDigest::ZERO)
    }

    /// Returns the link for the record after the one with this number and hash.
    #[must_use]
    pub const fn after(number: AuditNumber, hash: AuditDigest) -> Self {
        Self { number: number.next(), previous: hash }
    }

    /// Returns the number of the next record.
    #[must_use]
    pub const fn number(&self) -> AuditNumber {
        self.number
    }

    /// Creates the next entry and its body, and moves the link to the end of it.
    fn seal(&mut self, sealer: &dyn AuditSealer, record: AuditRecord) -> (AuditEntry, String) {
        let Self { number, previous } = *self;
        let body = AuditEntry::text(number, previous, &record);
        let hash = sealer.seal(body.as_bytes());
        *self = Self::after(number, hash);
        (AuditEntry { number, previous, hash, record, withheld: 0 }, body)
    }
}

/// The audit facts of one admitted write. A store that claims [`Capabilities::audit`](crate::Capabilities::audit)
/// creates the audit entry of the write from it, and stores the entry in the same commit.
///
/// Only a pipeline creates it, with the [`Admitted`](crate::Admitted) call.
pub struct PendingAuditEntry {
    draft: Arc<AuditDraft>,
    context: Context,
}

impl PendingAuditEntry {
    /// Takes over the audit draft of a call for one attempt.
    pub(crate) fn new(draft: &Arc<AuditDraft>, context: &Context) -> Self {
        draft.hand_over();
        Self { draft: Arc::clone(draft), context: context.clone() }
    }

    /// Returns the audit entry of a write that the store is about to commit at `now`. `after` is the position of the
    /// store before the write, and `position` is the one after it. A replay, and a write that takes no position, have
    /// no entry. `link` moves to the end of the new entry.
    #[must_use]
    pub fn entry(
        &self,
        link: &mut AuditLink,
        now: Timestamp,
        span: (Position, Position),
        result: &PersistResult,
    ) -> AuditEntry {
        self.entry_with_body(link, now, span, result).0
    }

    /// Returns the same entry as [`entry`](Self::entry), and its [body](AuditEntry::body), which was serialized for the hash.
    #[must_use]
    pub fn entry_with_body(
        &self,
        link: &mut AuditLink,
        now: Timestamp,
        (after, position): (Position, Position),
        result: &PersistResult,
    ) -> (AuditEntry, String) {
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

/// Rejected-call records: audit records of calls that the store did not apply, because they failed or because a layer
/// answered them. A store that claims [`Capabilities::audit`](crate::Capabilities::audit) appends them in one commit.
///
/// Only a pipeline creates it, and it contains nothing but audit entries.
pub struct RejectedCallRecords {
    sealer: Arc<dyn AuditSealer>,
    records: Vec<AuditRecord>,
}

impl RejectedCallRecords {
    pub(crate) fn new(sealer: &Arc<dyn AuditSealer>, records: Vec<AuditRecord>) -> Self {
        Self { sealer: Arc::clone(sealer), records }
    }

    /// Returns the tenant of the first record.
    #[must_use]
    pub fn tenant(&self) -> TenantId {
        self.records.first().map_or_else(TenantId::default, |record| record.tenant.clone())
    }

    /// Returns the number of records, which is at least one.
    #[must_use]
    #[allow(clippy::len_without_is_empty, reason = "it has at least one record")]
    pub const fn len(&self) -> usize {
        self.records.len()
    }

    /// Returns the tenant of each record, in order.
    pub fn tenants(&self) -> impl Iterator<Item = &TenantId> {
        self.records.iter().map(|record| &record.tenant)
    }

    /// Returns the entries. `link` moves to the end of the last one.
    #[must_use]
    pub fn entries(&self, link: &mut AuditLink) -> Vec<AuditEntry> {
        self.records.iter().map(|record| link.seal(&*self.sealer, record.clone()).0).collect()
    }
}

impl fmt::Debug for RejectedCallRecords {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RejectedCallRecords").field("records", &self.records.len()).finish_non_exhaustive()
    }
}

/// Copies the revisions from the answer of the store into the items.
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
    let answer = result.facts();
    item.revision = answer.revision();
    if let Some(deleted) = answer.deleted() {
        item.messages = vec![deleted.id.clone()];
    }
}
