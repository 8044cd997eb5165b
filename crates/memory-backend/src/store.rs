//! Everything there is: tenants, their threads, and the count of commits.

use std::collections::BTreeMap;

use throughline_core::{
    Addressed, Batch, Batched, ConsumerArgs, ConsumerResult, Effect, ErrorKind, Idempotency, Message,
    MessageId, PersistArgs, PersistError, PersistResult, Position, ReadArgs, ReadResult, Result, Seq,
    SessionArgs, SessionResult, TenantId, ThreadArgs, ThreadEntry, ThreadId, Timestamp,
    audit::{AuditNotes, AuditTicket},
    backend::{LookUp, Replay, ThreadFacts, following, rules, search::Tokenizer},
    replica::{ImageCursor, Stance},
};

use crate::{
    audit::AuditLog,
    changes::Journal,
    consumers::Consumers,
    facts::Facts,
    list, names,
    operation::Told,
    page,
    replica::{Capture, Mark},
    search,
    sessions::{OfTenant, Whole},
    thread::{ThreadLog, UsedKey},
};

pub(crate) struct Store {
    closed: bool,
    pub(crate) journal: Journal,
    pub(crate) audit: AuditLog,
    pub(crate) tenants: BTreeMap<TenantId, Threads>,
    pub(crate) consumers: Consumers,
    pub(crate) whole: Whole,
    /// What it is beside another store.
    pub(crate) stance: Stance,
    /// How far it has followed.
    pub(crate) followed: Option<ImageCursor>,
    pub(crate) capture: Option<Capture>,
    /// How a search divides what is said into words.
    pub(crate) tokenizer: Tokenizer,
}

/// The threads of a tenant, in the order in which open messages are listed.
pub(crate) type Threads = BTreeMap<ThreadId, ThreadLog>;

impl Default for Store {
    fn default() -> Self {
        Self {
            closed: false,
            journal: Journal::default(),
            audit: AuditLog::default(),
            tenants: BTreeMap::new(),
            consumers: Consumers::default(),
            whole: Whole::default(),
            stance: Stance::LEADING,
            followed: None,
            capture: None,
            tokenizer: Tokenizer::default(),
        }
    }
}

impl Store {
    pub(crate) fn close(&mut self) {
        self.closed = true;
        self.tenants.clear();
        self.audit = AuditLog::default();
        self.consumers = Consumers::default();
        self.whole = Whole::default();
    }

    /// Applies one write as [`write`](Self::write) and [`consumer`](Self::consumer) do, and takes down who did it.
    pub(crate) fn audited<T: Clone + Into<PersistResult>>(
        &mut self,
        audit: Option<&AuditTicket>,
        now: Timestamp,
        apply: impl FnOnce(&mut Self) -> Result<(T, Option<Position>)>,
    ) -> Result<(T, Option<Position>)> {
        let after = self.journal.position;
        let (result, position) = apply(self)?;
        if let (Some(audit), Some(position)) = (audit, position) {
            let mut link = self.audit.link();
            let entry = audit.entry(&mut link, now, (after, position), &result.clone().into());
            self.audit.extend([entry]);
        }
        Ok((result, position))
    }

    /// Takes down what was not applied.
    pub(crate) fn note(&mut self, notes: &AuditNotes) -> Result<()> {
        self.check_open()?;
        following::expect_leading(self.stance)?;
        let entries = notes.entries(&mut self.audit.link());
        self.audit.extend(entries);
        Ok(())
    }

    /// Applies one write, whole or not at all. A replay has no position.
    pub(crate) fn write(
        &mut self,
        tenant: &TenantId,
        args: &PersistArgs,
        idempotency: Option<&Idempotency>,
        now: Timestamp,
    ) -> Result<(PersistResult, Option<Position>)> {
        self.check_open()?;
        following::expect_leading(self.stance)?;
        if let PersistArgs::Session(session) = args
            && session.thread().is_none()
        {
            let result = self.whole.apply(tenant, session)?;
            self.mark_whole(tenant, session);
            return Ok((result.into(), Some(self.journal.tell(tenant, Told::new(), now))));
        }
        let threads = self.tenants.entry(tenant.clone()).or_default();
        let of = OfTenant { tenant, whole: &self.whole };
        // An empty batch speaks of no thread; there is nothing that it could be.
        let first = first(args);
        let Some(scope) = first.and_then(PersistArgs::thread).cloned() else {
            return Err(PersistError::new(ErrorKind::Invalid, "a batch of no items"));
        };
        if let Some(log) = threads.get(&scope)
            && !matches!(first, Some(PersistArgs::Thread(ThreadArgs::Delete(_) | ThreadArgs::Purge(_))))
        {
            log.check_alive(&scope).map_err(|error| match args {
                PersistArgs::Batch(_) => error.with_batch_index(0),
                _ => error,
            })?;
        }
        if let Some(idempotency) = idempotency
            && let Some(used) = threads.get(&scope).and_then(|thread| thread.keys.get(&idempotency.key))
        {
            rules::expect_fingerprint(idempotency, &used.fingerprint)?;
            return Ok((used.replay.answer(tenant, args, &mut Present { threads, tenant })?, None));
        }
        let mut told = Told::new();
        let result = match args {
            PersistArgs::Batch(batch) => {
                let last = threads.get(&scope).map_or(Seq::ZERO, |log| log.last_seq);
                rules::expect_last(batch.after, last)?;
                apply_batch(threads, of, batch, now, &mut told)?
            }
            single => apply(threads, of, single, now, &mut told)?,
        };
        if let Some(idempotency) = idempotency {
            let (fingerprint, replay) = (idempotency.fingerprint, Replay::of(&result));
            let log = threads.entry(scope).or_default();
            log.keys.insert(idempotency.key.clone(), UsedKey { fingerprint, replay, at: now });
            log.marks.push(Mark::Key(idempotency.key.clone()));
        }
        for thread in args.each().filter_map(Addressed::thread) {
            self.mark(tenant, thread);
        }
        Ok((result, Some(self.journal.tell(tenant, told, now))))
    }

