//! Agent sessions, by the rules of the core.

use throughline_core::{
    AgentId, ErrorKind, PersistError,
    backend::sessions::{
        self, AgentRecord, AttemptRecord, KnownSession, SessionAddress, SessionHead, SessionRows,
        SessionStore, SessionValue, Wanted,
    },
    ids::{AttemptId, RuntimeId, SessionId},
    operations::Addressed as _,
    sessions::{
        AgentChanged, ResolveSession, RuntimeDropped, SessionArgs, SessionGeneration, SessionResolved,
        SessionResult,
    },
    threads::Generation,
};

use super::{Decided, WriteScope, add::implied, refusal};
use crate::{
    Halt, RowKey, RowSource,
    rows::{AgentKey, AttemptKey, RuntimeKey, SessionHeadKey, SessionKey, SessionQuery, SessionRange},
};

impl<S: RowSource> WriteScope<'_, S> {
    /// Applies an operation on a thread, which it creates if necessary.
    pub(super) fn session(&mut self, args: &SessionArgs) -> Decided<SessionResult, S> {
        let (Some(agent), Some(thread)) = (args.agent(), args.thread()) else {
            let detail =
                format!("a `{}` cannot be an item of a batch: it addresses no thread", args.as_str());
            return Err(refusal(ErrorKind::Invalid, detail).into());
        };
        let state = self.living(thread)?;
        let cleared = state.as_ref().map_or(Generation::FIRST, |state| state.generation);
        let AgentRecord { incarnation, resets } = self.agent(agent)?;
        let address = SessionAddress { agent: agent.clone(), thread: thread.clone(), cleared, resets };
        let key = SessionHeadKey { thread: self.thread_key(thread), agent: agent.clone(), incarnation };
        let now = self.now;
        let result = sessions::apply(&mut AgentRows { scope: self, key }, &address, args, now)?;
        if state.is_none() {
            self.put_thread(thread, implied(now));
        }
        Ok(result)
    }

    fn agent_key(&self, agent: &AgentId) -> AgentKey {
        AgentKey { tenant: self.tenant.clone(), agent: agent.clone() }
    }

    fn agent(&mut self, agent: &AgentId) -> Decided<AgentRecord, S> {
        let key = self.agent_key(agent);
        let source = &mut *self.source;
        Ok(self.rows.agents.get_or_load(&key, || source.agent(&key))?.copied().unwrap_or_default())
    }

    fn runtime(&mut self, runtime: &RuntimeId) -> Decided<(RuntimeKey, u64), S> {
        let key = RuntimeKey { tenant: self.tenant.clone(), runtime: runtime.clone() };
        let source = &mut *self.source;
        let dropped = self.rows.runtimes.get_or_load(&key, || source.runtime(&key))?.copied();
        Ok((key, dropped.unwrap_or_default()))
    }

    /// Applies an operation on a whole agent or runtime.
    pub(super) fn whole_session(&mut self, args: &SessionArgs) -> Decided<SessionResult, S> {
        Ok(match args {
            SessionArgs::ResetAgent(reset) => {
                let record = self.agent(&reset.agent)?.reset();
                self.rows.agents.put(self.agent_key(&reset.agent), record);
                SessionResult::ResetAgent(AgentChanged { agent: reset.agent.clone() })
            }
            SessionArgs::DropAgent(dropped) => {
                let record = self.agent(&dropped.agent)?.dropped();
                self.rows.agents.put(self.agent_key(&dropped.agent), record);
                SessionResult::DropAgent(AgentChanged { agent: dropped.agent.clone() })
            }
            SessionArgs::DropRuntime(dropped) => {
                let (key, count) = self.runtime(&dropped.runtime)?;
                self.rows.runtimes.put(key, count + 1);
                SessionResult::DropRuntime(RuntimeDropped { runtime: dropped.runtime.clone() })
            }
            other => return Err(PersistError::unsupported(format_args!("`{}`", other.as_str())).into()),
        })
    }

    /// Returns the session that a claimer may resume.
    pub(crate) fn resolve_session(&mut self, read: &ResolveSession) -> Decided<SessionResolved, S> {
        let (thread, agent) = (&read.thread, &read.agent);
        let AgentRecord { incarnation, .. } = AgentRecord::default();
        let key = SessionHeadKey { thread: self.thread_key(thread), agent: agent.clone(), incarnation };
        if self.rows.session_heads.known(&key).is_none() {
            self.source.expect(RowKey::Thread(&key.thread));
            self.source.expect(RowKey::Agent(&self.agent_key(agent)));
            self.source.expect(RowKey::SessionHead(&key));
        }
        let state = self.thread(thread)?;
        let cleared = state.as_ref().map_or(Generation::FIRST, |state| state.generation);
        let AgentRecord { incarnation, resets } = self.agent(agent)?;
        let address = SessionAddress { agent: agent.clone(), thread: thread.clone(), cleared, resets };
        let resolution = if state.is_some_and(|state| state.deleted) {
            sessions::resolve_nothing(&address)
        } else {
            let key = SessionHeadKey { incarnation, ..key };
            let now = self.now;
            sessions::resolve(&mut AgentRows { scope: self, key }, &address, &read.claimer, now)?
        };
        Ok(SessionResolved { agent: agent.clone(), thread: thread.clone(), resolution })
    }
}

