//! Agent sessions: rows by agent, inside the thread that they are of, so that they go with it.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    ops::{Deref, DerefMut},
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

use crate::thread::ThreadLog;

/// What is kept of an agent in a thread. An agent that was dropped is another one.
pub(crate) type Sessions = BTreeMap<(AgentId, u64), Arc<Kept>>;

///
/// A clone copies no run.
#[derive(Debug, Clone, Default)]
pub(crate) struct Kept {
    head: Option<SessionHead>,
    known: HashMap<SessionId, KnownSession>,
    order: BTreeSet<Place>,
    attempts: BTreeMap<u64, Arc<AttemptRecord>>,
    numbers: HashMap<AttemptId, u64>,
}

/// Generation and number of a session that has a value; without its name, what stands before every one of them.
type Place = (SessionGeneration, u64, Option<SessionId>);

/// The agents and runtimes that anything was done to as a whole.
#[derive(Debug, Default)]
pub(crate) struct Whole {
    agents: HashMap<(TenantId, AgentId), AgentRecord>,
    runtimes: HashMap<(TenantId, RuntimeId), u64>,
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
        let kept = Arc::make_mut(log.sessions.entry(key).or_default());
        sessions::apply(&mut Rows { kept, of: self }, &place, args, now)
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

impl<K: DerefMut<Target = Kept>> SessionStore for Rows<'_, K> {
    fn put_head(&mut self, head: &SessionHead) -> Result<()> {
        self.kept.head = Some(head.clone());
        Ok(())
    }

    fn put_session(&mut self, session: &KnownSession) -> Result<()> {
        let kept = &mut *self.kept;
        if let Some(before) = kept.known.insert(session.id.clone(), session.clone()) {
            before.value.map(|value| kept.order.remove(&place_of(&value)));
        }
        kept.order.extend(session.value.as_ref().map(place_of));
        Ok(())
    }

    fn put_attempt(&mut self, record: &AttemptRecord) -> Result<()> {
        let (id, number) = (record.attempt.id.clone(), record.attempt.number);
        self.kept.numbers.insert(id, number);
        self.kept.attempts.insert(number, Arc::new(record.clone()));
        Ok(())
    }
}

fn place_of(value: &SessionValue) -> Place {
    (value.generation, value.number, Some(value.session.clone()))
}
