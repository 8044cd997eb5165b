//! Agent sessions: rows of an agent in a thread, and the counts of whole agents and runtimes.

use std::fmt;

use serde::{Serialize, de::DeserializeOwned};
use sqlx::{PgConnection, Row as _};
use throughline_core::{
    AgentId, ThreadId,
    backend::sessions::{KnownSession, SessionHead},
};
use throughline_engine::{
    StagedRows,
    rows::{AttemptKey, SessionHeadKey, SessionKey, SessionRange},
};

use super::{Source, Writing, number};
use crate::error::damaged;

/// Encodes a record of ids and numbers as JSON.
pub(crate) fn json<T: Serialize + ?Sized>(record: &T) -> String {
    serde_json::to_string(record).expect("a record in memory serializes")
}

/// Decodes a record from a column.
pub(crate) fn decode<T: DeserializeOwned>(json: &str, whose: impl fmt::Display) -> sqlx::Result<T> {
    serde_json::from_str(json).map_err(|_| damaged(whose.to_string()))
}

/// Describes the owner of a record, for errors.
pub(crate) fn whose(agent: &AgentId, thread: &ThreadId) -> String {
    format!("the stored sessions of the agent `{agent}` in the thread `{thread}`")
}

/// Reads all rows that are found by key, in one statement: the table, the index of the key, and the record.
const READ: &str = "\
    SELECT 0 AS of, k.i, json_build_object('incarnation', a.incarnation, 'resets', a.resets)::text AS record \
    FROM unnest($1::text[], $2::text[]) WITH ORDINALITY AS k (tenant, agent, i) \
    JOIN throughline.session_agents a ON a.tenant = k.tenant AND a.agent = k.agent \
    UNION ALL SELECT 1, k.i, r.incarnation::text \
    FROM unnest($3::text[], $4::text[]) WITH ORDINALITY AS k (tenant, runtime, i) \
    JOIN throughline.session_runtimes r ON r.tenant = k.tenant AND r.runtime = k.runtime \
    UNION ALL SELECT 2, k.i, h.head \
    FROM unnest($5::text[], $6::text[], $7::text[], $8::bigint[]) WITH ORDINALITY AS k (tenant, thread, agent, incarnation, i) \
    JOIN throughline.session_heads h ON h.tenant = k.tenant AND h.thread = k.thread AND h.agent = k.agent \
    AND h.incarnation = k.incarnation \
    UNION ALL SELECT 3, k.i, s.known FROM unnest($9::text[], $10::text[], $11::text[], $12::bigint[], $13::text[]) \
    WITH ORDINALITY AS k (tenant, thread, agent, incarnation, session, i) \
    JOIN throughline.session_known s ON s.tenant = k.tenant AND s.thread = k.thread AND s.agent = k.agent \
    AND s.incarnation = k.incarnation AND s.session = k.session \
    UNION ALL SELECT 4, k.i, t.record FROM unnest($14::text[], $15::text[], $16::text[], $17::bigint[], $18::text[]) \
    WITH ORDINALITY AS k (tenant, thread, agent, incarnation, attempt, i) \
    JOIN throughline.session_attempts t ON t.tenant = k.tenant AND t.thread = k.thread AND t.agent = k.agent \
    AND t.incarnation = k.incarnation AND t.attempt = k.attempt";

