//! The contents of the store: tenants, their threads, and the last position.

use std::collections::{BTreeMap, HashMap};
use std::ops::Bound;

use throughline_core::{
    Effect, ErrorKind, PersistError, PersistResult, Position, ReadArgs, ReadResult, Result, TenantId,
    ThreadId, Timestamp,
    audit::{PendingAuditEntry, RejectedCallRecords},
    backend::{replication_rules, rules, search::Tokenizer, sessions::AgentRecord},
    changes::QuarantinedChange,
    ids::ConsumerName,
    replication::{ImageCursor, ReplicationState},
    sessions::ListAttempts,
};
use throughline_engine::{
    Limits, Transaction, read as engine_read,
    rows::{AgentKey, ConsumerKey, ConsumerRow, RuntimeKey, SessionHeadKey, ThreadKey},
};

use crate::{
    audit::AuditLog, changes::Journal, commit::decided, metadata_index::MetadataIndex, page,
    replica::Capture, search, sessions::Sessions, thread::Thread,
};

pub(crate) struct Store {
    closed: bool,
    pub(crate) journal: Journal,
    pub(crate) audit: AuditLog,
    pub(crate) tenants: BTreeMap<TenantId, Threads>,
    pub(crate) agents: HashMap<AgentKey, AgentRecord>,
    pub(crate) runtimes: HashMap<RuntimeKey, u64>,
    pub(crate) consumers: HashMap<ConsumerKey, Consumer>,
    pub(crate) replication_state: ReplicationState,
    pub(crate) followed: Option<ImageCursor>,
    pub(crate) capture: Option<Capture>,
    pub(crate) tokenizer: Tokenizer,
    pub(crate) index: MetadataIndex,
}

/// A consumer of the change feed, with its quarantine.
pub(crate) struct Consumer {
    pub(crate) row: ConsumerRow,
    pub(crate) quarantined: BTreeMap<Position, QuarantinedChange>,
}

/// The threads of a tenant, in the order in which open messages are listed.
pub(crate) type Threads = BTreeMap<ThreadId, Thread>;

impl Default for Store {
    fn default() -> Self {
        Self {
            closed: false,
            journal: Journal::default(),
            audit: AuditLog::default(),
            tenants: BTreeMap::new(),
            agents: HashMap::new(),
            runtimes: HashMap::new(),
            consumers: HashMap::new(),
            replication_state: ReplicationState::PRIMARY,
            followed: None,
            capture: None,
            tokenizer: Tokenizer::default(),
            index: MetadataIndex::default(),
        }
    }
}

impl Store {
    pub(crate) fn close(&mut self) {
        let index = MetadataIndex::new(self.index.names.clone());
        *self = Self { closed: true, tokenizer: self.tokenizer, index, ..Self::default() };
    }

