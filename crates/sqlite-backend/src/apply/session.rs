//! What is done to agent sessions: by the rules of the core, on rows that are written when they are told.

use rusqlite::params;
use throughline_core::{
    Addressed as _, AgentChanged, AgentId, AttemptId, ErrorKind, Generation, RuntimeDropped, RuntimeId,
    SessionArgs, SessionGeneration, SessionId, SessionResult, ThreadId,
    backend::sessions::{
        self, AgentRecord, AttemptRecord, KnownSession, SessionHead, SessionPlace, SessionRows, SessionStore,
        Wanted,
    },
    replica::SessionPart,
};

use super::{Applied, Outcome, Scope, batch::undone_if_refused, refusal};
use crate::{
    record::{KnownColumns, SessionOwner, number, session_json, whole_checksum},
    sessions::{Rows, agent, runtime_incarnation},
};

/// What is done in a thread. It begins the thread if there is none.
pub(super) fn apply(scope: Scope<'_>, args: &SessionArgs) -> Applied<SessionResult> {
    let (Some(agent_id), Some(thread)) = (args.agent(), args.thread()) else {
        let detail = format!("a `{}` cannot be an item of a batch: it speaks of no thread", args.as_str());
        return Err(refusal(ErrorKind::Invalid, detail).into());
    };
    let (thread_pk, cleared) = match scope.living(thread)? {
        Some(state) => (Some(state.thread_pk), state.generation()),
        None => (None, Generation::FIRST),
    };
    let AgentRecord { incarnation, resets } = agent(scope.db, scope.tenant, agent_id)?;
    let place = SessionPlace { agent: agent_id.clone(), thread: thread.clone(), cleared, resets };
    let rows = Rows::find(scope.db, scope.tenant, thread, agent_id, incarnation, thread_pk)?;
    // A damaged row may be met after others were written.
    undone_if_refused(scope, || {
        let result = sessions::apply(&mut Store { scope, rows }, &place, args, scope.now)?;
        scope.living_or_begun(thread, scope.now)?;
        Ok(result)
    })
}

/// What is done to a whole agent or runtime.
pub(super) fn apply_to_whole(scope: Scope<'_>, args: &SessionArgs) -> Applied<Outcome> {
    let result = match args {
        SessionArgs::ResetAgent(reset) => {
            write_agent(scope, &reset.agent, AgentRecord::reset)?;
            SessionResult::ResetAgent(AgentChanged { agent: reset.agent.clone() })
        }
        SessionArgs::DropAgent(dropped) => {
            write_agent(scope, &dropped.agent, AgentRecord::dropped)?;
            SessionResult::DropAgent(AgentChanged { agent: dropped.agent.clone() })
        }
        SessionArgs::DropRuntime(dropped) => {
            drop_runtime(scope, &dropped.runtime)?;
            SessionResult::DropRuntime(RuntimeDropped { runtime: dropped.runtime.clone() })
        }
        other => {
            let what = format_args!("`{}`", other.as_str());
            return Err(throughline_core::PersistError::unsupported(what).into());
        }
    };
    Ok(Outcome { result: Some(result.into()), changed: true })
}

fn write_agent(scope: Scope<'_>, id: &AgentId, change: fn(AgentRecord) -> AgentRecord) -> Applied<()> {
    put_agent(scope, id, change(agent(scope.db, scope.tenant, id)?))
}

/// Writes what was done to an agent as a whole, over what is there.
pub(super) fn put_agent(scope: Scope<'_>, id: &AgentId, record: AgentRecord) -> Applied<()> {
    let (tenant, counts) = (scope.tenant.as_str(), [number(record.incarnation), number(record.resets)]);
    scope
        .db
        .prepare_cached(
            "INSERT INTO session_agents (tenant, agent, incarnation, resets, checksum) VALUES (?1, ?2, ?3, ?4, ?5) \
             ON CONFLICT (tenant, agent) DO UPDATE SET incarnation = excluded.incarnation, \
             resets = excluded.resets, checksum = excluded.checksum",
        )?
        .execute(params![tenant, id.as_str(), counts[0], counts[1], whole_checksum(tenant, id.as_str(), counts)])?;
    Ok(())
}

