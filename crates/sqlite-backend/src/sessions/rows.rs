//! What is kept of an agent in a thread.

use std::fmt;

use rusqlite::{Connection, OptionalExtension, Params, Row, params};
use throughline_core::{
    AgentId, AttemptId, Attempts, Effect, ErrorKind, ListAttempts, PersistError, RuntimeId,
    SessionGeneration, SessionId, TenantId, ThreadId,
    backend::sessions::{AttemptRecord, KnownSession, SessionHead, SessionRows, Wanted},
};

use super::runtime_incarnation;
use crate::{
    apply::{Applied, Failure},
    record::{number, read_attempt, read_head, read_known},
};

const HEAD: &str = "SELECT h.head_pk, h.checksum, h.head FROM session_heads h \
     WHERE h.thread_pk = ?1 AND h.agent = ?2 AND h.incarnation = ?3";

const KNOWN: &str =
    "SELECT k.session, k.checksum, k.known FROM session_known k WHERE k.head_pk = ?1 AND k.session = ?2";

const NEWEST: &str = "SELECT k.session, k.checksum, k.known FROM session_known k \
     WHERE k.head_pk = ?1 AND k.generation <= ?2 AND k.generation IS NOT NULL \
     AND k.session <> ?3 ORDER BY k.generation DESC, k.number DESC LIMIT 1";

const USABLE: &str = "SELECT k.session, k.checksum, k.known FROM session_known k \
     WHERE k.head_pk = ?1 AND k.generation = ?2 AND k.provider = ?3 AND k.runtime = ?4 AND k.root = ?5 \
     AND k.incarnation = ?6 AND k.usable = 1 AND k.session <> ?7 ORDER BY k.number DESC LIMIT 1";

const ATTEMPT: &str = "SELECT a.number, a.attempt, a.checksum, a.record FROM session_attempts a \
     WHERE a.head_pk = ?1 AND a.attempt = ?2";

const ATTEMPTS: &str = "SELECT a.number, a.attempt, a.checksum, a.record FROM session_attempts a \
     WHERE a.head_pk = ?1 AND a.number < ?2 ORDER BY a.number DESC LIMIT ?3";

/// The rows of an agent in a thread.
#[derive(Debug, Clone)]
pub(crate) struct Rows<'a> {
    pub(crate) db: &'a Connection,
    pub(crate) tenant: &'a TenantId,
    pub(crate) thread: &'a ThreadId,
    pub(crate) agent: &'a AgentId,
    pub(crate) incarnation: i64,
    /// The number of the thread, where there is one.
    pub(crate) thread_pk: Option<i64>,
    /// The number of the head, where there is one.
    pub(crate) head_pk: Option<i64>,
}

/// What is answered where a row is not what its checksum was made for.
pub(crate) fn damaged(what: impl fmt::Display) -> Failure {
    let detail = format!("what is kept of {what} is damaged");
    PersistError::new(ErrorKind::Corrupt, detail).with_effect(Effect::NotApplied).into()
}

impl<'a> Rows<'a> {
    /// Finds where they are.
    pub(crate) fn find(
        db: &'a Connection,
        tenant: &'a TenantId,
        thread: &'a ThreadId,
        agent: &'a AgentId,
        incarnation: u64,
        thread_pk: Option<i64>,
    ) -> Applied<Self> {
        let mut rows =
            Self { db, tenant, thread, agent, incarnation: number(incarnation), thread_pk, head_pk: None };
        if let Some(thread_pk) = thread_pk {
            let found = db
                .prepare_cached(HEAD)?
                .query_row(params![thread_pk, agent.as_str(), rows.incarnation], |row| row.get(0))
                .optional()?;
            rows.head_pk = found;
        }
        Ok(rows)
    }

    fn whose(&self) -> impl fmt::Display {
        format!("the sessions of the agent `{}` in the thread `{}`", self.agent, self.thread)
    }

