//! The audit log of a store: the store writes the record of a write in the commit of that write.

use std::{fmt, sync::Arc};

use crate::{
    Context, PersistResult, Position, Revision, TenantId, ThreadId, Timestamp,
    audit_entry::{AuditDigest, AuditEntry, AuditItem, AuditOutcome, AuditRecord, RecordText},
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

    /// Creates the next entry, and moves the link to the end of it.
    fn seal(&mut self, sealer: &dyn AuditSealer, record: AuditRecord) -> AuditEntry {
        let Self { number, previous } = *self;
        let hash = self.seal_body(sealer, &AuditEntry::text(number, previous, &record));
        AuditEntry { number, previous, hash, record, withheld: 0 }
    }

    /// Returns the hash of the next entry, and moves the link to the end of it.
    fn seal_body(&mut self, sealer: &dyn AuditSealer, body: &str) -> AuditDigest {
        let hash = sealer.seal(body.as_bytes());
        *self = Self::after(self.number, hash);
        hash
    }
}

/// An audit entry as a store writes it: its body and the hash of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SealedAuditEntry {
    /// The number of the entry.
    pub number: AuditNumber,
    /// The tenant of the call.
    pub tenant: TenantId,
    /// The thread of the call, if all its items belong to one: see [`AuditEntry::only_thread`].
    pub thread: Option<ThreadId>,
    /// The keyed hash of the body.
    pub hash: AuditDigest,
    /// The [body](AuditEntry::body).
    pub body: String,
}

impl From<&AuditEntry> for SealedAuditEntry {
    fn from(entry: &AuditEntry) -> Self {
        Self {
            number: entry.number,
            tenant: entry.record.tenant.clone(),
            thread: entry.only_thread().cloned(),
            hash: entry.hash,
            body: entry.body(),
        }
    }
}

/// The audit facts of one admitted write. A store that claims [`Capabilities::audit`](crate::Capabilities::audit)
/// creates the audit entry of the write from it, and stores the entry in the same commit.
///
/// Only a pipeline creates it, with the [`Admitted`](crate::Admitted) call.
pub struct PendingAuditEntry {
    draft: Arc<AuditDraft>,
    context: Context,
    text: Option<RecordText>,
}

impl PendingAuditEntry {
    /// Takes over the audit draft of a call for one attempt.
    pub(crate) fn new(draft: &Arc<AuditDraft>, context: &Context) -> Self {
        draft.hand_over();
        Self { draft: Arc::clone(draft), context: context.clone(), text: None }
    }

    /// Serializes the part of the entry that does not depend on the store. A store that writes on another thread calls this on
    /// the thread of the caller, so that less is left for [`seal`](Self::seal).
    #[must_use]
    pub fn serialized(mut self) -> Self {
        self.text = Some(self.record_text());
        self
    }

    fn record_text(&self) -> RecordText {
        // Only the store knows the outcome and the time.
        let outcome = AuditOutcome::Lost { calls: 0 };
        RecordText::new(&self.record((outcome, Timestamp::default()), self.draft.items().to_vec()))
    }

    fn record(&self, outcome: (AuditOutcome, Timestamp), items: Vec<AuditItem>) -> AuditRecord {
        record(self.draft.sealer(), &self.context, outcome, (self.draft.content(), items))
    }

    /// Returns the audit entry of a write that the store is about to commit at `now`. `after` is the position of the
    /// store before the write, and `position` is the one after it. A replay, and a write that takes no position, have
    /// no entry. `link` moves to the end of the new entry.
    #[must_use]
    pub fn entry(
        &self,
        link: &mut AuditLink,
        now: Timestamp,
        (after, position): (Position, Position),
        result: &PersistResult,
    ) -> AuditEntry {
        let mut items = self.draft.items().to_vec();
        settle(&mut items, result);
        let outcome = AuditOutcome::Applied { after, position };
        link.seal(self.draft.sealer(), self.record((outcome, now), items))
    }

    /// Returns the same entry as [`entry`](Self::entry), as a store writes it. It takes less time, most of all after
    /// [`serialized`](Self::serialized).
    #[must_use]
    pub fn seal(
        &self,
        link: &mut AuditLink,
        now: Timestamp,
        span: (Position, Position),
        result: &PersistResult,
    ) -> SealedAuditEntry {
        let items = self.draft.items();
        if names_other_messages(items, result) {
            return (&self.entry(link, now, span, result)).into();
        }
        let made;
        let text = match &self.text {
            Some(text) => text,
            None => {
                made = self.record_text();
                &made
            }
        };
        let AuditLink { number, previous } = *link;
        let body = text.body((number, previous), span, now, revisions(items.len(), result));
        let hash = link.seal_body(self.draft.sealer(), &body);
        let thread = AuditItem::only_thread(items).cloned();
        SealedAuditEntry { number, tenant: self.context.tenant().clone(), thread, hash, body }
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
        self.records.iter().map(|record| link.seal(&*self.sealer, record.clone())).collect()
    }
}

impl fmt::Debug for RejectedCallRecords {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RejectedCallRecords").field("records", &self.records.len()).finish_non_exhaustive()
    }
}

/// Copies the facts of the answer of the store into the items.
fn settle(items: &mut [AuditItem], result: &PersistResult) {
    for (item, answer) in items.iter_mut().zip(answers(result)) {
        let answer = answer.facts();
        item.revision = answer.revision();
        if let Some(deleted) = answer.deleted() {
            item.messages = vec![deleted.id.clone()];
        }
    }
}

/// The revision of each item in the answer of the store.
fn revisions(items: usize, result: &PersistResult) -> impl Iterator<Item = Option<Revision>> {
    let answers = answers(result).iter().map(|answer| answer.facts().revision());
    answers.chain(std::iter::repeat(None)).take(items)
}

/// Whether the answer names a message that the items do not name.
fn names_other_messages(items: &[AuditItem], result: &PersistResult) -> bool {
    items.iter().zip(answers(result)).any(|(item, answer)| {
        let deleted = answer.facts().deleted();
        deleted.is_some_and(|deleted| item.messages.as_slice() != std::slice::from_ref(&deleted.id))
    })
}

/// The answers to the items of a call: one, or those of a batch.
const fn answers(result: &PersistResult) -> &[PersistResult] {
    match result {
        PersistResult::Batch(batched) => batched.outputs.as_slice(),
        single => std::slice::from_ref(single),
    }
}
