use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::{task::AbortHandle, time::Instant};

use super::audit_budget::{Bucket, RejectedCallBudget};
use crate::{
    Context, Effect, ErrorKind, OpKind, PersistError, TenantId, Timestamp,
    audit_entry::{AuditItem, AuditOutcome, AuditRecord},
    backend::{RejectedCallRecords, record},
    context::AuditSealer,
};

/// The key of an audit log and its budget, which a layer passes to the pipeline.
#[derive(Clone)]
pub(crate) struct Sealing {
    pub(crate) sealer: Arc<dyn AuditSealer>,
    pub(crate) budget: RejectedCallBudget,
}

impl PartialEq for Sealing {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.sealer, &other.sealer) && self.budget == other.budget
    }
}

impl Eq for Sealing {}

impl fmt::Debug for Sealing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sealing").field("budget", &self.budget).finish_non_exhaustive()
    }
}

/// The most kinds of calls that wait to be recorded. Calls of further kinds are only counted.
const KINDS: usize = 1024;

/// The most of these kinds for one tenant, so that one tenant cannot use all of them.
const KINDS_OF_A_TENANT: usize = KINDS / 8;

/// The bytes that an entry counts in addition to its text: its number, its hashes and its row.
const ROW: u64 = 256;

/// The records of calls that the store has not applied, until the store has written them.
pub(crate) struct AuditTrail {
    sealer: Arc<dyn AuditSealer>,
    budget: RejectedCallBudget,
    waiting: Mutex<Waiting>,
}

struct Waiting {
    kinds: HashMap<String, Kind>,
    /// The number of records so far. Records are written in this order.
    came: u64,
    lost: u64,
    lost_due: Option<Instant>,
    bucket: Bucket,
    /// The store refused records; none is written before this instant.
    store_blocked_until: Option<Instant>,
    /// The budget is used up; no record within the budget is written before this instant.
    budget_blocked_until: Option<Instant>,
    /// Whether a task writes the records, or is about to.
    carried: bool,
    /// The timer for the next due records, and the instant at which it fires.
    timer: Option<(Instant, AbortHandle)>,
}

/// Calls that are counted in one record.
struct Kind {
    class: Class,
    tenant: TenantId,
    /// The instant at which its next record is due. `None` if it is due at once.
    due: Option<Instant>,
    record: Option<(u64, AuditRecord)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Class {
    /// The call was refused and nothing was applied.
    Rejected,
    /// The call failed, and the store may have applied it. Each such call has its own record.
    Unknown,
    /// A layer or another pipeline answered the call. It is not a refusal, and is outside the budget.
    Elsewhere,
}

impl Class {
    const fn is_counted(self) -> bool {
        !matches!(self, Self::Unknown)
    }