/// The session rows of an agent in a thread.
struct AgentRows<'s, 'a, S> {
    scope: &'s mut WriteScope<'a, S>,
    key: SessionHeadKey,
}

impl<S: RowSource> AgentRows<'_, '_, S> {
    fn session_key(&self, id: &SessionId) -> SessionKey {
        SessionKey { head: self.key.clone(), session: id.clone() }
    }

    /// Loads the first sessions of a range: the wanted one, one that may be ignored, and at least as many as the transaction has
    /// changed.
    fn load(&mut self, range: SessionRange) -> Decided<(), S> {
        let sessions = &self.scope.rows.sessions;
        let changed = sessions.changed().filter(|(key, _)| key.head == self.key).count() as u64;
        // A power of two, so that a transaction that needs one more each time loads few times.
        let limit = (changed + 2).next_power_of_two();
        let query = SessionQuery { head: self.key.clone(), range, limit };
        if self.scope.rows.session_queries.known(&query).is_none() {
            for session in self.scope.source.sessions_in(&query)? {
                let key = self.session_key(&session.id);
                self.scope.rows.sessions.insert_loaded(key, Some(session));
            }
            self.scope.rows.session_queries.insert_loaded(query, Some(()));
        }
        Ok(())
    }

    /// Returns the matching session that is last by generation and number.
    fn last(&self, matches: impl Fn(&KnownSession, &SessionValue) -> bool) -> Option<KnownSession> {
        let sessions = self.scope.rows.sessions.rows().filter(|(key, _)| key.head == self.key);
        let valued = sessions.filter_map(|(_, session)| Some((session, session.value.as_ref()?)));
        let last = valued
            .filter(|(session, value)| matches(session, value))
            .max_by_key(|(_, value)| (value.generation, value.number));
        last.map(|(session, _)| session.clone())
    }
}

impl<S: RowSource> SessionRows for AgentRows<'_, '_, S> {
    type Error = Halt<S::Stop>;

    fn head(&mut self) -> Decided<Option<SessionHead>, S> {
        let source = &mut *self.scope.source;
        let key = &self.key;
        Ok(self.scope.rows.session_heads.get_or_load(key, || source.session_head(key))?.cloned())
    }

    fn session(&mut self, id: &SessionId) -> Decided<Option<KnownSession>, S> {
        let key = self.session_key(id);
        let source = &mut *self.scope.source;
        Ok(self.scope.rows.sessions.get_or_load(&key, || source.session(&key))?.cloned())
    }

    fn newest(
        &mut self,
        up_to: SessionGeneration,
        besides: Option<&SessionId>,
    ) -> Decided<Option<KnownSession>, S> {
        self.load(SessionRange::Newest(up_to))?;
        Ok(self.last(|session, value| value.generation <= up_to && Some(&session.id) != besides))
    }

    fn usable(&mut self, wanted: &Wanted<'_>) -> Decided<Option<KnownSession>, S> {
        self.load(SessionRange::usable(wanted))?;
        Ok(self.last(|session, _| session.is_wanted(wanted)))
    }

    fn attempt(&mut self, id: &AttemptId) -> Decided<Option<AttemptRecord>, S> {
        let key = AttemptKey { head: self.key.clone(), attempt: id.clone() };
        let source = &mut *self.scope.source;
        Ok(self.scope.rows.attempts.get_or_load(&key, || source.attempt(&key))?.cloned())
    }

    fn incarnation(&mut self, runtime: &RuntimeId) -> Decided<u64, S> {
        Ok(self.scope.runtime(runtime)?.1)
    }
}

impl<S: RowSource> SessionStore for AgentRows<'_, '_, S> {
    fn put_head(&mut self, head: &SessionHead) -> Decided<(), S> {
        self.scope.rows.session_heads.put(self.key.clone(), head.clone());
        Ok(())
    }

    fn put_session(&mut self, session: &KnownSession) -> Decided<(), S> {
        let key = self.session_key(&session.id);
        self.scope.rows.sessions.put(key, session.clone());
        Ok(())
    }

    fn put_attempt(&mut self, record: &AttemptRecord) -> Decided<(), S> {
        let key = AttemptKey { head: self.key.clone(), attempt: record.attempt.id.clone() };
        self.scope.rows.attempts.put(key, record.clone());
        Ok(())
    }
}
