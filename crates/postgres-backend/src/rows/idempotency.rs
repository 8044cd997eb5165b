//! Used idempotency keys.

use std::collections::HashMap;

use sqlx::{PgConnection, Row as _};
use throughline_core::{Timestamp, operations::Fingerprint};
use throughline_engine::{
    StagedRows,
    rows::{IdempotencyRow, IdempotencyRowKey},
};

use super::{Source, Writing, session::json};
use crate::error::damaged;

const READ: &str = "SELECT i.tenant, i.thread, i.key, i.created_at, i.fingerprint, i.replay \
    FROM unnest($1::text[], $2::text[], $3::text[]) AS k (tenant, thread, key) \
    JOIN throughline.keys i ON i.tenant = k.tenant AND i.thread = k.thread AND i.key = k.key";

pub(super) async fn load(source: &mut Source, db: &mut PgConnection) -> sqlx::Result<()> {
    let keys = source.idempotency.take_wanted();
    if keys.is_empty() {
        return Ok(());
    }
    let [tenants, threads, names] = columns(keys.iter());
    let found = sqlx::query(READ).bind(tenants).bind(threads).bind(names).fetch_all(db).await?;
    let mut loaded = HashMap::with_capacity(found.len());
    for row in &found {
        let key: (&str, &str, &str) = (row.try_get("tenant")?, row.try_get("thread")?, row.try_get("key")?);
        let fingerprint = <[u8; 32]>::try_from(row.try_get::<&[u8], _>("fingerprint")?).ok();
        let replay = serde_json::from_str(row.try_get("replay")?).ok();
        let Some((fingerprint, replay)) = fingerprint.zip(replay) else {
            return Err(damaged(format!("the answer under the idempotency key `{}`", key.2)));
        };
        let created_at = Timestamp::from_micros(row.try_get("created_at")?);
        let fingerprint = Fingerprint::from_bytes(fingerprint);
        loaded.insert(key, IdempotencyRow { fingerprint, replay, created_at });
    }
    for key in &keys {
        let IdempotencyRowKey { thread, key: name } = key;
        let row = loaded.remove(&(thread.tenant.as_str(), thread.thread.as_str(), name.as_str()));
        source.idempotency.insert(key.clone(), row);
    }
    Ok(())
}

fn columns<'a>(keys: impl Iterator<Item = &'a IdempotencyRowKey>) -> [Vec<&'a str>; 3] {
    let mut columns = [vec![], vec![], vec![]];
    for IdempotencyRowKey { thread, key } in keys {
        for (column, part) in
            columns.iter_mut().zip([thread.tenant.as_str(), thread.thread.as_str(), key.as_str()])
        {
            column.push(part);
        }
    }
    columns
}

/// Inserts keys, and fails if one is there.
const INSERT: &str = "INSERT INTO throughline.keys (tenant, thread, key, created_at, fingerprint, replay) \
    SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::bigint[], $5::bytea[], $6::text[])";

pub(super) fn write(staged: &StagedRows, writing: &mut Writing) {
    let or_update = " ON CONFLICT (tenant, thread, key) DO UPDATE SET created_at = excluded.created_at, \
         fingerprint = excluded.fingerprint, replay = excluded.replay";
    write_by(staged, writing, &format!("{INSERT}{or_update}"));
}

/// Writes keys that were not looked up.
pub(super) fn write_new(staged: &StagedRows, writing: &mut Writing) {
    write_by(staged, writing, INSERT);
}

fn write_by(staged: &StagedRows, writing: &mut Writing, sql: &str) {
    let changed: Vec<_> = staged.idempotency.changed().collect();
    if changed.is_empty() {
        return;
    }
    let [tenants, threads, names] = columns(changed.iter().map(|(key, _)| *key));
    writing
        .part(sql)
        .bind(tenants)
        .bind(threads)
        .bind(names)
        .bind(changed.iter().map(|(_, row)| row.created_at.as_micros()).collect::<Vec<_>>())
        .bind(changed.iter().map(|(_, row)| row.fingerprint.as_bytes().as_slice()).collect::<Vec<_>>())
        .bind(changed.iter().map(|(_, row)| json(&row.replay)).collect::<Vec<_>>());
}