    const fn is_in_budget(self) -> bool {
        !matches!(self, Self::Elsewhere)
    }
}

/// A record on its way to the store.
struct Taken {
    key: String,
    class: Class,
    bytes: u64,
    came: u64,
    record: AuditRecord,
}

impl AuditTrail {
    pub(crate) fn new(Sealing { sealer, budget }: Sealing) -> Self {
        let waiting = Waiting {
            kinds: HashMap::new(),
            came: 0,
            lost: 0,
            lost_due: None,
            bucket: Bucket::new(budget),
            store_blocked_until: None,
            budget_blocked_until: None,
            carried: false,
            timer: None,
        };
        Self { sealer, budget, waiting: Mutex::new(waiting) }
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Records the end of a call if it needs a record. Returns whether a task must [take](Self::take) records to the store now.
    pub(crate) fn answered(
        &self,
        context: &Context,
        failure: Option<&PersistError>,
        now: impl FnOnce() -> Timestamp,
    ) -> Option<bool> {
        let draft = context.call().audit();
        let (class, outcome) = match failure {
            // The store has written the entry, or there was nothing to write.
            None if draft.is_none_or(|draft| draft.is_handed_over()) => return None,
            None => (Class::Elsewhere, AuditOutcome::Elsewhere { times: 1 }),
            Some(error) if is_recorded(context.kind(), error) => {
                let effect = error.effect();
                let site = error.site().map_or_else(|| "edge".to_owned(), |site| site.name().to_owned());
                let class = if effect == Effect::NotApplied { Class::Rejected } else { Class::Unknown };
                (class, AuditOutcome::Failed { kind: error.kind(), effect, site, times: 1, until: None })
            }
            Some(_) => return None,
        };
        let (content, items) = match draft {
            Some(draft) => (draft.content(), draft.items().to_vec()),
            // A layer outside the audit layer refused the call: only its shape is known.
            None => (None, context.call().shape.audited()),
        };
        let record = record(&*self.sealer, context, (outcome, now()), (content, items));
        let is_batch = record.items.len() != 1;
        let record = if class == Class::Elsewhere { record } else { record.shortened() };
        Some(self.add(key(class, is_batch, &record), class, record))
    }

    fn add(&self, key: String, class: Class, record: AuditRecord) -> bool {
        let now = Instant::now();
        let waiting = &mut *self.lock();
        waiting.came += 1;
        let came = waiting.came;
        let due = if let Some(kind) = waiting.kinds.get_mut(&key) {
            match &mut kind.record {
                Some((_, other)) => other.count(&record),
                None => kind.record = Some((came, record)),
            }
            kind.due
        } else if waiting.has_space(&record.tenant, now) {
            let tenant = record.tenant.clone();
            waiting.kinds.insert(key, Kind { class, tenant, due: None, record: Some((came, record)) });
            None
        } else {
            waiting.lost += 1;
            waiting.lost_due
        };
        let is_due = due.max(waiting.blocked_until(class)).is_none_or(|due| due <= now);
        is_due && !std::mem::replace(&mut waiting.carried, true)
    }

    /// Takes the records that are due, or all of them, with a guard to hold until they have [arrived](Carried::arrived). `None`
    /// if none is due.
    pub(crate) fn take(&self, at: Timestamp, all: bool) -> Option<(RejectedCallRecords, Carried<'_>)> {
        let now = Instant::now();
        let taken = self.lock().take(at, now, all, self.budget);
        if taken.is_empty() {
            return None;
        }
        let records = taken.iter().map(|taken| taken.record.clone()).collect();
        Some((RejectedCallRecords::new(&self.sealer, records), Carried { trail: self, taken }))
    }

    /// Uses `start` to start a timer for the next due records, unless a task writes them or a timer fires earlier. It replaces a
    /// timer that fires later.
    pub(crate) fn set_timer(&self, start: impl FnOnce(Instant) -> AbortHandle) {
        let waiting = &mut *self.lock();
        if waiting.carried {
            return;
        }
        let now = Instant::now();
        let kinds = waiting.kinds.values().filter(|kind| kind.record.is_some());
        let kinds = kinds.map(|kind| kind.due.max(waiting.blocked_until(kind.class)));
        let lost = (waiting.lost > 0).then(|| waiting.lost_due.max(waiting.blocked_until(Class::Rejected)));
        let Some(due) = kinds.chain(lost).map(|due| due.unwrap_or(now)).min() else { return };
        if waiting.timer.as_ref().is_some_and(|(fires, _)| *fires <= due) {
            return;
        }
        if let Some((_, later)) = waiting.timer.replace((due, start(due))) {
            later.abort();
        }
    }

    /// The timer has fired.
    pub(crate) fn timer_is_over(&self) {
        self.lock().timer = None;
    }

    /// Returns records that the store did not write to the queue, for an interval or until the next record.
    fn put_back(&self, all: Vec<Taken>) {
        let now = Instant::now();
        let waiting = &mut *self.lock();
        for Taken { key, class, bytes, came, mut record } in all {
            if class.is_in_budget() {
                waiting.bucket.give_back(bytes);
            }
            let calls = record.calls();
            if let AuditOutcome::Lost { calls } = record.outcome {
                waiting.lost += calls;
            } else if let Some(kind) = waiting.kinds.get_mut(&key) {
                if let Some((_, newer)) = &kind.record {
                    record.count(newer);
                }
                (kind.due, kind.record) = (None, Some((came, record)));
            } else if waiting.kinds.len() < KINDS {
                let tenant = record.tenant.clone();
                waiting.kinds.insert(key, Kind { class, tenant, due: None, record: Some((came, record)) });
            } else {
                waiting.lost += calls;
            }
        }
        waiting.lost_due = None;
        waiting.store_blocked_until = Some(now + self.budget.interval);
        waiting.carried = false;
    }

    /// The number of calls without an entry.
    pub(crate) fn waiting(&self) -> u64 {
        let waiting = self.lock();
        let records = waiting.kinds.values().filter_map(|kind| kind.record.as_ref());
        records.map(|(_, record)| record.calls()).sum::<u64>() + waiting.lost
    }
}

impl Waiting {
    /// The instant before which no record of this class is written.
    fn blocked_until(&self, class: Class) -> Option<Instant> {
        let budget = if class.is_in_budget() { self.budget_blocked_until } else { None };
        self.store_blocked_until.max(budget)
    }

    /// Whether another kind of this tenant may wait.
    fn has_space(&mut self, tenant: &TenantId, now: Instant) -> bool {
        if self.kinds.len() >= KINDS_OF_A_TENANT {
            // A written kind is kept only to count rejected calls in its next record.
            self.kinds.retain(|_, kind| {
                kind.record.is_some()
                    || kind.class == Class::Rejected && kind.due.is_some_and(|due| due > now)
            });
        }
        self.kinds.len() < KINDS_OF_A_TENANT
            || self.kinds.len() < KINDS
                && self.kinds.values().filter(|kind| kind.tenant == *tenant).count() < KINDS_OF_A_TENANT
    }

