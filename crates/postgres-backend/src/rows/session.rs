//! Agent sessions: rows of an agent in a thread, and the counts of whole agents and runtimes.

use std::fmt;

use serde::{Serialize, de::DeserializeOwned};
use sqlx::{PgConnection, Row as _};
use throughline_core::{
    AgentId, SessionGeneration, SessionId, TenantId, ThreadId,
    backend::sessions::{AgentRecord, AttemptRecord, KnownSession, SessionHead, Wanted},
    session::Runtime,
};

use super::{Rows, ThreadKey, counter, number};
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
pub(super) fn json<T: Serialize + ?Sized>(record: &T) -> String {
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

pub(super) async fn read(rows: &mut Rows, db: &mut PgConnection) -> sqlx::Result<()> {
    for key in rows.agents.take_unread() {
        let row = sqlx::query(
            "SELECT incarnation, resets FROM throughline.session_agents WHERE tenant = $1 AND agent = $2",
        )
        .bind(key.0.as_str())
        .bind(key.1.as_str())
        .fetch_optional(&mut *db)
        .await?;
        let record = match row {
            None => None,
            Some(row) => {
                let counts = counter(row.try_get("incarnation")?).zip(counter(row.try_get("resets")?));
                let (incarnation, resets) =
                    counts.ok_or_else(|| damaged(format!("what is kept of the agent `{}`", key.1)))?;
                Some(AgentRecord { incarnation, resets })
            }
        };
        rows.agents.read(key, record);
    }
    for key in rows.runtimes.take_unread() {
        let row = sqlx::query(
            "SELECT incarnation FROM throughline.session_runtimes WHERE tenant = $1 AND runtime = $2",
        )
        .bind(key.0.as_str())
        .bind(key.1.as_str())
        .fetch_optional(&mut *db)
        .await?;
        let count = match row {
            None => None,
            Some(row) => {
                let count = counter(row.try_get("incarnation")?);
                Some(count.ok_or_else(|| damaged(format!("what is kept of the runtime `{}`", key.1)))?)
            }
        };
        rows.runtimes.read(key, count);
    }
    read_heads(rows, db).await?;
    read_ranges(rows, db).await
}

async fn read_heads(rows: &mut Rows, db: &mut PgConnection) -> sqlx::Result<()> {
    for key in rows.heads.take_unread() {
        let head: Option<SessionHead> = one(
            db,
            "SELECT head AS json FROM throughline.session_heads \
             WHERE tenant = $1 AND thread = $2 AND agent = $3 AND incarnation = $4 AND $5 = ''",
            &key,
            "",
        )
        .await?;
        rows.heads.read(key, head);
    }
    for key in rows.sessions.take_unread() {
        let known: Option<KnownSession> = one(
            db,
            "SELECT known AS json FROM throughline.session_known \
             WHERE tenant = $1 AND thread = $2 AND agent = $3 AND incarnation = $4 AND session = $5",
            &key.0,
            key.1.as_str(),
        )
        .await?;
        rows.sessions.read(key, known);
    }
    for key in rows.attempts.take_unread() {
        let attempt: Option<AttemptRecord> = one(
            db,
            "SELECT record AS json FROM throughline.session_attempts \
             WHERE tenant = $1 AND thread = $2 AND agent = $3 AND incarnation = $4 AND attempt = $5",
            &key.0,
            key.1.as_str(),
        )
        .await?;
        rows.attempts.read(key, attempt);
    }
    Ok(())
}

async fn one<T: DeserializeOwned>(
    db: &mut PgConnection,
    sql: &'static str,
    key: &HeadKey,
    name: &str,
) -> sqlx::Result<Option<T>> {
    let row = sqlx::query(sql)
        .bind(key.thread.0.as_str())
        .bind(key.thread.1.as_str())
        .bind(key.agent.as_str())
        .bind(number(key.incarnation))
        .bind(name)
        .fetch_optional(db)
        .await?;
    row.map(|row| decode(row.try_get("json")?, whose(&key.agent, &key.thread.1))).transpose()
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

pub(super) async fn write(rows: &Rows, db: &mut PgConnection) -> sqlx::Result<()> {
    for ((tenant, agent), record) in rows.agents.changed() {
        sqlx::query(
            "INSERT INTO throughline.session_agents (tenant, agent, incarnation, resets) VALUES ($1, $2, $3, $4) \
             ON CONFLICT (tenant, agent) DO UPDATE SET incarnation = excluded.incarnation, resets = excluded.resets",
        )
        .bind(tenant.as_str())
        .bind(agent.as_str())
        .bind(number(record.incarnation))
        .bind(number(record.resets))
        .execute(&mut *db)
        .await?;
    }
    for ((tenant, runtime), incarnation) in rows.runtimes.changed() {
        sqlx::query(
            "INSERT INTO throughline.session_runtimes (tenant, runtime, incarnation) VALUES ($1, $2, $3) \
             ON CONFLICT (tenant, runtime) DO UPDATE SET incarnation = excluded.incarnation",
        )
        .bind(tenant.as_str())
        .bind(runtime.as_str())
        .bind(number(*incarnation))
        .execute(&mut *db)
        .await?;
    }
    for (key, head) in rows.heads.changed() {
        of_head(
            "INSERT INTO throughline.session_heads (tenant, thread, agent, incarnation, head) \
             VALUES ($1, $2, $3, $4, $5) ON CONFLICT (tenant, thread, agent, incarnation) DO UPDATE SET head = excluded.head",
            key,
        )
        .bind(json(head))
        .execute(&mut *db)
        .await?;
    }
    for ((key, id), known) in rows.sessions.changed() {
        write_known(key, id, known, db).await?;
    }
    for ((key, id), record) in rows.attempts.changed() {
        of_head(
            "INSERT INTO throughline.session_attempts (tenant, thread, agent, incarnation, attempt, number, record) \
             VALUES ($1, $2, $3, $4, $5, $6, $7) \
             ON CONFLICT (tenant, thread, agent, incarnation, attempt) DO UPDATE SET record = excluded.record",
            key,
        )
        .bind(id.as_str())
        .bind(number(record.attempt.number))
        .bind(json(record))
        .execute(&mut *db)
        .await?;
    }
    Ok(())
}

async fn write_known(
    key: &HeadKey,
    id: &SessionId,
    known: &KnownSession,
    db: &mut PgConnection,
) -> sqlx::Result<()> {
    let value = known.value.as_ref();
    let bound = value.and_then(|value| value.runtime.as_ref());
    of_head(
        "INSERT INTO throughline.session_known (tenant, thread, agent, incarnation, session, generation, number, usable, \
         provider, runtime, root, dropped, known) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13) \
         ON CONFLICT (tenant, thread, agent, incarnation, session) DO UPDATE SET generation = excluded.generation, \
         number = excluded.number, usable = excluded.usable, provider = excluded.provider, runtime = excluded.runtime, \
         root = excluded.root, dropped = excluded.dropped, known = excluded.known",
        key,
    )
    .bind(id.as_str())
    .bind(value.map(|value| number(value.generation.get())))
    .bind(value.map(|value| number(value.number)))
    .bind(known.is_usable())
    .bind(value.map(|value| value.provider.as_str()))
    .bind(bound.map(|bound| bound.runtime.id.as_str()))
    .bind(bound.map(|bound| bound.runtime.root.as_str()))
    .bind(bound.map(|bound| number(bound.incarnation)))
    .bind(json(known))
    .execute(db)
    .await
    .map(drop)
}

type Asked<'q> = sqlx::query::Query<'q, sqlx::Postgres, sqlx::postgres::PgArguments>;

fn of_head<'q>(sql: &'static str, key: &'q HeadKey) -> Asked<'q> {
    sqlx::query(sql)
        .bind(key.thread.0.as_str())
        .bind(key.thread.1.as_str())
        .bind(key.agent.as_str())
        .bind(number(key.incarnation))
}
