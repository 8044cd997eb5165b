//! Agent sessions: rows of an agent in a thread, and the counts of whole agents and runtimes.

use std::fmt;

use serde::{Serialize, de::DeserializeOwned};
use sqlx::{PgConnection, Row as _};
use throughline_core::{
    AgentId, SessionGeneration, SessionId, TenantId, ThreadId,
    backend::sessions::{KnownSession, SessionHead, Wanted},
    session::Runtime,
};

use super::{Rows, ThreadKey, Writing, number};
use crate::error::damaged;

/// An agent of a tenant.
pub(crate) type AgentKey = (TenantId, AgentId);

/// What is kept of an agent in a thread. An agent that was dropped is another one.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct HeadKey {
    pub(crate) thread: ThreadKey,
    pub(crate) agent: AgentId,
    pub(crate) incarnation: u64,
}

/// Sessions that are found by what they say, of which so many may be needed.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum SessionRange {
    /// Up to this generation, the latest first.
    Newest(SessionGeneration, u64),
    /// Usable ones of this generation, provider and runtime, since it was dropped so often; the latest first.
    Usable(SessionGeneration, throughline_core::ProviderId, Runtime, u64, u64),
}

impl SessionRange {
    pub(crate) fn usable(wanted: &Wanted<'_>, limit: u64) -> Self {
        let Wanted { generation, provider, runtime, incarnation, besides: _ } = *wanted;
        Self::Usable(generation, provider.clone(), runtime.clone(), incarnation, limit)
    }
}

/// A record of ids and numbers as JSON.
pub(crate) fn json<T: Serialize + ?Sized>(record: &T) -> String {
    serde_json::to_string(record).expect("what is in memory serialises")
}

/// A record from a column.
pub(crate) fn decode<T: DeserializeOwned>(json: &str, whose: impl fmt::Display) -> sqlx::Result<T> {
    serde_json::from_str(json).map_err(|_| damaged(whose.to_string()))
}

/// Whose record it is.
pub(crate) fn whose(agent: &AgentId, thread: &ThreadId) -> String {
    format!("what is kept of the sessions of the agent `{agent}` in the thread `{thread}`")
}

/// Everything that is found by its key, in one statement: which table, which of the keys, and the record.
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

pub(super) async fn read(rows: &mut Rows, db: &mut PgConnection) -> sqlx::Result<()> {
    let (agents, runtimes) = (rows.agents.take_unread(), rows.runtimes.take_unread());
    let (heads, sessions) = (rows.heads.take_unread(), rows.sessions.take_unread());
    let attempts = rows.attempts.take_unread();
    let mut found_heads = Vec::new();
    let is_nothing = agents.is_empty()
        && runtimes.is_empty()
        && heads.is_empty()
        && sessions.is_empty()
        && attempts.is_empty();
    if !is_nothing {
        let asked = sqlx::query(READ)
            .bind(agents.iter().map(|key| key.0.as_str()).collect::<Vec<_>>())
            .bind(agents.iter().map(|key| key.1.as_str()).collect::<Vec<_>>())
            .bind(runtimes.iter().map(|key| key.0.as_str()).collect::<Vec<_>>())
            .bind(runtimes.iter().map(|key| key.1.as_str()).collect::<Vec<_>>());
        let asked = bind_heads(asked, heads.iter());
        let asked = bind_heads(asked, sessions.iter().map(|(head, _)| head))
            .bind(sessions.iter().map(|(_, id)| id.as_str()).collect::<Vec<_>>());
        let asked = bind_heads(asked, attempts.iter().map(|(head, _)| head))
            .bind(attempts.iter().map(|(_, id)| id.as_str()).collect::<Vec<_>>());
        for row in asked.fetch_all(&mut *db).await? {
            let at: i64 = row.try_get("i")?;
            let at = usize::try_from(at - 1).unwrap_or(usize::MAX);
            let record: &str = row.try_get("record")?;
            let of = |key: &HeadKey| whose(&key.agent, &key.thread.1);
            match row.try_get::<i32, _>("of")? {
                0 => {
                    let Some(key) = agents.get(at) else { continue };
                    let whose = format!("what is kept of the agent `{}`", key.1);
                    rows.agents.read(key.clone(), Some(decode(record, whose)?));
                }
                1 => {
                    let Some(key) = runtimes.get(at) else { continue };
                    let whose = format!("what is kept of the runtime `{}`", key.1);
                    rows.runtimes.read(key.clone(), Some(decode(record, whose)?));
                }
                2 => {
                    let Some(key) = heads.get(at) else { continue };
                    let head: SessionHead = decode(record, of(key))?;
                    found_heads.push((key.clone(), head.clone()));
                    rows.heads.read(key.clone(), Some(head));
                }
                3 => {
                    let Some(key) = sessions.get(at) else { continue };
                    rows.sessions.read(key.clone(), Some(decode(record, of(&key.0))?));
                }
                _ => {
                    let Some(key) = attempts.get(at) else { continue };
                    rows.attempts.read(key.clone(), Some(decode(record, of(&key.0))?));
                }
            }
        }
        // What was found is known by now, and of the others that there is nothing.
        agents.into_iter().for_each(|key| rows.agents.read(key, None));
        runtimes.into_iter().for_each(|key| rows.runtimes.read(key, None));
        heads.into_iter().for_each(|key| rows.heads.read(key, None));
        sessions.into_iter().for_each(|key| rows.sessions.read(key, None));
        attempts.into_iter().for_each(|key| rows.attempts.read(key, None));
    }
    // Whoever looks at a head looks at what it leads to.
    for (key, head) in &found_heads {
        if let Some(pointer) = &head.pointer {
            rows.sessions.want(&(key.clone(), pointer.session.clone()));
        }
        let running = head.running.as_ref().map(|running| &running.attempt);
        for attempt in running.into_iter().chain(&head.last) {
            rows.attempts.want(&(key.clone(), attempt.clone()));
        }
    }
    read_ranges(rows, db).await
}