pub(super) async fn load(source: &mut Source, db: &mut PgConnection) -> sqlx::Result<()> {
    let (agents, runtimes) = (source.agents.take_wanted(), source.runtimes.take_wanted());
    let (heads, sessions) = (source.session_heads.take_wanted(), source.sessions.take_wanted());
    let attempts = source.attempts.take_wanted();
    let mut found_heads = Vec::new();
    let is_nothing = agents.is_empty()
        && runtimes.is_empty()
        && heads.is_empty()
        && sessions.is_empty()
        && attempts.is_empty();
    if !is_nothing {
        let asked = sqlx::query(READ)
            .bind(agents.iter().map(|key| key.tenant.as_str()).collect::<Vec<_>>())
            .bind(agents.iter().map(|key| key.agent.as_str()).collect::<Vec<_>>())
            .bind(runtimes.iter().map(|key| key.tenant.as_str()).collect::<Vec<_>>())
            .bind(runtimes.iter().map(|key| key.runtime.as_str()).collect::<Vec<_>>());
        let asked = bind_heads(asked, heads.iter());
        let asked = bind_heads(asked, sessions.iter().map(|key| &key.head))
            .bind(sessions.iter().map(|key| key.session.as_str()).collect::<Vec<_>>());
        let asked = bind_heads(asked, attempts.iter().map(|key| &key.head))
            .bind(attempts.iter().map(|key| key.attempt.as_str()).collect::<Vec<_>>());
        for row in asked.fetch_all(&mut *db).await? {
            let at: i64 = row.try_get("i")?;
            let at = usize::try_from(at - 1).unwrap_or(usize::MAX);
            let record: &str = row.try_get("record")?;
            let of = |key: &SessionHeadKey| whose(&key.agent, &key.thread.thread);
            match row.try_get::<i32, _>("of")? {
                0 => {
                    let Some(key) = agents.get(at) else { continue };
                    let whose = format!("the stored agent `{}`", key.agent);
                    source.agents.insert(key.clone(), Some(decode(record, whose)?));
                }
                1 => {
                    let Some(key) = runtimes.get(at) else { continue };
                    let whose = format!("the stored runtime `{}`", key.runtime);
                    source.runtimes.insert(key.clone(), Some(decode(record, whose)?));
                }
                2 => {
                    let Some(key) = heads.get(at) else { continue };
                    let head: SessionHead = decode(record, of(key))?;
                    found_heads.push((key.clone(), head.clone()));
                    source.session_heads.insert(key.clone(), Some(head));
                }
                3 => {
                    let Some(key) = sessions.get(at) else { continue };
                    source.sessions.insert(key.clone(), Some(decode(record, of(&key.head))?));
                }
                _ => {
                    let Some(key) = attempts.get(at) else { continue };
                    source.attempts.insert(key.clone(), Some(decode(record, of(&key.head))?));
                }
            }
        }
        // Found rows are in the cache by now; the others are recorded as absent.
        agents.into_iter().for_each(|key| source.agents.insert(key, None));
        runtimes.into_iter().for_each(|key| source.runtimes.insert(key, None));
        heads.into_iter().for_each(|key| source.session_heads.insert(key, None));
        sessions.into_iter().for_each(|key| source.sessions.insert(key, None));
        attempts.into_iter().for_each(|key| source.attempts.insert(key, None));
    }
    // The writer also loads the session and the attempts that a head names.
    for (key, head) in &found_heads {
        if let Some(pointer) = &head.pointer {
            source.sessions.want(&SessionKey { head: key.clone(), session: pointer.session.clone() });
        }
        let running = head.running.as_ref().map(|running| &running.attempt);
        for attempt in running.into_iter().chain(&head.last) {
            source.attempts.want(&AttemptKey { head: key.clone(), attempt: attempt.clone() });
        }
    }
    load_queries(source, db).await
}

fn bind_heads<'q>(asked: Asked<'q>, keys: impl Iterator<Item = &'q SessionHeadKey> + Clone) -> Asked<'q> {
    asked
        .bind(keys.clone().map(|key| key.thread.tenant.as_str()).collect::<Vec<_>>())
        .bind(keys.clone().map(|key| key.thread.thread.as_str()).collect::<Vec<_>>())
        .bind(keys.clone().map(|key| key.agent.as_str()).collect::<Vec<_>>())
        .bind(keys.map(|key| number(key.incarnation)).collect::<Vec<_>>())
}

