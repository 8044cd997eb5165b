//! Agent sessions: heads, sessions and attempts of an agent in a thread, and agents and runtimes as a whole.

use std::fmt;

use rusqlite::{OptionalExtension, Params, Row, params};
use throughline_core::{
    TenantId,
    backend::sessions::{AgentRecord, AttemptRecord, KnownSession, SessionHead},
};
use throughline_engine::{
    StagedRows,
    rows::{AgentKey, AttemptKey, RuntimeKey, SessionHeadKey, SessionKey, SessionQuery, SessionRange},
};

use super::{Source, corrupt};
use crate::{
    failure::{Applied, Failure},
    record::{
        Columns as _, KnownColumns, SessionOwner, number, read_attempt, read_head, read_known, session_json,
        whole_checksum,
    },
};

pub(super) const HEAD: &str = "SELECT h.head_pk, h.checksum, h.head FROM session_heads h \
     WHERE h.thread_pk = ?1 AND h.agent = ?2 AND h.incarnation = ?3";

pub(super) const KNOWN: &str =
    "SELECT k.session, k.checksum, k.known FROM session_known k WHERE k.head_pk = ?1 AND k.session = ?2";

pub(super) const NEWEST: &str = "SELECT k.session, k.checksum, k.known FROM session_known k \
     WHERE k.head_pk = ?1 AND k.generation <= ?2 AND k.generation IS NOT NULL \
     ORDER BY k.generation DESC, k.number DESC LIMIT ?3";

pub(super) const USABLE: &str = "SELECT k.session, k.checksum, k.known FROM session_known k \
     WHERE k.head_pk = ?1 AND k.generation = ?2 AND k.provider = ?3 AND k.runtime = ?4 AND k.root = ?5 \
     AND k.incarnation = ?6 AND k.usable = 1 ORDER BY k.number DESC LIMIT ?7";

pub(super) const ATTEMPT: &str = "SELECT a.number, a.attempt, a.checksum, a.record FROM session_attempts a \
     WHERE a.head_pk = ?1 AND a.attempt = ?2";

/// Returns the error for a row whose checksum does not match.
fn damaged(subject: impl fmt::Display) -> Failure {
    corrupt(format!("the record of {subject} is damaged")).into()
}

/// Returns the same error for an agent in a thread.
pub(crate) fn damaged_rows(head: &SessionHeadKey) -> Failure {
    let (agent, thread) = (&head.agent, &head.thread.thread);
    damaged(format_args!("the sessions of the agent `{agent}` in the thread `{thread}`"))
}