fn bind_heads<'q>(asked: Asked<'q>, keys: impl Iterator<Item = &'q HeadKey> + Clone) -> Asked<'q> {
    asked
        .bind(keys.clone().map(|key| key.thread.0.as_str()).collect::<Vec<_>>())
        .bind(keys.clone().map(|key| key.thread.1.as_str()).collect::<Vec<_>>())
        .bind(keys.clone().map(|key| key.agent.as_str()).collect::<Vec<_>>())
        .bind(keys.map(|key| number(key.incarnation)).collect::<Vec<_>>())
}

async fn read_ranges(rows: &mut Rows, db: &mut PgConnection) -> sqlx::Result<()> {
    for key in rows.session_ranges.take_unread() {
        let (head, range) = &key;
        let asked = sqlx::query(match range {
            SessionRange::Newest(..) => {
                "SELECT known FROM throughline.session_known \
                 WHERE tenant = $1 AND thread = $2 AND agent = $3 AND incarnation = $4 AND generation <= $5 \
                 ORDER BY generation DESC, number DESC LIMIT $6"
            }
            SessionRange::Usable(..) => {
                "SELECT known FROM throughline.session_known \
                 WHERE tenant = $1 AND thread = $2 AND agent = $3 AND incarnation = $4 AND generation = $5 AND usable \
                 AND provider = $7 AND runtime = $8 AND root = $9 AND dropped = $10 ORDER BY number DESC LIMIT $6"
            }
        })
        .bind(head.thread.0.as_str())
        .bind(head.thread.1.as_str())
        .bind(head.agent.as_str())
        .bind(number(head.incarnation));
        let asked = match range {
            SessionRange::Newest(generation, limit) => {
                asked.bind(number(generation.get())).bind(number(*limit))
            }
            SessionRange::Usable(generation, provider, runtime, dropped, limit) => asked
                .bind(number(generation.get()))
                .bind(number(*limit))
                .bind(provider.as_str())
                .bind(runtime.id.as_str())
                .bind(runtime.root.as_str())
                .bind(number(*dropped)),
        };
        let found = asked.fetch_all(&mut *db).await?;
        let mut ids = Vec::with_capacity(found.len());
        for row in &found {
            let known: KnownSession = decode(row.try_get("known")?, whose(&head.agent, &head.thread.1))?;
            ids.push(known.id.clone());
            rows.sessions.read((head.clone(), known.id.clone()), Some(known));
        }
        rows.session_ranges.read(key, Some(ids));
    }
    Ok(())
}

