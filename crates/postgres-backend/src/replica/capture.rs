//! Captures: the dirty set records which rows change while a replica copies the store. Without a capture, nothing
//! is recorded.
//!
//! A capture begins in two steps. First, the row of the store enables the capture; from then on, every transaction
//! records the keys of its changed rows. Then the keys of all existing rows are listed as the snapshot, without a
//! lock on the writers. So each row is in the snapshot, in the dirty set, or in both; then the dirty set counts.

use std::collections::HashSet;

use sqlx::{AssertSqlSafe, PgConnection};
use throughline_core::replication::CaptureId;

use super::{Key, Part, State, key::BETWEEN};
use crate::{advisory::lock_number, rows::number};

/// Concurrent snapshots wait for each other.
const LOCK: &str = concat!("SELECT pg_advisory_xact_lock(", lock_number!(snapshot), ")");

/// Enables the capture, unless it is enabled already.
pub(super) async fn turn_on(db: &mut PgConnection) -> sqlx::Result<()> {
    // A simple query: outside of a transaction, a pooler may use another connection for the second step of a
    // prepared one.
    let sql = format!(
        "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE; \
         UPDATE throughline.store SET capture = {} WHERE id = 1 AND capture IS NULL; COMMIT",
        number(CaptureId::fresh().get())
    );
    sqlx::raw_sql(AssertSqlSafe(sql)).execute(db).await.map(drop)
}

/// Lists all rows as the snapshot of the present capture, unless that was done. Returns the capture that it belongs
/// to.
pub(super) async fn list(db: &mut PgConnection) -> sqlx::Result<Option<CaptureId>> {
    // The statement reads whole tables and may run for a long time.
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

/// Disables the capture and deletes its snapshot and its dirty set.
pub(super) async fn turn_off(db: &mut PgConnection) -> sqlx::Result<()> {
    sqlx::raw_sql("DELETE FROM throughline.listed; DELETE FROM throughline.touched")
        .execute(db)
        .await
        .map(drop)
}

const RECORD: &str = "WITH s AS (UPDATE throughline.store SET touched = touched + $1 WHERE id = 1 \
    RETURNING touched - $1 AS base) \
    INSERT INTO throughline.touched (n, kind, key) SELECT s.base + k.i, k.kind, k.key \
    FROM s, unnest($2::integer[], $3::text[]) WITH ORDINALITY AS k (kind, key, i) \
    ON CONFLICT (kind, key) DO UPDATE SET n = excluded.n";

/// Records changed rows in the dirty set. The caller must hold the row of the store, so that the numbers are in
/// commit order.
pub(crate) async fn record(db: &mut PgConnection, mut keys: Vec<Key>) -> sqlx::Result<()> {
    let mut seen = HashSet::with_capacity(keys.len());
    keys.retain(|key| seen.insert(key.clone()));
    if keys.is_empty() {
        return Ok(());
    }
    sqlx::query(RECORD)
        .bind(number(keys.len() as u64))
        .bind(keys.iter().map(|key| key.part.code()).collect::<Vec<_>>())
        .bind(keys.iter().map(Key::as_str).collect::<Vec<_>>())
        .execute(db)
        .await
        .map(drop)
}
