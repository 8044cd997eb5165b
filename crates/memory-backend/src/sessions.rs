//! Agent sessions: rows by agent, inside the thread that they are of, so that they go with it.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    ops::Deref,
    sync::Arc,
};

use throughline_core::{
    AgentChanged, AgentId, AttemptId, Attempts, Generation, ListAttempts, PersistError, ResolveSession,
    Result, RuntimeDropped, RuntimeId, SessionArgs, SessionGeneration, SessionId, SessionResolved,
    SessionResult, TenantId, ThreadId, Timestamp,
    backend::sessions::{
        self, AgentRecord, AttemptRecord, KnownSession, SessionHead, SessionPlace, SessionRows, SessionStore,
        SessionValue, Wanted,
    },
};

use crate::{replica::Mark, thread::ThreadLog};

/// What is kept of an agent in a thread. An agent that was dropped is another one.
pub(crate) type Sessions = BTreeMap<(AgentId, u64), Arc<Kept>>;

///
/// A clone copies no run.
#[derive(Debug, Clone, Default)]
pub(crate) struct Kept {
    pub(crate) head: Option<SessionHead>,
    pub(crate) known: HashMap<SessionId, KnownSession>,
    order: BTreeSet<Place>,
    pub(crate) attempts: BTreeMap<u64, Arc<AttemptRecord>>,
    numbers: HashMap<AttemptId, u64>,
}

/// Generation and number of a session that has a value; without its name, what stands before every one of them.
type Place = (SessionGeneration, u64, Option<SessionId>);

/// The agents and runtimes that anything was done to as a whole.
#[derive(Debug, Default)]
pub(crate) struct Whole {
    pub(crate) agents: HashMap<(TenantId, AgentId), AgentRecord>,
    pub(crate) runtimes: HashMap<(TenantId, RuntimeId), u64>,
}

/// The same of one tenant.
#[derive(Clone, Copy)]
pub(crate) struct OfTenant<'a> {
    pub(crate) tenant: &'a TenantId,
    pub(crate) whole: &'a Whole,
}

impl Whole {
    /// Does what is done to a whole agent or runtime.
    pub(crate) fn apply(&mut self, tenant: &TenantId, args: &SessionArgs) -> Result<SessionResult> {
        let agent = |agent: &AgentId| (tenant.clone(), agent.clone());
        Ok(match args {
            SessionArgs::ResetAgent(reset) => {
                let record = self.agents.entry(agent(&reset.agent)).or_default();
                *record = record.reset();
                SessionResult::ResetAgent(AgentChanged { agent: reset.agent.clone() })
            }
            SessionArgs::DropAgent(dropped) => {
                let record = self.agents.entry(agent(&dropped.agent)).or_default();
                *record = record.dropped();
                SessionResult::DropAgent(AgentChanged { agent: dropped.agent.clone() })
            }
            SessionArgs::DropRuntime(dropped) => {
                *self.runtimes.entry((tenant.clone(), dropped.runtime.clone())).or_default() += 1;
                SessionResult::DropRuntime(RuntimeDropped { runtime: dropped.runtime.clone() })
            }
            other => return Err(PersistError::unsupported(format_args!("`{}`", other.as_str()))),
        })
    }
}

impl Kept {
    pub(crate) fn put_head(&mut self, head: &SessionHead) {
        self.head = Some(head.clone());
    }

    pub(crate) fn put_session(&mut self, session: &KnownSession) {
        if let Some(before) = self.known.insert(session.id.clone(), session.clone()) {
            before.value.map(|value| self.order.remove(&place_of(&value)));
        }
        self.order.extend(session.value.as_ref().map(place_of));
    }

    pub(crate) fn put_attempt(&mut self, record: &AttemptRecord) {
        let (id, number) = (record.attempt.id.clone(), record.attempt.number);
        self.numbers.insert(id, number);
        self.attempts.insert(number, Arc::new(record.clone()));
    }
}

/// A row of the sessions of an agent in a thread.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum SessionRow {
    Head,
    Known(SessionId),
    Attempt(u64),
}

