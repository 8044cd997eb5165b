//! What is done to agent sessions: by the rules of the core, on the rows of a transaction.

use throughline_core::{
    Addressed as _, AgentChanged, AgentId, AttemptId, ErrorKind, Generation, PersistError, ResolveSession,
    RuntimeDropped, RuntimeId, SessionArgs, SessionGeneration, SessionId, SessionResolved, SessionResult,
    TenantId, ThreadId, Timestamp,
    backend::sessions::{
        self, AgentRecord, AttemptRecord, KnownSession, SessionHead, SessionPlace, SessionRows, SessionStore,
        SessionValue, Wanted,
    },
};

use super::{Scope, message::implied, refusal};
use crate::rows::{Found, Halt, HeadKey, Rows, SessionRange};

impl Scope<'_> {
    /// What is done in a thread. It begins the thread if there is none.
    pub(super) fn session(&mut self, args: &SessionArgs) -> Found<SessionResult> {
        let (Some(agent), Some(thread)) = (args.agent(), args.thread()) else {
            let detail =
                format!("a `{}` cannot be an item of a batch: it speaks of no thread", args.as_str());
            return Err(refusal(ErrorKind::Invalid, detail).into());
        };
        let state = self.living(thread)?;
        let cleared = state.as_ref().map_or(Generation::FIRST, |state| state.generation);
        let record = self.agent(agent)?;
        let place =
            SessionPlace { agent: agent.clone(), thread: thread.clone(), cleared, resets: record.resets };
        let key = HeadKey { thread: self.key(thread), agent: agent.clone(), incarnation: record.incarnation };
        let now = self.now;
        let result = sessions::apply(&mut Kept { scope: self, key }, &place, args, now)?;
        if state.is_none() {
            self.put_thread(thread, implied(now));
        }
        Ok(result)
    }

    fn agent(&mut self, agent: &AgentId) -> Found<AgentRecord> {
        let key = (self.tenant.clone(), agent.clone());
        Ok(self.rows.agents.get(&key)?.copied().unwrap_or_default())
    }

    /// What is done to a whole agent or runtime.
    pub(super) fn whole_session(&mut self, args: &SessionArgs) -> Found<SessionResult> {
        Ok(match args {
            SessionArgs::ResetAgent(reset) => {
                let record = self.agent(&reset.agent)?.reset();
                self.rows.agents.put((self.tenant.clone(), reset.agent.clone()), record);
                SessionResult::ResetAgent(AgentChanged { agent: reset.agent.clone() })
            }
            SessionArgs::DropAgent(dropped) => {
                let record = self.agent(&dropped.agent)?.dropped();
                self.rows.agents.put((self.tenant.clone(), dropped.agent.clone()), record);
                SessionResult::DropAgent(AgentChanged { agent: dropped.agent.clone() })
            }
            SessionArgs::DropRuntime(dropped) => {
                let key = (self.tenant.clone(), dropped.runtime.clone());
                let count = self.rows.runtimes.get(&key)?.copied().unwrap_or_default();
                self.rows.runtimes.put(key, count + 1);
                SessionResult::DropRuntime(RuntimeDropped { runtime: dropped.runtime.clone() })
            }
            other => return Err(PersistError::unsupported(format_args!("`{}`", other.as_str())).into()),
        })
    }
}

/// Notes what is surely looked up of an agent: itself, and what is kept of one that was never dropped, as most are.
pub(super) fn foresee(rows: &mut Rows, tenant: &TenantId, agent: &AgentId, thread: Option<&ThreadId>) {
    rows.agents.want(&(tenant.clone(), agent.clone()));
    if let Some(thread) = thread {
        let (thread, incarnation) = ((tenant.clone(), thread.clone()), AgentRecord::default().incarnation);
        rows.heads.want(&HeadKey { thread, agent: agent.clone(), incarnation });
    }
}

/// What is kept of an agent in a thread.
struct Kept<'a, 'r> {
    scope: &'a mut Scope<'r>,
    key: HeadKey,
}

impl Kept<'_, '_> {
    /// How many sessions of it this transaction has changed: so many of those that are read may not be what they were.
    fn changed(&self) -> u64 {
        self.scope.rows.sessions.changed().filter(|((key, _), _)| *key == self.key).count() as u64
    }