    fn one<T>(
        &self,
        sql: &str,
        parameters: impl Params,
        read: impl FnOnce(&Row<'_>) -> Option<T>,
    ) -> Applied<Option<T>> {
        let found = self.db.prepare_cached(sql)?.query_row(parameters, |row| Ok(read(row))).optional()?;
        match found {
            None => Ok(None),
            Some(Some(found)) => Ok(Some(found)),
            Some(None) => Err(damaged(self.whose())),
        }
    }

    fn known(&self, head_pk: i64, sql: &str, parameters: impl Params) -> Applied<Option<KnownSession>> {
        self.one(sql, parameters, |row| read_known(row, 0, head_pk))
    }

    /// Lists runs, the latest first.
    pub(crate) fn attempts(&self, list: &ListAttempts) -> Applied<Attempts> {
        let (agent, thread) = (list.agent.clone(), list.thread.clone());
        let mut answer = Attempts { agent, thread, attempts: Vec::new(), more: false };
        let Some(head_pk) = self.head_pk else { return Ok(answer) };
        let before = list.before.map_or(i64::MAX, number);
        let mut statement = self.db.prepare_cached(ATTEMPTS)?;
        let mut rows = statement.query(params![head_pk, before, i64::from(list.limit) + 1])?;
        while let Some(row) = rows.next()? {
            if answer.attempts.len() == list.limit as usize {
                answer.more = true;
                break;
            }
            match read_attempt(row, 0, head_pk) {
                Some(record) => answer.attempts.push(record.attempt),
                None => return Err(damaged(self.whose())),
            }
        }
        Ok(answer)
    }
}

impl SessionRows for Rows<'_> {
    type Error = Failure;

    fn head(&mut self) -> Applied<Option<SessionHead>> {
        let Some(thread_pk) = self.thread_pk else { return Ok(None) };
        let (tenant, thread, agent) = (self.tenant.as_str(), self.thread.as_str(), self.agent.as_str());
        self.one(HEAD, params![thread_pk, agent, self.incarnation], |row| {
            read_head(row, 1, tenant, thread, agent, self.incarnation)
        })
    }

    fn session(&mut self, id: &SessionId) -> Applied<Option<KnownSession>> {
        let Some(head_pk) = self.head_pk else { return Ok(None) };
        self.known(head_pk, KNOWN, params![head_pk, id.as_str()])
    }

    fn newest(
        &mut self,
        up_to: SessionGeneration,
        besides: Option<&SessionId>,
    ) -> Applied<Option<KnownSession>> {
        let Some(head_pk) = self.head_pk else { return Ok(None) };
        self.known(head_pk, NEWEST, params![head_pk, number(up_to.get()), name(besides)])
    }

    fn usable(&mut self, wanted: &Wanted<'_>) -> Applied<Option<KnownSession>> {
        let Some(head_pk) = self.head_pk else { return Ok(None) };
        let Wanted { generation, provider, runtime, incarnation, besides } = *wanted;
        let found = self.known(
            head_pk,
            USABLE,
            params![
                head_pk,
                number(generation.get()),
                provider.as_str(),
                runtime.id.as_str(),
                runtime.root.as_str(),
                number(incarnation),
                name(besides)
            ],
        )?;
        match found {
            // The index led to what it should not have.
            Some(known) if !known.is_wanted(wanted) => Err(damaged(self.whose())),
            found => Ok(found),
        }
    }

    fn attempt(&mut self, id: &AttemptId) -> Applied<Option<AttemptRecord>> {
        let Some(head_pk) = self.head_pk else { return Ok(None) };
        self.one(ATTEMPT, params![head_pk, id.as_str()], |row| read_attempt(row, 0, head_pk))
    }

    fn incarnation(&mut self, runtime: &RuntimeId) -> Applied<u64> {
        runtime_incarnation(self.db, self.tenant, runtime)
    }
}

/// A session to be left out; nothing is the name of none.
fn name(session: Option<&SessionId>) -> &str {
    session.map_or("", SessionId::as_str)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_look_up_is_led_by_an_index_and_sorts_nothing() {
        let connection = Connection::open_in_memory().unwrap();
        connection.execute_batch(include_str!("../../migrations/0001_initial.sql")).unwrap();
        for (sql, index) in [
            (HEAD, "sqlite_autoindex_session_heads_1"),
            (KNOWN, "sqlite_autoindex_session_known_1"),
            (NEWEST, "session_known_in_order"),
            (USABLE, "session_known_usable"),
            (ATTEMPT, "sqlite_autoindex_session_attempts_1"),
            (ATTEMPTS, "session_attempts_in_order"),
        ] {
            let mut plan = connection.prepare(&format!("EXPLAIN QUERY PLAN {sql}")).unwrap();
            let mut steps = Vec::new();
            let mut rows = plan.raw_query();
            while let Some(row) = rows.next().unwrap() {
                steps.push(row.get::<_, String>(3).unwrap());
            }
            assert!(steps.len() == 1 && steps[0].contains(index), "{sql}: {steps:?}");
        }
    }
}