async fn load_queries(source: &mut Source, db: &mut PgConnection) -> sqlx::Result<()> {
    for query in source.session_queries.take_wanted() {
        let head = &query.head;
        let asked = sqlx::query(match query.range {
            SessionRange::Newest(_) => {
                "SELECT known FROM throughline.session_known \
                 WHERE tenant = $1 AND thread = $2 AND agent = $3 AND incarnation = $4 AND generation <= $5 \
                 ORDER BY generation DESC, number DESC LIMIT $6"
            }
            SessionRange::Usable { .. } => {
                "SELECT known FROM throughline.session_known \
                 WHERE tenant = $1 AND thread = $2 AND agent = $3 AND incarnation = $4 AND generation = $5 AND usable \
                 AND provider = $7 AND runtime = $8 AND root = $9 AND dropped = $10 ORDER BY number DESC LIMIT $6"
            }
        })
        .bind(head.thread.tenant.as_str())
        .bind(head.thread.thread.as_str())
        .bind(head.agent.as_str())
        .bind(number(head.incarnation));
        let asked = match &query.range {
            SessionRange::Newest(generation) => {
                asked.bind(number(generation.get())).bind(number(query.limit))
            }
            SessionRange::Usable { generation, provider, runtime, incarnation } => asked
                .bind(number(generation.get()))
                .bind(number(query.limit))
                .bind(provider.as_str())
                .bind(runtime.id.as_str())
                .bind(runtime.root.as_str())
                .bind(number(*incarnation)),
        };
        let found = asked.fetch_all(&mut *db).await?;
        let mut sessions: Vec<KnownSession> = Vec::with_capacity(found.len());
        for row in &found {
            sessions.push(decode(row.try_get("known")?, whose(&head.agent, &head.thread.thread))?);
        }
        source.session_queries.insert(query, sessions);
    }
    Ok(())
}

pub(super) fn write(staged: &StagedRows, writing: &mut Writing) {
    let agents: Vec<_> = staged.agents.changed().collect();
    if !agents.is_empty() {
        writing
            .part(
                "INSERT INTO throughline.session_agents (tenant, agent, incarnation, resets) \
                 SELECT * FROM unnest($1::text[], $2::text[], $3::bigint[], $4::bigint[]) ON CONFLICT (tenant, agent) \
                 DO UPDATE SET incarnation = excluded.incarnation, resets = excluded.resets",
            )
            .bind(agents.iter().map(|(key, _)| key.tenant.as_str()).collect::<Vec<_>>())
            .bind(agents.iter().map(|(key, _)| key.agent.as_str()).collect::<Vec<_>>())
            .bind(agents.iter().map(|(_, record)| number(record.incarnation)).collect::<Vec<_>>())
            .bind(agents.iter().map(|(_, record)| number(record.resets)).collect::<Vec<_>>());
    }
    let runtimes: Vec<_> = staged.runtimes.changed().collect();
    if !runtimes.is_empty() {
        writing
            .part(
                "INSERT INTO throughline.session_runtimes (tenant, runtime, incarnation) \
                 SELECT * FROM unnest($1::text[], $2::text[], $3::bigint[]) ON CONFLICT (tenant, runtime) \
                 DO UPDATE SET incarnation = excluded.incarnation",
            )
            .bind(runtimes.iter().map(|(key, _)| key.tenant.as_str()).collect::<Vec<_>>())
            .bind(runtimes.iter().map(|(key, _)| key.runtime.as_str()).collect::<Vec<_>>())
            .bind(runtimes.iter().map(|(_, incarnation)| number(**incarnation)).collect::<Vec<_>>());
    }
    // The session rows of a deleted thread whose leftovers are removed are not written.
    let purged = staged.leftover_limits();
    let stays = |key: &SessionHeadKey| purged.get(&key.thread).is_none_or(|(thread, _)| !thread.deleted);
    let heads: Vec<_> = staged.session_heads.changed().filter(|(key, _)| stays(key)).collect();
    if !heads.is_empty() {
        let part = writing.part(
            "INSERT INTO throughline.session_heads (tenant, thread, agent, incarnation, head) \
             SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::bigint[], $5::text[]) \
             ON CONFLICT (tenant, thread, agent, incarnation) DO UPDATE SET head = excluded.head",
        );
        of_heads(part, heads.iter().map(|(key, _)| *key))
            .bind(heads.iter().map(|(_, head)| json(head)).collect::<Vec<_>>());
    }
    let known: Vec<_> = staged.sessions.changed().filter(|(key, _)| stays(&key.head)).collect();
    if !known.is_empty() {
        write_known(&known, writing);
    }
    let attempts: Vec<_> = staged.attempts.changed().filter(|(key, _)| stays(&key.head)).collect();
    if !attempts.is_empty() {
        let part = writing.part(
            "INSERT INTO throughline.session_attempts (tenant, thread, agent, incarnation, attempt, number, record) \
             SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::bigint[], $5::text[], $6::bigint[], $7::text[]) \
             ON CONFLICT (tenant, thread, agent, incarnation, attempt) DO UPDATE SET record = excluded.record",
        );
        of_heads(part, attempts.iter().map(|(key, _)| &key.head))
            .bind(attempts.iter().map(|(key, _)| key.attempt.as_str()).collect::<Vec<_>>())
            .bind(attempts.iter().map(|(_, record)| number(record.attempt.number)).collect::<Vec<_>>())
            .bind(attempts.iter().map(|(_, record)| json(record)).collect::<Vec<_>>());
    }
}