    /// Of everything that is known and fits, the last by generation and number.
    fn last(&self, fits: impl Fn(&KnownSession, &SessionValue) -> bool) -> Option<KnownSession> {
        let known = self.scope.rows.sessions.known().filter(|((key, _), _)| *key == self.key);
        let placed = known.filter_map(|(_, known)| Some((known, known.value.as_ref()?)));
        let last = placed
            .filter(|(known, value)| fits(known, value))
            .max_by(|(_, a), (_, b)| (a.generation, a.number).cmp(&(b.generation, b.number)));
        last.map(|(known, _)| known.clone())
    }
}

impl SessionRows for Kept<'_, '_> {
    type Error = Halt;

    fn head(&mut self) -> Found<Option<SessionHead>> {
        Ok(self.scope.rows.heads.get(&self.key)?.cloned())
    }

    fn session(&mut self, id: &SessionId) -> Found<Option<KnownSession>> {
        Ok(self.scope.rows.sessions.get(&(self.key.clone(), id.clone()))?.cloned())
    }

    fn newest(
        &mut self,
        up_to: SessionGeneration,
        besides: Option<&SessionId>,
    ) -> Found<Option<KnownSession>> {
        // One more for the one that is left out.
        let limit = self.changed() + 2;
        self.scope.rows.session_ranges.get(&(self.key.clone(), SessionRange::Newest(up_to, limit)))?;
        Ok(self.last(|known, value| value.generation <= up_to && Some(&known.id) != besides))
    }

    fn usable(&mut self, wanted: &Wanted<'_>) -> Found<Option<KnownSession>> {
        let range = SessionRange::usable(wanted, self.changed() + 2);
        self.scope.rows.session_ranges.get(&(self.key.clone(), range))?;
        Ok(self.last(|known, _| known.is_wanted(wanted)))
    }

    fn attempt(&mut self, id: &AttemptId) -> Found<Option<AttemptRecord>> {
        Ok(self.scope.rows.attempts.get(&(self.key.clone(), id.clone()))?.cloned())
    }

    fn incarnation(&mut self, runtime: &RuntimeId) -> Found<u64> {
        let key = (self.scope.tenant.clone(), runtime.clone());
        Ok(self.scope.rows.runtimes.get(&key)?.copied().unwrap_or_default())
    }
}

impl SessionStore for Kept<'_, '_> {
    fn put_head(&mut self, head: &SessionHead) -> Found<()> {
        self.scope.rows.heads.put(self.key.clone(), head.clone());
        Ok(())
    }

    fn put_session(&mut self, session: &KnownSession) -> Found<()> {
        self.scope.rows.sessions.put((self.key.clone(), session.id.clone()), session.clone());
        Ok(())
    }

    fn put_attempt(&mut self, record: &AttemptRecord) -> Found<()> {
        self.scope.rows.attempts.put((self.key.clone(), record.attempt.id.clone()), record.clone());
        Ok(())
    }
}

/// What a claimer may go on with.
pub(crate) fn resolve_session(
    rows: &mut Rows,
    tenant: &TenantId,
    read: &ResolveSession,
    now: Timestamp,
) -> Found<SessionResolved> {
    foresee(rows, tenant, &read.agent, Some(&read.thread));
    let mut scope = Scope { rows, tenant, now, max_content_bytes: 0 };
    let state = scope.thread(&read.thread)?;
    let cleared = state.as_ref().map_or(Generation::FIRST, |state| state.generation);
    let record = scope.agent(&read.agent)?;
    let place = SessionPlace {
        agent: read.agent.clone(),
        thread: read.thread.clone(),
        cleared,
        resets: record.resets,
    };
    let resolution = if state.is_some_and(|state| state.deleted) {
        sessions::resolve_nothing(&place)
    } else {
        let (agent, incarnation) = (read.agent.clone(), record.incarnation);
        let key = HeadKey { thread: scope.key(&read.thread), agent, incarnation };
        sessions::resolve(&mut Kept { scope: &mut scope, key }, &place, &read.claimer, now)?
    };
    Ok(SessionResolved { agent: read.agent.clone(), thread: read.thread.clone(), resolution })
}