    /// Takes the due records in their order. If the budget is too small for all, each tenant gets its first record before any
    /// tenant gets a second.
    fn take(&mut self, at: Timestamp, now: Instant, all: bool, budget: RejectedCallBudget) -> Vec<Taken> {
        for until in [&mut self.store_blocked_until, &mut self.budget_blocked_until] {
            until.take_if(|until| all || *until <= now);
        }
        let is_due = |kind: &Kind| kind.due.max(self.blocked_until(kind.class)).is_none_or(|due| due <= now);
        let mut due: Vec<(u64, TenantId, String)> = self
            .kinds
            .iter()
            .filter(|(_, kind)| all || is_due(kind))
            .filter_map(|(key, kind)| Some((kind.record.as_ref()?.0, kind.tenant.clone(), key.clone())))
            .collect();
        due.sort_unstable_by_key(|(came, ..)| *came);
        let mut of_tenant: HashMap<TenantId, u64> = HashMap::new();
        let mut turns: Vec<(u64, String)> = Vec::with_capacity(due.len());
        for (_, tenant, key) in due {
            let turn = of_tenant.entry(tenant).or_default();
            turns.push((*turn, key));
            *turn += 1;
        }
        turns.sort_by_key(|(turn, _)| *turn);
        let mut taken = Vec::with_capacity(turns.len() + 1);
        for (_, key) in turns {
            taken.extend(self.take_kind(key, now, all, budget));
        }
        taken.sort_unstable_by_key(|taken| taken.came);
        taken.extend(self.take_lost(at, now, all, budget));
        if taken.is_empty() && !all {
            self.carried = false;
        }
        taken
    }

    fn take_kind(
        &mut self,
        key: String,
        now: Instant,
        all: bool,
        budget: RejectedCallBudget,
    ) -> Option<Taken> {
        let kind = self.kinds.get_mut(&key)?;
        let (came, record) = kind.record.take()?;
        let (class, bytes) = (kind.class, record.byte_len() + ROW);
        if class.is_in_budget()
            && let Err(until) = self.bucket.take(bytes, now)
        {
            if all {
                self.lost += record.calls();
            } else {
                // It counts further calls until the budget allows a record.
                kind.record = Some((came, record));
                self.block_budget(until);
            }
            return None;
        }
        if class.is_counted() {
            kind.due = Some(now + budget.interval);
        } else {
            self.kinds.remove(&key);
        }
        Some(Taken { key, class, bytes, came, record })
    }

    fn block_budget(&mut self, until: Instant) {
        self.budget_blocked_until = Some(self.budget_blocked_until.map_or(until, |other| other.min(until)));
    }

    /// Takes the record of the calls that were only counted. With `all`, it ignores the budget.
    fn take_lost(
        &mut self,
        at: Timestamp,
        now: Instant,
        all: bool,
        budget: RejectedCallBudget,
    ) -> Option<Taken> {
        let due = self.lost_due.max(self.blocked_until(Class::Rejected));
        if self.lost == 0 || !all && due.is_some_and(|due| due > now) {
            return None;
        }
        let record = lost_calls(self.lost, at);
        let bytes = record.byte_len() + ROW;
        match self.bucket.take(bytes, now) {
            Err(until) if !all => {
                self.block_budget(until);
                return None;
            }
            _ => {}
        }
        (self.lost, self.lost_due) = (0, Some(now + budget.interval));
        Some(Taken { key: String::new(), class: Class::Rejected, bytes, came: u64::MAX, record })
    }
}

/// Records on their way to the store. A drop before they have arrived returns them to the queue.
pub(crate) struct Carried<'a> {
    trail: &'a AuditTrail,
    taken: Vec<Taken>,
}

impl Carried<'_> {
    /// The store has written the records.
    pub(crate) fn arrived(mut self) {
        self.taken.clear();
    }
}

impl Drop for Carried<'_> {
    fn drop(&mut self) {
        if !self.taken.is_empty() {
            self.trail.put_back(std::mem::take(&mut self.taken));
        }
    }
}

/// Whether a failure needs an entry: every failed write, and a read whose caller was not permitted or broke the contract.
fn is_recorded(kind: OpKind, error: &PersistError) -> bool {
    kind.is_write()
        || matches!(error.kind(), ErrorKind::Denied | ErrorKind::ContractViolation | ErrorKind::Panicked)
}

/// The key of the kind of a record. Calls with the same key are counted in one record.
fn key(class: Class, is_batch: bool, record: &AuditRecord) -> String {
    let AuditRecord { outcome, tenant, actor, call_site, call, items, .. } = record;
    let key = match (class, outcome) {
        (Class::Rejected, AuditOutcome::Failed { kind, site, .. }) => {
            let operation =
                if is_batch { "batch" } else { items.first().map_or("", |item| &*item.operation) };
            serde_json::to_string(&(tenant, actor, call_site, operation, kind, site))
        }
        (Class::Elsewhere, _) => {
            let mut record = record.clone();
            (record.at, record.call) = (Timestamp::from_micros(0), String::new());
            // A record that is not shortened can be long, and its key is kept with it.
            serde_json::to_vec(&record).map(|json| blake3::hash(&json).to_hex().to_string())
        }
        _ => serde_json::to_string(&(call, outcome)),
    };
    key.expect("a record serializes into memory")
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
        omitted: 0,
    }
}

impl fmt::Debug for AuditTrail {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AuditTrail").field("waiting", &self.waiting()).finish_non_exhaustive()
    }
}