fn drop_runtime(scope: Scope<'_>, id: &RuntimeId) -> Applied<()> {
    put_runtime(scope, id, runtime_incarnation(scope.db, scope.tenant, id)? + 1)
}

/// Writes how often a runtime was dropped, over what is there.
pub(super) fn put_runtime(scope: Scope<'_>, id: &RuntimeId, incarnation: u64) -> Applied<()> {
    let incarnation = number(incarnation);
    let (tenant, checksum) =
        (scope.tenant.as_str(), whole_checksum(scope.tenant.as_str(), id.as_str(), [incarnation, 0]));
    scope
        .db
        .prepare_cached(
            "INSERT INTO session_runtimes (tenant, runtime, incarnation, checksum) VALUES (?1, ?2, ?3, ?4) \
             ON CONFLICT (tenant, runtime) DO UPDATE SET incarnation = excluded.incarnation, \
             checksum = excluded.checksum",
        )?
        .execute(params![tenant, id.as_str(), incarnation, checksum])?;
    Ok(())
}

/// Writes a row of an agent in a thread that there is, deleted or not, over what is there.
pub(super) fn put_row(
    scope: Scope<'_>,
    (thread, thread_pk): (&ThreadId, i64),
    (agent, incarnation): (&AgentId, u64),
    part: &SessionPart,
) -> Applied<()> {
    let rows = Rows::find(scope.db, scope.tenant, thread, agent, incarnation, Some(thread_pk))?;
    let mut store = Store { scope, rows };
    if store.rows.head_pk.is_none() {
        store.begin_head(thread_pk)?;
    }
    match part {
        SessionPart::Head(head) => store.put_head(head),
        SessionPart::Known(known) => store.put_session(known),
        SessionPart::Attempt(record) => store.put_attempt(record),
    }
}

/// Whether anything is kept of agents in a thread.
pub(super) fn has_rows(scope: Scope<'_>, thread_pk: i64) -> rusqlite::Result<bool> {
    scope
        .db
        .prepare_cached("SELECT EXISTS (SELECT 1 FROM session_heads WHERE thread_pk = ?1)")?
        .query_row([thread_pk], |row| row.get(0))
}

/// Frees some of what is kept of agents in a thread that was deleted, and says whether there is more.
pub(super) fn purge(scope: Scope<'_>, thread_pk: i64, limit: u32) -> rusqlite::Result<bool> {
    for sql in [
        "DELETE FROM session_attempts WHERE attempt_pk IN (SELECT a.attempt_pk FROM session_heads h \
         JOIN session_attempts a ON a.head_pk = h.head_pk WHERE h.thread_pk = ?1 LIMIT ?2)",
        "DELETE FROM session_known WHERE known_pk IN (SELECT k.known_pk FROM session_heads h \
         JOIN session_known k ON k.head_pk = h.head_pk WHERE h.thread_pk = ?1 LIMIT ?2)",
        "DELETE FROM session_heads WHERE head_pk IN (SELECT head_pk FROM session_heads WHERE thread_pk = ?1 LIMIT ?2)",
    ] {
        let gone = scope.db.prepare_cached(sql)?.execute(params![thread_pk, limit])?;
        // What refers to the next goes first, all of it.
        if gone >= limit as usize {
            return Ok(true);
        }
    }
    Ok(false)
}

/// The rows of an agent in a thread, to be changed.
struct Store<'a> {
    scope: Scope<'a>,
    rows: Rows<'a>,
}

