//! Noting which rows are touched, while somebody copies the store; a store that nobody copies writes nothing more.
//!
//! It begins in two steps. First the row of the store says that it is noted, from when on every transaction that ends does so. Then
//! everything that there is by now is listed by its keys, for which nobody waits: whatever is changed meanwhile is noted. So each row is
//! listed or noted, or both; one that is both counts as noted.

use std::collections::HashSet;

use sqlx::{AssertSqlSafe, PgConnection};
use throughline_core::replication::CaptureId;

use super::{Key, Part, State, key::BETWEEN};
use crate::rows::number;

/// Two who list wait for each other.
const LOCK: &str = "SELECT pg_advisory_xact_lock(6070816190463183182)";

/// From now on it is noted what is touched, unless that is done already.
pub(super) async fn turn_on(db: &mut PgConnection) -> sqlx::Result<()> {
    // Not prepared: outside of a transaction that has begun, a pooler may have another connection for the second step.
    let sql = format!(
        "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE; \
         UPDATE throughline.store SET capture = {} WHERE id = 1 AND capture IS NULL; COMMIT",
        number(CaptureId::fresh().get())
    );
    sqlx::raw_sql(AssertSqlSafe(sql)).execute(db).await.map(drop)
}

/// Lists everything that there is, unless that was done for the present capture; says for which one it is listed.
pub(super) async fn list(db: &mut PgConnection) -> sqlx::Result<Option<CaptureId>> {
    // Whole tables are read here, for as long as that takes.
    let sql = "SET LOCAL statement_timeout = 0; SET LOCAL lock_timeout = 0; SET LOCAL enable_seqscan = on";
    sqlx::raw_sql(sql).execute(&mut *db).await?;
    sqlx::raw_sql(LOCK).execute(&mut *db).await?;
    let State { capture, listed, .. } = State::read(db).await?;
    if listed {
        return Ok(capture);
    }
    sqlx::raw_sql("DELETE FROM throughline.listed").execute(&mut *db).await?;
    let mut last: i64 = 0;
    for part in Part::ALL {
        let key = part.columns().join(&format!(" || chr({}) || ", BETWEEN as u32));
        let sql = format!(
            "INSERT INTO throughline.listed (n, kind, key) SELECT $1::bigint + row_number() OVER (ORDER BY {}), $2::integer, {key} \
             FROM throughline.{}",
            part.order(),
            part.table()
        );
        let listed = sqlx::query(AssertSqlSafe(sql)).bind(last).bind(part.code()).execute(&mut *db).await?;
        last += number(listed.rows_affected());
    }
    Ok(capture)
}

/// Nothing is noted any more, and nothing is left of it.
pub(super) async fn turn_off(db: &mut PgConnection) -> sqlx::Result<()> {
    sqlx::raw_sql("DELETE FROM throughline.listed; DELETE FROM throughline.touched")
        .execute(db)
        .await
        .map(drop)
}

const NOTE: &str = "WITH s AS (UPDATE throughline.store SET touched = touched + $1 WHERE id = 1 \
    RETURNING touched - $1 AS base) \
    INSERT INTO throughline.touched (n, kind, key) SELECT s.base + k.i, k.kind, k.key \
    FROM s, unnest($2::integer[], $3::text[]) WITH ORDINALITY AS k (kind, key, i) \
    ON CONFLICT (kind, key) DO UPDATE SET n = excluded.n";

/// Notes that rows were touched. The row of the store has to be held: the numbers are in the order of the commits.
pub(crate) async fn note(db: &mut PgConnection, mut keys: Vec<Key>) -> sqlx::Result<()> {
    let mut seen = HashSet::with_capacity(keys.len());
    keys.retain(|key| seen.insert(key.clone()));
    if keys.is_empty() {
        return Ok(());
    }
    sqlx::query(NOTE)
        .bind(number(keys.len() as u64))
        .bind(keys.iter().map(|key| key.part.code()).collect::<Vec<_>>())
        .bind(keys.iter().map(Key::as_str).collect::<Vec<_>>())
        .execute(db)
        .await
        .map(drop)
}
