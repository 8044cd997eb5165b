use std::{
    fmt, mem,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use super::{AuditItem, AuditNotes, AuditOutcome, AuditRecord, Sealer, draft::record};
use crate::{Context, Effect, ErrorKind, OpKind, PersistError, TenantId, Timestamp};

/// Whoever has the key, beside a layer that is described.
#[derive(Clone)]
pub(crate) struct Sealing(pub(crate) Arc<dyn Sealer>);

impl PartialEq for Sealing {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for Sealing {}

impl fmt::Debug for Sealing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Sealing(..)")
    }
}

/// How many calls that differ wait to be noted. Of those that come then, it is noted how many they were.
const WAITING: usize = 1024;

/// What a pipeline notes of calls that its store has not applied, until the store has taken it.
pub(crate) struct AuditTrail {
    sealer: Arc<dyn Sealer>,
    notes: Mutex<Waiting>,
}

#[derive(Default)]
struct Waiting {
    records: Vec<AuditRecord>,
    lost: u64,
    /// Somebody brings them to the store.
    carried: bool,
}

impl AuditTrail {
    pub(crate) fn new(sealer: Arc<dyn Sealer>) -> Self {
        Self { sealer, notes: Mutex::default() }
    }

    fn notes(&self) -> MutexGuard<'_, Waiting> {
        self.notes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A call has answered. Says whether somebody is to [carry](Self::take) what is noted to the store.
    pub(crate) fn answered(
        &self,
        context: &Context,
        failure: Option<&PersistError>,
        now: impl FnOnce() -> Timestamp,
    ) -> bool {
        let draft = context.call().audit();
        let outcome = match failure {
            // The store has written the entry, or had nothing to write one of.
            None if draft.is_none_or(|draft| draft.is_handed_over()) => return false,
            None => AuditOutcome::Elsewhere { times: 1 },
            Some(error) if is_noted(context.kind(), error) => AuditOutcome::Failed {
                kind: error.kind(),
                effect: error.effect(),
                site: error.site().map_or_else(|| "edge".to_owned(), |site| site.name().to_owned()),
                times: 1,
            },
            Some(_) => return false,
        };
        let (content, items) = match draft {
            Some(draft) => (draft.content(), draft.items().to_vec()),
            // Refused further out than the layer stands: what the call was about is all that is known.
            None => (None, context.call().shape.audited()),
        };
        let at = now();
        self.note(record(&*self.sealer, context, (outcome, at), (content, items)))
    }

    fn note(&self, record: AuditRecord) -> bool {
        let mut notes = self.notes();
        let has_room = notes.records.len() < WAITING;
        match notes.records.iter_mut().find(|other| is_alike(other, &record)) {
            Some(other) => count(&mut other.outcome),
            None if has_room => notes.records.push(record),
            None => notes.lost += 1,
        }
        !mem::replace(&mut notes.carried, true)
    }

    /// What is noted, for who carries it; nothing when there is nothing, and then nobody carries any more.
    pub(crate) fn take(&self, now: Timestamp) -> Option<AuditNotes> {
        let mut notes = self.notes();
        let lost = mem::take(&mut notes.lost);
        let mut records = mem::take(&mut notes.records);
        if lost > 0 {
            records.push(lost_calls(lost, now));
        }
        notes.carried = !records.is_empty();
        notes.carried.then(|| AuditNotes::new(&self.sealer, records))
    }

    /// What is on its way to the store, until it has [arrived](Carried::arrived).
    pub(crate) fn carry(&self, notes: &AuditNotes) -> Carried<'_> {
        Carried { trail: self, records: notes.records().to_vec() }
    }

    /// The store has not taken them: they wait again, and nobody carries them until the next one comes.
    fn put_back(&self, notes: Vec<AuditRecord>) {
        let mut waiting = self.notes();
        let newer = mem::take(&mut waiting.records);
        for record in notes.into_iter().chain(newer) {
            match record.outcome {
                AuditOutcome::Lost { calls } => waiting.lost += calls,
                _ if waiting.records.len() < WAITING => waiting.records.push(record),
                _ => waiting.lost += 1,
            }
        }
        waiting.carried = false;
    }

    /// How many calls have no entry yet.
    pub(crate) fn waiting(&self) -> u64 {
        let notes = self.notes();
        notes.records.len() as u64 + notes.lost
    }
}

/// Notes on their way. Dropped before they have arrived, they wait again.
pub(crate) struct Carried<'a> {
    trail: &'a AuditTrail,
    records: Vec<AuditRecord>,
}

impl Carried<'_> {
    /// The store has them.
    pub(crate) fn arrived(mut self) {
        self.records.clear();
    }
}

impl Drop for Carried<'_> {
    fn drop(&mut self) {
        if !self.records.is_empty() {
            self.trail.put_back(mem::take(&mut self.records));
        }
    }
}

/// Whether a failure is worth an entry: of a write each, and of a read the ones that say that somebody did what they may not.
fn is_noted(kind: OpKind, error: &PersistError) -> bool {
    kind.is_write()
        || matches!(error.kind(), ErrorKind::Denied | ErrorKind::ContractViolation | ErrorKind::Panicked)
}

/// Whether two calls differ in nothing but when they were made.
fn is_alike(one: &AuditRecord, other: &AuditRecord) -> bool {
    let AuditRecord { outcome, at: _, tenant, actor, call_site, call: _, key, content, items } = one;
    let outcome = match (outcome, &other.outcome) {
        (
            AuditOutcome::Failed { kind, effect, site, times: _ },
            AuditOutcome::Failed { kind: k, effect: e, site: s, times: _ },
        ) => (kind, effect, site) == (k, e, s) && *effect == Effect::NotApplied,
        (AuditOutcome::Elsewhere { .. }, AuditOutcome::Elsewhere { .. }) => true,
        _ => false,
    };
    outcome
        && (tenant, actor, call_site) == (&other.tenant, &other.actor, &other.call_site)
        && (key, content, items) == (&other.key, &other.content, &other.items)
}

const fn count(outcome: &mut AuditOutcome) {
    match outcome {
        AuditOutcome::Failed { times, .. } | AuditOutcome::Elsewhere { times } => *times += 1,
        AuditOutcome::Applied { .. } | AuditOutcome::Lost { .. } => {}
    }
}

fn lost_calls(calls: u64, at: Timestamp) -> AuditRecord {
    AuditRecord {
        outcome: AuditOutcome::Lost { calls },
        at,
        tenant: TenantId::default(),
        actor: None,
        call_site: None,
        call: String::new(),
        key: None,
        content: None,
        items: Vec::<AuditItem>::new(),
    }
}

impl fmt::Debug for AuditTrail {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AuditTrail").field("waiting", &self.waiting()).finish_non_exhaustive()
    }
}
