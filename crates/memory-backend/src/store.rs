//! Everything there is: tenants, their threads, and the count of commits.

use std::collections::{BTreeMap, HashMap};

use throughline_core::{
    Effect, ErrorKind, ListAttempts, PersistError, PersistResult, Position, ReadArgs, ReadResult, Result,
    TenantId, ThreadId, Timestamp,
    audit::{AuditNotes, AuditTicket},
    backend::{following, rules, search::Tokenizer, sessions::AgentRecord},
    replica::{ImageCursor, Stance},
};
use throughline_engine::{
    Limits, Transaction,
    rows::{AgentKey, ConsumerKey, RuntimeKey, SessionHeadKey, ThreadKey},
};

use crate::{
    aliases::aliases,
    audit::AuditLog,
    changes::Journal,
    commit::decided,
    consumers::{self, Consumer},
    list, page,
    replica::Capture,
    search,
    sessions::{self, Sessions},
    thread::Thread,
};

pub(crate) struct Store {
    closed: bool,
    pub(crate) journal: Journal,
    pub(crate) audit: AuditLog,
    pub(crate) tenants: BTreeMap<TenantId, Threads>,
    pub(crate) agents: HashMap<AgentKey, AgentRecord>,
    pub(crate) runtimes: HashMap<RuntimeKey, u64>,
    pub(crate) consumers: HashMap<ConsumerKey, Consumer>,
    /// Whether it leads or follows another store.
    pub(crate) stance: Stance,
    /// How far it has followed.
    pub(crate) followed: Option<ImageCursor>,
    pub(crate) capture: Option<Capture>,
    /// How a search divides a text into terms.
    pub(crate) tokenizer: Tokenizer,
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
            stance: Stance::LEADING,
            followed: None,
            capture: None,
            tokenizer: Tokenizer::default(),
        }
    }
}

impl Store {
    pub(crate) fn close(&mut self) {
        *self = Self { closed: true, tokenizer: self.tokenizer, ..Self::default() };
    }

    /// Applies one write, and records in the audit log who made it.
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

    /// Records in the audit log what was not applied.
    pub(crate) fn note(&mut self, notes: &AuditNotes) -> Result<()> {
        self.check_open()?;
        following::expect_leading(self.stance)?;
        let entries = notes.entries(&mut self.audit.link());
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
                ReadResult::Threads(list::list(threads, tenant, read, self.emitted()))
            }
            ReadArgs::PlanPrune(plan) => {
                ReadResult::PlanPrune(list::plan_prune(threads.get(&plan.thread), plan))
            }
            ReadArgs::Purgeable(read) => {
                rules::check_limit(read.limit)?;
                ReadResult::Purgeable(list::purgeable(threads, read))
            }
            ReadArgs::Search(read) => {
                rules::check_limit(read.limit)?;
                ReadResult::Search(search::search(threads, read, self.tokenizer, self.emitted())?)
            }
            ReadArgs::Changes(read) => {
                rules::check_limit(read.limit)?;
                ReadResult::Changes(self.journal.read(tenant, read, (self.emitted(), self.stance.leads()))?)
            }
            ReadArgs::Audit(read) => {
                rules::check_page(read.limit, read.max_bytes)?;
                ReadResult::Audit(self.audit.read(tenant, read, self.journal.position))
            }
            ReadArgs::Cursor(read) => {
                let key = ConsumerKey { tenant: tenant.clone(), consumer: read.consumer.clone() };
                ReadResult::Cursor(consumers::cursor(self.consumers.get(&key), &read.consumer))
            }
            ReadArgs::Quarantined(list) => {
                rules::check_limit(list.limit)?;
                let key = ConsumerKey { tenant: tenant.clone(), consumer: list.consumer.clone() };
                ReadResult::Quarantined(consumers::quarantined(self.consumers.get(&key), list))
            }
            ReadArgs::Aliases(list) => {
                rules::check_limit(list.limit)?;
                ReadResult::Aliases(aliases(threads.get(&list.thread), list))
            }
            ReadArgs::Resolve(read) => {
                let mut transaction = Transaction::new(self, Limits::default());
                ReadResult::Resolve(decided(transaction.resolve_session(tenant, read, now))?)
            }
            ReadArgs::Attempts(list) => {
                rules::check_limit(list.limit)?;
                ReadResult::Attempts(sessions::attempts(self.listed_sessions(tenant, list), list))
            }
            ReadArgs::Images(read) => ReadResult::Images(self.images(read, now)?),
            ReadArgs::Standing(_) => ReadResult::Standing(self.standing()),
            other => return Err(PersistError::unsupported(format_args!("the read `{}`", other.as_str()))),
        })
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