fn write_known(known: &[(&SessionKey, &KnownSession)], writing: &mut Writing) {
    let part = writing.part(
        "INSERT INTO throughline.session_known (tenant, thread, agent, incarnation, session, generation, number, usable, \
         provider, runtime, root, dropped, known) SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::bigint[], \
         $5::text[], $6::bigint[], $7::bigint[], $8::boolean[], $9::text[], $10::text[], $11::text[], $12::bigint[], $13::text[]) \
         ON CONFLICT (tenant, thread, agent, incarnation, session) DO UPDATE SET generation = excluded.generation, \
         number = excluded.number, usable = excluded.usable, provider = excluded.provider, runtime = excluded.runtime, \
         root = excluded.root, dropped = excluded.dropped, known = excluded.known",
    );
    let values = || known.iter().map(|(_, known)| known.value.as_ref());
    let bounds = || values().map(|value| value.and_then(|value| value.runtime.as_ref()));
    of_heads(part, known.iter().map(|(key, _)| &key.head))
        .bind(known.iter().map(|(key, _)| key.session.as_str()).collect::<Vec<_>>())
        .bind(values().map(|value| value.map(|value| number(value.generation.get()))).collect::<Vec<_>>())
        .bind(values().map(|value| value.map(|value| number(value.number))).collect::<Vec<_>>())
        .bind(known.iter().map(|(_, known)| known.is_usable()).collect::<Vec<_>>())
        .bind(values().map(|value| value.map(|value| value.provider.as_str())).collect::<Vec<_>>())
        .bind(bounds().map(|bound| bound.map(|bound| bound.runtime.id.as_str())).collect::<Vec<_>>())
        .bind(bounds().map(|bound| bound.map(|bound| bound.runtime.root.as_str())).collect::<Vec<_>>())
        .bind(bounds().map(|bound| bound.map(|bound| number(bound.incarnation))).collect::<Vec<_>>())
        .bind(known.iter().map(|(_, known)| json(known)).collect::<Vec<_>>());
}

fn of_heads<'w, 'q>(
    part: &'w mut Writing,
    keys: impl Iterator<Item = &'q SessionHeadKey> + Clone,
) -> &'w mut Writing {
    part.bind(keys.clone().map(|key| key.thread.tenant.as_str()).collect::<Vec<_>>())
        .bind(keys.clone().map(|key| key.thread.thread.as_str()).collect::<Vec<_>>())
        .bind(keys.clone().map(|key| key.agent.as_str()).collect::<Vec<_>>())
        .bind(keys.map(|key| number(key.incarnation)).collect::<Vec<_>>())
}

type Asked<'q> = sqlx::query::Query<'q, sqlx::Postgres, sqlx::postgres::PgArguments>;
