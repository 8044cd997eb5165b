//! Consumers of the change feed and their quarantined changes.

use std::collections::HashMap;

use sqlx::{PgConnection, Row as _, postgres::PgRow};
use throughline_core::{PersistError, Position, ThreadId, Timestamp, changes::QuarantinedChange};
use throughline_engine::{
    StagedRows,
    rows::{ConsumerKey, ConsumerRow, QuarantineCount, QuarantineKey},
};

use super::{Source, Writing, counter, number};
use crate::error::{Failure, damaged};

const CURSORS: &str = "SELECT k.i, c.position FROM unnest($1::text[], $2::text[]) WITH ORDINALITY AS k (tenant, consumer, i) \
    JOIN throughline.consumers c ON c.tenant = k.tenant AND c.consumer = k.consumer";

const QUARANTINED: &str = "SELECT k.i, q.position, q.at, q.thread, q.why \
    FROM unnest($1::text[], $2::text[], $3::bigint[]) WITH ORDINALITY AS k (tenant, consumer, position, i) \
    JOIN throughline.quarantine q ON q.tenant = k.tenant AND q.consumer = k.consumer AND q.position = k.position";

const COUNT: &str = "SELECT count(*) FROM throughline.quarantine \
    WHERE tenant = $1 AND consumer = $2 AND position <= $3";

pub(super) async fn load(source: &mut Source, db: &mut PgConnection) -> sqlx::Result<()> {
    let keys = source.consumers.take_wanted();
    if !keys.is_empty() {
        let (tenants, names) = columns(keys.iter());
        for row in sqlx::query(CURSORS).bind(tenants).bind(names).fetch_all(&mut *db).await? {
            let Some(key) = which(&keys, &row)? else { continue };
            match counter(row.try_get("position")?).map(Position::new) {
                Some(position) => source.consumers.insert(key.clone(), Some(ConsumerRow { position })),
                None => {
                    let object = format!("the cursor of the consumer `{}`", key.consumer);
                    source.consumers.insert_damaged(key.clone(), damaged_row(&object));
                }
            }
        }
        keys.into_iter().for_each(|key| source.consumers.insert(key, None));
    }
    let keys = source.quarantine.take_wanted();
    if !keys.is_empty() {
        let (tenants, names) = columns(keys.iter().map(|key| &key.consumer));
        let positions: Vec<i64> = keys.iter().map(|key| number(key.position.get())).collect();
        let found = sqlx::query(QUARANTINED).bind(tenants).bind(names).bind(positions);
        let found = found.fetch_all(&mut *db).await?;
        for row in &found {
            let Some(key) = which(&keys, row)? else { continue };
            match quarantined(row)? {
                Some(change) => source.quarantine.insert(key.clone(), Some(change)),
                None => {
                    let object = format!("a quarantined change of the consumer `{}`", key.consumer.consumer);
                    source.quarantine.insert_damaged(key.clone(), damaged_row(&object));
                }
            }
        }
        keys.into_iter().for_each(|key| source.quarantine.insert(key, None));
    }
    for query in source.quarantine_counts.take_wanted() {
        let QuarantineCount { consumer: ConsumerKey { tenant, consumer }, through } = &query;
        let count: i64 = sqlx::query_scalar(COUNT)
            .bind(tenant.as_str())
            .bind(consumer.as_str())
            .bind(number(through.get()))
            .fetch_one(&mut *db)
            .await?;
        source.quarantine_counts.insert(query, counter(count).unwrap_or_default());
    }
    Ok(())
}

/// The error of a write that needs a damaged row. Other writes of the transaction do not fail.
fn damaged_row(object: &str) -> PersistError {
    Failure::from(damaged(object.to_owned())).into()
}

fn columns<'k>(keys: impl Iterator<Item = &'k ConsumerKey>) -> (Vec<&'k str>, Vec<&'k str>) {
    keys.map(|key| (key.tenant.as_str(), key.consumer.as_str())).unzip()
}

fn which<'k, K>(keys: &'k [K], row: &PgRow) -> sqlx::Result<Option<&'k K>> {
    let at = usize::try_from(row.try_get::<i64, _>("i")? - 1).ok();
    Ok(at.and_then(|at| keys.get(at)))
}