    /// Applies one write, and writes its audit entry.
    pub(crate) fn audited<T: Clone + Into<PersistResult>>(
        &mut self,
        audit: Option<&PendingAuditEntry>,
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

    /// Writes records of rejected calls to the audit log.
    pub(crate) fn record_rejected_calls(&mut self, records: &RejectedCallRecords) -> Result<()> {
        self.check_open()?;
        replication_rules::expect_primary(self.replication_state)?;
        let entries = records.entries(&mut self.audit.link());
        self.audit.extend(entries);
        Ok(())
    }

    pub(crate) fn read(&self, tenant: &TenantId, read: &ReadArgs, now: Timestamp) -> Result<ReadResult> {
        self.check_open()?;
        let nothing = Threads::new();
        let threads = self.tenants.get(tenant).unwrap_or(&nothing);
        Ok(match read {
            ReadArgs::Get(get) => {
                let thread = threads.get(&get.thread);
                ReadResult::Get(thread.and_then(|thread| thread.message(tenant, &get.thread, &get.id)))
            }
            ReadArgs::Content(read) => {
                rules::check_page(1, read.limit)?;
                let thread = threads.get(&read.thread);
                ReadResult::Content(thread.map(|thread| thread.read_content(read)).transpose()?.flatten())
            }
            ReadArgs::Page(read) => {
                rules::check_page(read.limit, read.max_bytes)?;
                ReadResult::Page(page::page(tenant, threads.get(&read.thread), read, self.emitted()))
            }
            ReadArgs::OpenReservations(list) => {
                rules::check_page(list.limit, list.max_bytes)?;
                ReadResult::OpenReservations(page::open(tenant, threads, list, now))
            }
            ReadArgs::Thread(get) => {
                let thread = threads.get(&get.thread);
                ReadResult::Thread(thread.and_then(|thread| thread.entry(tenant, &get.thread)))
            }
            ReadArgs::Threads(read) => {
                rules::check_page(read.limit, read.max_bytes)?;
                let rows = threads.iter().map(|(id, thread)| (id, &thread.row));
                ReadResult::Threads(engine_read::threads(read, tenant, rows, self.emitted()))
            }
            ReadArgs::PlanPrune(plan) => {
                let thread = threads.get(&plan.thread);
                let rows: Vec<_> =
                    thread.into_iter().flat_map(Thread::visible).map(|(.., stored)| &stored.row).collect();
                let row = thread.map(|thread| &thread.row);
                ReadResult::PlanPrune(engine_read::plan_prune(plan, row, rows.into_iter()))
            }
            ReadArgs::Purgeable(read) => {
                rules::check_limit(read.limit)?;
                let purgeable = threads.iter().filter(|(_, thread)| thread.row.purgeable);
                ReadResult::Purgeable(engine_read::purgeable(read, purgeable.map(|(id, _)| id)))
            }
            ReadArgs::Tenants(list) => {
                rules::check_limit(list.limit)?;
                let with_threads = self.tenants.iter().filter(|(_, threads)| !threads.is_empty());
                ReadResult::Tenants(engine_read::tenants(list, with_threads.map(|(tenant, _)| tenant)))
            }
            ReadArgs::Search(read) => {
                rules::check_limit(read.limit)?;
                ReadResult::Search(search::search(threads, read, self.tokenizer, self.emitted())?)
            }
            ReadArgs::Find(find) => {
                rules::check_page(find.limit, find.max_bytes)?;
                ReadResult::Find(self.index.find(tenant, threads, find)?)
            }
            ReadArgs::Changes(read) => {
                rules::check_limit(read.limit)?;
                ReadResult::Changes(self.journal.read(
                    tenant,
                    read,
                    (self.emitted(), self.replication_state.is_primary()),
                )?)
            }
            ReadArgs::Audit(read) => {
                rules::check_page(read.limit, read.max_bytes)?;
                ReadResult::Audit(self.audit.read(tenant, read, self.journal.position))
            }
            ReadArgs::Cursor(read) => {
                let kept = self.consumer_of(tenant, &read.consumer);
                let quarantined = kept.map_or(0, |kept| kept.quarantined.len() as u64);
                let row = kept.map(|kept| &kept.row);
                ReadResult::Cursor(engine_read::consumer_cursor(&read.consumer, row, quarantined))
            }
            ReadArgs::Quarantined(list) => {
                rules::check_limit(list.limit)?;
                let kept = self.consumer_of(tenant, &list.consumer);
                let after = (Bound::Excluded(list.after), Bound::Unbounded);
                let changes = kept.into_iter().flat_map(|kept| kept.quarantined.range(after));
                ReadResult::Quarantined(engine_read::quarantined(list, changes.map(|(_, change)| change)))
            }
            ReadArgs::Aliases(list) => {
                rules::check_limit(list.limit)?;
                let aliases = threads.get(&list.thread).into_iter().flat_map(Thread::present_aliases);
                ReadResult::Aliases(engine_read::aliases(list, aliases))
            }
            ReadArgs::Resolve(read) => {
                let mut transaction = Transaction::new(self, Limits::default());
                ReadResult::Resolve(decided(transaction.resolve_session(tenant, read, now))?)
            }
            ReadArgs::Attempts(list) => {
                rules::check_page(list.limit, list.max_bytes)?;
                let sessions = self.listed_sessions(tenant, list).into_iter();
                let before = list.before.unwrap_or(u64::MAX);
                let records = sessions.flat_map(|sessions| sessions.attempts.range(..before).rev());
                ReadResult::Attempts(engine_read::attempts(list, records.map(|(_, record)| record)))
            }
            ReadArgs::Images(read) => ReadResult::Images(self.images(read, now)?),
            ReadArgs::ReplicationStatus(_) => ReadResult::ReplicationStatus(self.replication_status()),
            other => return Err(PersistError::unsupported(format_args!("the read `{}`", other.as_str()))),
        })
    }

    fn consumer_of(&self, tenant: &TenantId, consumer: &ConsumerName) -> Option<&Consumer> {
        self.consumers.get(&ConsumerKey { tenant: tenant.clone(), consumer: consumer.clone() })
    }

    /// The sessions of an agent in a thread that was not deleted.
    fn listed_sessions(&self, tenant: &TenantId, list: &ListAttempts) -> Option<&Sessions> {
        let agent = AgentKey { tenant: tenant.clone(), agent: list.agent.clone() };
        let AgentRecord { incarnation, .. } = self.agents.get(&agent).copied().unwrap_or_default();
        let thread = ThreadKey::new(tenant, &list.thread);
        self.thread_of(&thread).filter(|thread| !thread.row.deleted)?;
        self.sessions_of(&SessionHeadKey { thread, agent: agent.agent, incarnation })
    }

    pub(crate) fn check_open(&self) -> Result<()> {
        if self.closed {
            let error = PersistError::new(ErrorKind::Unavailable, "the store is closed");
            return Err(error.with_effect(Effect::NotApplied));
        }
        Ok(())
    }
}