impl Source<'_> {
    pub(super) fn find_agent(&mut self, key: &AgentKey) -> Applied<Option<AgentRecord>> {
        let sql = "SELECT incarnation, resets, checksum FROM session_agents WHERE tenant = ?1 AND agent = ?2";
        let found = self.find_counts(sql, &key.tenant, key.agent.as_str())?;
        match found {
            Some(None) => Err(damaged(format_args!("the agent `{}`", key.agent))),
            found => Ok(found.flatten().map(|[incarnation, resets]| AgentRecord { incarnation, resets })),
        }
    }

    pub(super) fn find_runtime(&mut self, key: &RuntimeKey) -> Applied<Option<u64>> {
        let sql = "SELECT incarnation, 0, checksum FROM session_runtimes WHERE tenant = ?1 AND runtime = ?2";
        let found = self.find_counts(sql, &key.tenant, key.runtime.as_str())?;
        match found {
            Some(None) => Err(damaged(format_args!("the runtime `{}`", key.runtime))),
            found => Ok(found.flatten().map(|[incarnation, _]| incarnation)),
        }
    }

    /// Reads two counters; `Some(None)` if they are damaged.
    fn find_counts(&self, sql: &str, tenant: &TenantId, name: &str) -> Applied<Option<Option<[u64; 2]>>> {
        let tenant = tenant.as_str();
        let found = self.db.prepare_cached(sql)?.query_row(params![tenant, name], |row| {
            let counts = [row.integer(0), row.integer(1)];
            let read = || {
                let counts = [counts[0]?, counts[1]?];
                let is_whole = row.integer(2)? == whole_checksum(tenant, name, counts);
                is_whole.then_some(())?;
                Some([u64::try_from(counts[0]).ok()?, u64::try_from(counts[1]).ok()?])
            };
            Ok(read())
        });
        Ok(found.optional()?)
    }

    pub(super) fn find_head(&mut self, key: &SessionHeadKey) -> Applied<Option<SessionHead>> {
        let Some(thread) = self.stored_thread(&key.thread)? else { return Ok(None) };
        let thread_pk = thread.thread_pk;
        let (tenant, thread) = (key.thread.tenant.as_str(), key.thread.thread.as_str());
        let (agent, incarnation) = (key.agent.as_str(), number(key.incarnation));
        let read = |row: &Row<'_>| read_head(row, 1, tenant, thread, agent, incarnation);
        self.find_one(key, HEAD, params![thread_pk, agent, incarnation], read)
    }

    pub(super) fn find_session(&mut self, key: &SessionKey) -> Applied<Option<KnownSession>> {
        let Some(head_pk) = self.head_pk(&key.head)? else { return Ok(None) };
        let parameters = params![head_pk, key.session.as_str()];
        self.find_one(&key.head, KNOWN, parameters, |row| read_known(row, 0, head_pk))
    }

    pub(super) fn find_attempt(&mut self, key: &AttemptKey) -> Applied<Option<AttemptRecord>> {
        let Some(head_pk) = self.head_pk(&key.head)? else { return Ok(None) };
        let parameters = params![head_pk, key.attempt.as_str()];
        self.find_one(&key.head, ATTEMPT, parameters, |row| read_attempt(row, 0, head_pk))
    }

    fn find_one<T>(
        &self,
        head: &SessionHeadKey,
        sql: &str,
        parameters: impl Params,
        read: impl FnOnce(&Row<'_>) -> Option<T>,
    ) -> Applied<Option<T>> {
        let found = self.db.prepare_cached(sql)?.query_row(parameters, |row| Ok(read(row))).optional()?;
        found.map(|read| read.ok_or_else(|| damaged_rows(head))).transpose()
    }

    pub(super) fn find_sessions(&mut self, query: &SessionQuery) -> Applied<Vec<KnownSession>> {
        let Some(head_pk) = self.head_pk(&query.head)? else { return Ok(Vec::new()) };
        let limit = number(query.limit);
        let read = |row: &Row<'_>| Ok(read_known(row, 0, head_pk));
        let found: Vec<Option<KnownSession>> = match &query.range {
            SessionRange::Newest(generation) => self
                .db
                .prepare_cached(NEWEST)?
                .query_map(params![head_pk, number(generation.get()), limit], read)?
                .collect::<rusqlite::Result<_>>()?,
            SessionRange::Usable { generation, provider, runtime, incarnation } => self
                .db
                .prepare_cached(USABLE)?
                .query_map(
                    params![
                        head_pk,
                        number(generation.get()),
                        provider.as_str(),
                        runtime.id.as_str(),
                        runtime.root.as_str(),
                        number(*incarnation),
                        limit
                    ],
                    read,
                )?
                .collect::<rusqlite::Result<_>>()?,
        };
        // An index that leads to another session is damaged too.
        let matching = |session: Option<KnownSession>| session.filter(|session| query.range.matches(session));
        let found: Option<Vec<_>> = found.into_iter().map(matching).collect();
        found.ok_or_else(|| damaged_rows(&query.head))
    }

    /// Returns the number of the head of an agent in a thread.
    pub(crate) fn head_pk(&mut self, key: &SessionHeadKey) -> Applied<Option<i64>> {
        let Some(thread) = self.stored_thread(&key.thread)? else { return Ok(None) };
        let thread_pk = thread.thread_pk;
        let parameters = params![thread_pk, key.agent.as_str(), number(key.incarnation)];
        Ok(self.db.prepare_cached(HEAD)?.query_row(parameters, |row| row.get(0)).optional()?)
    }

    /// Returns the same number for a row that refers to the head. In a copy the head may come later: then this creates
    /// it.
    fn head_pk_or_begin(&mut self, key: &SessionHeadKey) -> Applied<i64> {
        if let Some(head_pk) = self.head_pk(key)? {
            return Ok(head_pk);
        }
        let thread_pk = self.thread_pk(&key.thread)?;
        self.db
            .prepare_cached(
                "INSERT INTO session_heads (thread_pk, agent, incarnation, checksum, head) VALUES (?1, ?2, ?3, 0, '')",
            )?
            .execute(params![thread_pk, key.agent.as_str(), number(key.incarnation)])?;
        Ok(self.db.last_insert_rowid())
    }
}