/// Decodes a quarantined change; `None` if it is damaged.
fn quarantined(row: &PgRow) -> sqlx::Result<Option<QuarantinedChange>> {
    let position = counter(row.try_get("position")?);
    let (thread, why): (&str, &[u8]) = (row.try_get("thread")?, row.try_get("why")?);
    let at = Timestamp::from_micros(row.try_get("at")?);
    let change = || {
        Some(QuarantinedChange {
            position: Position::new(position?),
            thread: ThreadId::new(thread).ok()?,
            at,
            why: String::from_utf8(why.to_vec()).ok()?,
        })
    };
    Ok(change())
}

pub(super) fn write(staged: &StagedRows, writing: &mut Writing) {
    let changed: Vec<_> = staged.consumers.changed().collect();
    if !changed.is_empty() {
        let (tenants, names) = columns(changed.iter().map(|(key, _)| *key));
        writing
            .part(
                "INSERT INTO throughline.consumers (tenant, consumer, position) \
                 SELECT * FROM unnest($1::text[], $2::text[], $3::bigint[]) \
                 ON CONFLICT (tenant, consumer) DO UPDATE SET position = excluded.position",
            )
            .bind(tenants)
            .bind(names)
            .bind(changed.iter().map(|(_, row)| number(row.position.get())).collect::<Vec<_>>());
    }
    write_quarantine(staged, writing);
}

/// Writes quarantined changes. No row is written by two parts of the statement.
fn write_quarantine(staged: &StagedRows, writing: &mut Writing) {
    let put: Vec<_> = staged.quarantine.changed().collect();
    let position = |key: &QuarantineKey| number(key.position.get());
    let mut cuts: HashMap<&ConsumerKey, Position> = HashMap::new();
    for (consumer, after) in staged.quarantine_cuts.items() {
        let first = cuts.entry(consumer).or_insert(*after);
        *first = (*first).min(*after);
    }
    if !cuts.is_empty() {
        let (tenants, names) = columns(cuts.keys().copied());
        let (kept_tenants, kept_names) = columns(put.iter().map(|(key, _)| &key.consumer));
        writing
            .part(
                "DELETE FROM throughline.quarantine q USING unnest($1::text[], $2::text[], $3::bigint[]) \
                 AS k (tenant, consumer, after) \
                 WHERE q.tenant = k.tenant AND q.consumer = k.consumer AND q.position > k.after \
                 AND (q.tenant, q.consumer, q.position) NOT IN (SELECT * FROM unnest($4::text[], $5::text[], $6::bigint[]))",
            )
            .bind(tenants)
            .bind(names)
            .bind(cuts.values().map(|after| number(after.get())).collect::<Vec<_>>())
            .bind(kept_tenants)
            .bind(kept_names)
            .bind(put.iter().map(|(key, _)| position(key)).collect::<Vec<_>>());
    }
    let is_cut = |key: &QuarantineKey| cuts.get(&key.consumer).is_some_and(|after| key.position > *after);
    let removed: Vec<_> = staged.quarantine.removed().filter(|key| !is_cut(key)).collect();
    if !removed.is_empty() {
        let (tenants, names) = columns(removed.iter().map(|key| &key.consumer));
        writing
            .part(
                "DELETE FROM throughline.quarantine q USING unnest($1::text[], $2::text[], $3::bigint[]) \
                 AS k (tenant, consumer, position) \
                 WHERE q.tenant = k.tenant AND q.consumer = k.consumer AND q.position = k.position",
            )
            .bind(tenants)
            .bind(names)
            .bind(removed.iter().map(|key| position(key)).collect::<Vec<_>>());
    }
    if put.is_empty() {
        return;
    }
    let (tenants, names) = columns(put.iter().map(|(key, _)| &key.consumer));
    writing
        .part(
            "INSERT INTO throughline.quarantine (tenant, consumer, position, at, thread, why) \
             SELECT * FROM unnest($1::text[], $2::text[], $3::bigint[], $4::bigint[], $5::text[], $6::bytea[]) \
             ON CONFLICT (tenant, consumer, position) \
             DO UPDATE SET at = excluded.at, thread = excluded.thread, why = excluded.why",
        )
        .bind(tenants)
        .bind(names)
        .bind(put.iter().map(|(key, _)| position(key)).collect::<Vec<_>>())
        .bind(put.iter().map(|(_, change)| change.at.as_micros()).collect::<Vec<_>>())
        .bind(put.iter().map(|(_, change)| change.thread.as_str()).collect::<Vec<_>>())
        .bind(put.iter().map(|(_, change)| change.why.as_bytes()).collect::<Vec<_>>());
}