    /// Keeps what a consumer of the changes says of itself. It has its place among the commits, and nothing is told of it.
    pub(crate) fn consumer(
        &mut self,
        tenant: &TenantId,
        args: ConsumerArgs,
        now: Timestamp,
    ) -> Result<(ConsumerResult, Option<Position>)> {
        self.check_open()?;
        following::expect_leading(self.stance)?;
        let consumer = args.consumer().clone();
        let (result, changed) = self.consumers.apply(tenant, args, now)?;
        if changed {
            self.mark_consumer(tenant, consumer);
        }
        Ok((result, changed.then(|| self.journal.tell(tenant, Told::new(), now))))
    }

    pub(crate) fn read(&self, tenant: &TenantId, read: &ReadArgs, now: Timestamp) -> Result<ReadResult> {
        self.check_open()?;
        let nothing = Threads::new();
        let threads = self.tenants.get(tenant).unwrap_or(&nothing);
        match read {
            ReadArgs::Get(get) => {
                let thread = threads.get(&get.thread);
                Ok(ReadResult::Get(thread.and_then(|thread| thread.message(&get.id))))
            }
            ReadArgs::Page(read) => {
                rules::check_page(read.limit, read.max_bytes)?;
                let position = self.told();
                Ok(ReadResult::Page(page::page(threads.get(&read.thread), read, position)))
            }
            ReadArgs::OpenReservations(list) => {
                rules::check_page(list.limit, list.max_bytes)?;
                Ok(ReadResult::OpenReservations(page::open(threads, list, now)))
            }
            ReadArgs::Thread(get) => Ok(ReadResult::Thread(list::entry(threads, tenant, &get.thread))),
            ReadArgs::Threads(read) => {
                rules::check_page(read.limit, read.max_bytes)?;
                Ok(ReadResult::Threads(list::list(threads, tenant, read, self.told())))
            }
            ReadArgs::PlanPrune(plan) => {
                Ok(ReadResult::PlanPrune(list::plan_prune(threads.get(&plan.thread), plan)))
            }
            ReadArgs::Purgeable(read) => {
                rules::check_limit(read.limit)?;
                Ok(ReadResult::Purgeable(list::purgeable(threads, read)))
            }
            ReadArgs::Search(read) => {
                rules::check_limit(read.limit)?;
                search::search(threads, read, self.tokenizer, self.told()).map(ReadResult::Search)
            }
            ReadArgs::Changes(read) => {
                rules::check_limit(read.limit)?;
                self.journal.read(tenant, read, (self.told(), self.stance.leads())).map(ReadResult::Changes)
            }
            ReadArgs::Audit(read) => {
                rules::check_page(read.limit, read.max_bytes)?;
                Ok(ReadResult::Audit(self.audit.read(tenant, read, self.journal.position)))
            }
            ReadArgs::Cursor(read) => Ok(ReadResult::Cursor(self.consumers.cursor(tenant, &read.consumer))),
            ReadArgs::Quarantined(list) => {
                rules::check_limit(list.limit)?;
                Ok(ReadResult::Quarantined(self.consumers.quarantined(tenant, list)))
            }
            ReadArgs::Aliases(list) => {
                rules::check_limit(list.limit)?;
                Ok(ReadResult::Aliases(names::aliases(threads.get(&list.thread), list)))
            }
            ReadArgs::Resolve(read) => {
                let of = OfTenant { tenant, whole: &self.whole };
                Ok(ReadResult::Resolve(of.resolve(threads.get(&read.thread), read, now)))
            }
            ReadArgs::Attempts(list) => {
                rules::check_limit(list.limit)?;
                let of = OfTenant { tenant, whole: &self.whole };
                Ok(ReadResult::Attempts(of.attempts(threads.get(&list.thread), list)))
            }
            ReadArgs::Images(read) => self.images(read, now).map(ReadResult::Images),
            ReadArgs::Standing(_) => Ok(ReadResult::Standing(self.standing())),
            other => Err(PersistError::unsupported(format_args!("the read `{}`", other.as_str()))),
        }
    }