impl OfTenant<'_> {
    fn agent(self, agent: &AgentId) -> AgentRecord {
        let found = self.whole.agents.get(&(self.tenant.clone(), agent.clone()));
        found.copied().unwrap_or_default()
    }

    fn place(self, agent: &AgentId, thread: &ThreadId, log: Option<&ThreadLog>) -> SessionPlace {
        let cleared =
            log.and_then(|log| log.facts.as_ref()).map_or(Generation::FIRST, |facts| facts.generation);
        let resets = self.agent(agent).resets;
        SessionPlace { agent: agent.clone(), thread: thread.clone(), cleared, resets }
    }

    pub(crate) fn resolve(
        self,
        log: Option<&ThreadLog>,
        read: &ResolveSession,
        now: Timestamp,
    ) -> SessionResolved {
        let place = self.place(&read.agent, &read.thread, log);
        let is_deleted = log.and_then(|log| log.facts.as_ref()).is_some_and(|facts| facts.deleted);
        let nothing = Kept::default();
        let kept = self.kept(log, &read.agent).unwrap_or(&nothing);
        let resolution = if is_deleted {
            sessions::resolve_nothing(&place)
        } else {
            let mut rows = Rows { kept, of: self };
            let resolved = sessions::resolve(&mut rows, &place, &read.claimer, now);
            resolved.unwrap_or_else(|error| unreachable!("memory answers every look-up: {error}"))
        };
        SessionResolved { agent: read.agent.clone(), thread: read.thread.clone(), resolution }
    }

    pub(crate) fn attempts(self, log: Option<&ThreadLog>, list: &ListAttempts) -> Attempts {
        let limit = list.limit as usize;
        let before = list.before.unwrap_or(u64::MAX);
        let kept = self.kept(log, &list.agent).into_iter();
        let mut attempts: Vec<_> = kept
            .flat_map(|kept| kept.attempts.range(..before).rev())
            .take(limit + 1)
            .map(|(_, record)| record.attempt.clone())
            .collect();
        let more = attempts.len() > limit;
        attempts.truncate(limit);
        Attempts { agent: list.agent.clone(), thread: list.thread.clone(), attempts, more }
    }

    fn kept<'a>(self, log: Option<&'a ThreadLog>, agent: &AgentId) -> Option<&'a Kept> {
        let key = (agent.clone(), self.agent(agent).incarnation);
        log.and_then(|log| log.sessions.get(&key)).map(|kept| &**kept)
    }

    /// Does what is done to the sessions of an agent in a thread.
    pub(crate) fn apply(
        self,
        log: &mut ThreadLog,
        agent: &AgentId,
        thread: &ThreadId,
        args: &SessionArgs,
        now: Timestamp,
    ) -> Result<SessionResult> {
        let place = self.place(agent, thread, Some(log));
        let key = (agent.clone(), self.agent(agent).incarnation);
        let marks = &mut log.marks;
        let kept = Arc::make_mut(log.sessions.entry(key.clone()).or_default());
        let mut rows = Written { rows: Rows { kept, of: self }, put: Vec::new() };
        let applied = sessions::apply(&mut rows, &place, args, now);
        marks.extend(rows.put.into_iter().map(|row| Mark::Session(key.clone(), row)));
        applied
    }
}

/// The rows of an agent in a thread, to be read or to be changed.
struct Rows<'a, K> {
    kept: K,
    of: OfTenant<'a>,
}

impl<K: Deref<Target = Kept>> SessionRows for Rows<'_, K> {
    type Error = PersistError;

    fn head(&mut self) -> Result<Option<SessionHead>> {
        Ok(self.kept.head.clone())
    }

    fn session(&mut self, id: &SessionId) -> Result<Option<KnownSession>> {
        Ok(self.kept.known.get(id).cloned())
    }

    fn newest(
        &mut self,
        up_to: SessionGeneration,
        besides: Option<&SessionId>,
    ) -> Result<Option<KnownSession>> {
        let mut places = self.kept.order.range(..(up_to.next(), 0, None)).rev();
        let newest = places.find(|(.., id)| id.as_ref() != besides);
        Ok(newest.and_then(|(.., id)| self.kept.known.get(id.as_ref()?)).cloned())
    }

    fn usable(&mut self, wanted: &Wanted<'_>) -> Result<Option<KnownSession>> {
        let generation = wanted.generation;
        let places = self.kept.order.range((generation, 0, None)..(generation.next(), 0, None)).rev();
        let mut known = places.filter_map(|(.., id)| self.kept.known.get(id.as_ref()?));
        Ok(known.find(|known| known.is_wanted(wanted)).cloned())
    }

    fn attempt(&mut self, id: &AttemptId) -> Result<Option<AttemptRecord>> {
        let record = self.kept.numbers.get(id).and_then(|number| self.kept.attempts.get(number));
        Ok(record.map(|record| (**record).clone()))
    }

    fn incarnation(&mut self, runtime: &RuntimeId) -> Result<u64> {
        let found = self.of.whole.runtimes.get(&(self.of.tenant.clone(), runtime.clone()));
        Ok(found.copied().unwrap_or_default())
    }
}

/// The same, with what was written to them.
struct Written<'a> {
    rows: Rows<'a, &'a mut Kept>,
    put: Vec<SessionRow>,
}

impl SessionRows for Written<'_> {
    type Error = PersistError;

    fn head(&mut self) -> Result<Option<SessionHead>> {
        self.rows.head()
    }

    fn session(&mut self, id: &SessionId) -> Result<Option<KnownSession>> {
        self.rows.session(id)
    }

    fn newest(
        &mut self,
        up_to: SessionGeneration,
        besides: Option<&SessionId>,
    ) -> Result<Option<KnownSession>> {
        self.rows.newest(up_to, besides)
    }

    fn usable(&mut self, wanted: &Wanted<'_>) -> Result<Option<KnownSession>> {
        self.rows.usable(wanted)
    }

    fn attempt(&mut self, id: &AttemptId) -> Result<Option<AttemptRecord>> {
        self.rows.attempt(id)
    }

    fn incarnation(&mut self, runtime: &RuntimeId) -> Result<u64> {
        SessionRows::incarnation(&mut self.rows, runtime)
    }
}

impl SessionStore for Written<'_> {
    fn put_head(&mut self, head: &SessionHead) -> Result<()> {
        self.put.push(SessionRow::Head);
        self.rows.kept.put_head(head);
        Ok(())
    }

    fn put_session(&mut self, session: &KnownSession) -> Result<()> {
        self.put.push(SessionRow::Known(session.id.clone()));
        self.rows.kept.put_session(session);
        Ok(())
    }

    fn put_attempt(&mut self, record: &AttemptRecord) -> Result<()> {
        self.put.push(SessionRow::Attempt(record.attempt.number));
        self.rows.kept.put_attempt(record);
        Ok(())
    }
}

fn place_of(value: &SessionValue) -> Place {
    (value.generation, value.number, Some(value.session.clone()))
}