/// Writes agents, runtimes, heads, sessions and attempts.
pub(super) fn write(source: &mut Source<'_>, staged: &StagedRows) -> Applied<()> {
    for (key, record) in staged.agents.changed() {
        let (tenant, agent) = (key.tenant.as_str(), key.agent.as_str());
        let counts = [number(record.incarnation), number(record.resets)];
        source
            .db
            .prepare_cached(
                "INSERT INTO session_agents (tenant, agent, incarnation, resets, checksum) VALUES (?1, ?2, ?3, ?4, ?5) \
                 ON CONFLICT (tenant, agent) DO UPDATE SET incarnation = excluded.incarnation, \
                 resets = excluded.resets, checksum = excluded.checksum",
            )?
            .execute(params![tenant, agent, counts[0], counts[1], whole_checksum(tenant, agent, counts)])?;
    }
    for (key, dropped) in staged.runtimes.changed() {
        let (tenant, runtime, counts) = (key.tenant.as_str(), key.runtime.as_str(), [number(*dropped), 0]);
        source
            .db
            .prepare_cached(
                "INSERT INTO session_runtimes (tenant, runtime, incarnation, checksum) VALUES (?1, ?2, ?3, ?4) \
                 ON CONFLICT (tenant, runtime) DO UPDATE SET incarnation = excluded.incarnation, \
                 checksum = excluded.checksum",
            )?
            .execute(params![tenant, runtime, counts[0], whole_checksum(tenant, runtime, counts)])?;
    }
    for (key, head) in staged.session_heads.changed() {
        let head_pk = source.head_pk_or_begin(key)?;
        let json = session_json(head);
        let owner = SessionOwner::Head {
            tenant: key.thread.tenant.as_str(),
            thread: key.thread.thread.as_str(),
            agent: key.agent.as_str(),
            incarnation: number(key.incarnation),
        };
        source
            .db
            .prepare_cached("UPDATE session_heads SET head = ?2, checksum = ?3 WHERE head_pk = ?1")?
            .execute(params![head_pk, json, owner.checksum(&json)])?;
    }
    for (key, known) in staged.sessions.changed() {
        let head_pk = source.head_pk_or_begin(&key.head)?;
        let (json, session) = (session_json(known), known.id.as_str());
        let checksum = SessionOwner::Known { head_pk, session }.checksum(&json);
        let KnownColumns { generation, number, usable, provider, runtime, root, incarnation } =
            KnownColumns::of(known);
        source
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
    }
    for (key, record) in staged.attempts.changed() {
        let head_pk = source.head_pk_or_begin(&key.head)?;
        let json = session_json(record);
        let (number, attempt) = (number(record.attempt.number), record.attempt.id.as_str());
        let checksum = SessionOwner::Attempt { head_pk, number, attempt }.checksum(&json);
        source
            .db
            .prepare_cached(
                "INSERT INTO session_attempts (head_pk, number, attempt, checksum, record) VALUES (?1, ?2, ?3, ?4, ?5) \
                 ON CONFLICT (head_pk, attempt) DO UPDATE SET checksum = excluded.checksum, record = excluded.record",
            )?
            .execute(params![head_pk, number, attempt, checksum, json])?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use rusqlite::Connection;

    use super::*;

    #[test]
    fn each_look_up_uses_an_index_and_no_sort() {
        let connection = Connection::open_in_memory().unwrap();
        connection.execute_batch(include_str!("../../migrations/0001_initial.sql")).unwrap();
        for (sql, index) in [
            (HEAD, "sqlite_autoindex_session_heads_1"),
            (KNOWN, "sqlite_autoindex_session_known_1"),
            (NEWEST, "session_known_in_order"),
            (USABLE, "session_known_usable"),
            (ATTEMPT, "sqlite_autoindex_session_attempts_1"),
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