    pub(crate) fn check_open(&self) -> Result<()> {
        if self.closed {
            let error = PersistError::new(ErrorKind::Unavailable, "the store is closed");
            return Err(error.with_effect(Effect::NotApplied));
        }
        Ok(())
    }
}

/// What there is by now, for a replay.
struct Present<'a> {
    threads: &'a Threads,
    tenant: &'a TenantId,
}

impl LookUp for Present<'_> {
    fn message(&mut self, thread: &ThreadId, id: &MessageId) -> Result<Option<Message>> {
        Ok(self.threads.get(thread).and_then(|thread| thread.message(id)))
    }

    fn thread(&mut self, thread: &ThreadId) -> Result<Option<ThreadEntry>> {
        Ok(list::entry(self.threads, self.tenant, thread))
    }
}

/// The write whose thread's key it is: of a batch, the first item.
fn first(args: &PersistArgs) -> Option<&PersistArgs> {
    match args {
        PersistArgs::Batch(batch) => batch.items.first(),
        single => Some(single),
    }
}

/// Applies a single write: it checks everything before it changes anything.
fn apply(
    threads: &mut Threads,
    of: OfTenant<'_>,
    args: &PersistArgs,
    now: Timestamp,
    told: &mut Told,
) -> Result<PersistResult> {
    let tenant = of.tenant;
    match args {
        PersistArgs::Add(add) => Ok(log(threads, &add.thread).add(tenant, add, now, told)?.into()),
        PersistArgs::Reserve(reserve) => {
            Ok(log(threads, &reserve.thread).reserve(tenant, reserve, now, told)?.into())
        }
        PersistArgs::UpdateContent(update) => {
            Ok(log(threads, &update.thread).update_content(update, now, told)?.into())
        }
        PersistArgs::Update(update) => Ok(log(threads, &update.thread).update(update, now, told)?.into()),
        PersistArgs::Delete(delete) => Ok(log(threads, &delete.thread).delete(delete, now, told)?.into()),
        PersistArgs::Import(import) => Ok(log(threads, &import.thread).import(tenant, import, told)?.into()),
        PersistArgs::Thread(thread) => {
            let id = thread.thread().expect("every operation on a thread names it");
            Ok(log(threads, id).thread(tenant, thread, now, told)?.into())
        }
        PersistArgs::Session(session) => Ok(apply_session(threads, of, session, now)?.into()),
        PersistArgs::Batch(_) | PersistArgs::Read(_) | PersistArgs::Consumer(_) | PersistArgs::Replica(_) => {
            let kind = args.kind();
            Err(PersistError::new(ErrorKind::Invalid, format!("a `{kind}` cannot be an item of a batch")))
        }
        _ => Err(PersistError::unsupported(format_args!("`{}`", args.kind()))),
    }
}

/// A thread begins with what is done to sessions in it, too.
fn apply_session(
    threads: &mut Threads,
    of: OfTenant<'_>,
    session: &SessionArgs,
    now: Timestamp,
) -> Result<SessionResult> {
    let (Some(agent), Some(thread)) = (session.agent(), session.thread()) else {
        let detail = format!("a `{}` speaks of no thread", session.as_str());
        return Err(PersistError::new(ErrorKind::Invalid, detail));
    };
    let log = log(threads, thread);
    log.check_alive(thread)?;
    let result = of.apply(log, agent, thread, session, now)?;
    log.facts.get_or_insert_with(|| Facts::new(ThreadFacts::implied(now)));
    Ok(result)
}

pub(crate) fn log<'a>(threads: &'a mut Threads, id: &ThreadId) -> &'a mut ThreadLog {
    threads.entry(id.clone()).or_default()
}

/// Applies the items in order, and puts every thread back as it was when one is refused.
fn apply_batch(
    threads: &mut Threads,
    of: OfTenant<'_>,
    batch: &Batch,
    now: Timestamp,
    told: &mut Told,
) -> Result<PersistResult> {
    let mut before: BTreeMap<ThreadId, Option<ThreadLog>> = BTreeMap::new();
    let mut outputs = Vec::with_capacity(batch.items.len());
    for (index, item) in batch.items.iter().enumerate() {
        if let Some(id) = item.thread() {
            before.entry(id.clone()).or_insert_with(|| threads.get(id).cloned());
        }
        match apply(threads, of, item, now, told) {
            Ok(output) => outputs.push(output),
            Err(error) => {
                for (id, log) in before {
                    match log {
                        Some(log) => drop(threads.insert(id, log)),
                        None => drop(threads.remove(&id)),
                    }
                }
                return Err(error.with_batch_index(index));
            }
        }
    }
    Ok(Batched { outputs, deduplicated: false }.into())
}