pub(super) fn write(rows: &Rows, writing: &mut Writing) {
    let agents: Vec<_> = rows.agents.changed().collect();
    if !agents.is_empty() {
        writing
            .part(
                "INSERT INTO throughline.session_agents (tenant, agent, incarnation, resets) \
                 SELECT * FROM unnest($1::text[], $2::text[], $3::bigint[], $4::bigint[]) ON CONFLICT (tenant, agent) \
                 DO UPDATE SET incarnation = excluded.incarnation, resets = excluded.resets",
            )
            .bind(agents.iter().map(|(key, _)| key.0.as_str()).collect::<Vec<_>>())
            .bind(agents.iter().map(|(key, _)| key.1.as_str()).collect::<Vec<_>>())
            .bind(agents.iter().map(|(_, record)| number(record.incarnation)).collect::<Vec<_>>())
            .bind(agents.iter().map(|(_, record)| number(record.resets)).collect::<Vec<_>>());
    }
    let runtimes: Vec<_> = rows.runtimes.changed().collect();
    if !runtimes.is_empty() {
        writing
            .part(
                "INSERT INTO throughline.session_runtimes (tenant, runtime, incarnation) \
                 SELECT * FROM unnest($1::text[], $2::text[], $3::bigint[]) ON CONFLICT (tenant, runtime) \
                 DO UPDATE SET incarnation = excluded.incarnation",
            )
            .bind(runtimes.iter().map(|(key, _)| key.0.as_str()).collect::<Vec<_>>())
            .bind(runtimes.iter().map(|(key, _)| key.1.as_str()).collect::<Vec<_>>())
            .bind(runtimes.iter().map(|(_, incarnation)| number(**incarnation)).collect::<Vec<_>>());
    }
    // What is kept of a thread that was deleted meanwhile goes with it.
    let swept = rows.swept();
    let stays = |key: &HeadKey| swept.get(&key.thread).is_none_or(|thread| !thread.deleted);
    let heads: Vec<_> = rows.heads.changed().filter(|(key, _)| stays(key)).collect();
    if !heads.is_empty() {
        let part = writing.part(
            "INSERT INTO throughline.session_heads (tenant, thread, agent, incarnation, head) \
             SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::bigint[], $5::text[]) \
             ON CONFLICT (tenant, thread, agent, incarnation) DO UPDATE SET head = excluded.head",
        );
        of_heads(part, heads.iter().map(|(key, _)| *key))
            .bind(heads.iter().map(|(_, head)| json(head)).collect::<Vec<_>>());
    }
    let known: Vec<_> = rows.sessions.changed().filter(|((key, _), _)| stays(key)).collect();
    if !known.is_empty() {
        write_known(&known, writing);
    }
    let attempts: Vec<_> = rows.attempts.changed().filter(|((key, _), _)| stays(key)).collect();
    if !attempts.is_empty() {
        let part = writing.part(
            "INSERT INTO throughline.session_attempts (tenant, thread, agent, incarnation, attempt, number, record) \
             SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::bigint[], $5::text[], $6::bigint[], $7::text[]) \
             ON CONFLICT (tenant, thread, agent, incarnation, attempt) DO UPDATE SET record = excluded.record",
        );
        of_heads(part, attempts.iter().map(|((key, _), _)| key))
            .bind(attempts.iter().map(|((_, id), _)| id.as_str()).collect::<Vec<_>>())
            .bind(attempts.iter().map(|(_, record)| number(record.attempt.number)).collect::<Vec<_>>())
            .bind(attempts.iter().map(|(_, record)| json(record)).collect::<Vec<_>>());
    }
}

fn write_known(known: &[(&(HeadKey, SessionId), &KnownSession)], writing: &mut Writing) {
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
    of_heads(part, known.iter().map(|((key, _), _)| key))
        .bind(known.iter().map(|((_, id), _)| id.as_str()).collect::<Vec<_>>())
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
    keys: impl Iterator<Item = &'q HeadKey> + Clone,
) -> &'w mut Writing {
    part.bind(keys.clone().map(|key| key.thread.0.as_str()).collect::<Vec<_>>())
        .bind(keys.clone().map(|key| key.thread.1.as_str()).collect::<Vec<_>>())
        .bind(keys.clone().map(|key| key.agent.as_str()).collect::<Vec<_>>())
        .bind(keys.map(|key| number(key.incarnation)).collect::<Vec<_>>())
}

type Asked<'q> = sqlx::query::Query<'q, sqlx::Postgres, sqlx::postgres::PgArguments>;