impl Store<'_> {
    /// The number of the head; the row is made with the first thing that is written, and filled before the write ends.
    fn head_pk(&mut self) -> Applied<i64> {
        if let Some(head_pk) = self.rows.head_pk {
            return Ok(head_pk);
        }
        let thread_pk = self.scope.living_or_begun(self.rows.thread, self.scope.now)?.thread_pk;
        self.begin_head(thread_pk)
    }

    fn begin_head(&mut self, thread_pk: i64) -> Applied<i64> {
        self.scope
            .db
            .prepare_cached(
                "INSERT INTO session_heads (thread_pk, agent, incarnation, checksum, head) VALUES (?1, ?2, ?3, 0, '')",
            )?
            .execute(params![thread_pk, self.rows.agent.as_str(), self.rows.incarnation])?;
        let head_pk = self.scope.db.last_insert_rowid();
        self.rows.thread_pk = Some(thread_pk);
        self.rows.head_pk = Some(head_pk);
        Ok(head_pk)
    }
}

impl SessionRows for Store<'_> {
    type Error = super::Failure;

    fn head(&mut self) -> Applied<Option<SessionHead>> {
        self.rows.head()
    }

    fn session(&mut self, id: &SessionId) -> Applied<Option<KnownSession>> {
        self.rows.session(id)
    }

    fn newest(
        &mut self,
        up_to: SessionGeneration,
        besides: Option<&SessionId>,
    ) -> Applied<Option<KnownSession>> {
        self.rows.newest(up_to, besides)
    }

    fn usable(&mut self, wanted: &Wanted<'_>) -> Applied<Option<KnownSession>> {
        self.rows.usable(wanted)
    }

    fn attempt(&mut self, id: &AttemptId) -> Applied<Option<AttemptRecord>> {
        self.rows.attempt(id)
    }

    fn incarnation(&mut self, runtime: &RuntimeId) -> Applied<u64> {
        SessionRows::incarnation(&mut self.rows, runtime)
    }
}

impl SessionStore for Store<'_> {
    fn put_head(&mut self, head: &SessionHead) -> Applied<()> {
        let head_pk = self.head_pk()?;
        let json = session_json(head);
        let owner = SessionOwner::Head {
            tenant: self.rows.tenant.as_str(),
            thread: self.rows.thread.as_str(),
            agent: self.rows.agent.as_str(),
            incarnation: self.rows.incarnation,
        };
        self.scope
            .db
            .prepare_cached("UPDATE session_heads SET head = ?2, checksum = ?3 WHERE head_pk = ?1")?
            .execute(params![head_pk, json, owner.checksum(&json)])?;
        Ok(())
    }

    fn put_session(&mut self, known: &KnownSession) -> Applied<()> {
        let head_pk = self.head_pk()?;
        let json = session_json(known);
        let session = known.id.as_str();
        let checksum = SessionOwner::Known { head_pk, session }.checksum(&json);
        let KnownColumns { generation, number, usable, provider, runtime, root, incarnation } =
            KnownColumns::of(known);
        self.scope
            .db
            .prepare_cached(
                "INSERT INTO session_known (head_pk, session, generation, number, usable, provider, runtime, root, \
                 incarnation, checksum, known) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11) \
                 ON CONFLICT (head_pk, session) DO UPDATE SET generation = excluded.generation, \
                 number = excluded.number, usable = excluded.usable, provider = excluded.provider, \
                 runtime = excluded.runtime, root = excluded.root, incarnation = excluded.incarnation, \
                 checksum = excluded.checksum, known = excluded.known",
            )?
            .execute(params![
                head_pk, session, generation, number, usable, provider, runtime, root, incarnation, checksum, json
            ])?;
        Ok(())
    }

    fn put_attempt(&mut self, record: &AttemptRecord) -> Applied<()> {
        let head_pk = self.head_pk()?;
        let json = session_json(record);
        let (number, attempt) = (number(record.attempt.number), record.attempt.id.as_str());
        let checksum = SessionOwner::Attempt { head_pk, number, attempt }.checksum(&json);
        self.scope
            .db
            .prepare_cached(
                "INSERT INTO session_attempts (head_pk, number, attempt, checksum, record) VALUES (?1, ?2, ?3, ?4, ?5) \
                 ON CONFLICT (head_pk, attempt) DO UPDATE SET checksum = excluded.checksum, record = excluded.record",
            )?
            .execute(params![head_pk, number, attempt, checksum, json])?;
        Ok(())
    }
}
