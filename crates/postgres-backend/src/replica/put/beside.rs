//! What is no row of a thread that is decided on, or is written elsewhere in another way: keys, consumers, changes, the log of who did
//! what.

use std::collections::BTreeMap;

use sqlx::PgConnection;
use throughline_core::{
    Happened, ThreadId,
    audit::AuditEntry,
    replica::{Image, ImagePart},
};

use super::State;
use crate::rows::{json, number};

/// Keys that were used, over those that are there.
pub(super) async fn put_keys(db: &mut PgConnection, images: &[Image]) -> sqlx::Result<()> {
    // The last one of a key counts, and a statement takes each row once.
    let mut keys = BTreeMap::new();
    for image in images {
        if let ImagePart::Key(key) = &image.part {
            keys.insert((image.tenant.as_str(), key.thread.as_str(), key.key.as_str()), &**key);
        }
    }
    if keys.is_empty() {
        return Ok(());
    }
    sqlx::query(
        "INSERT INTO throughline.keys (tenant, thread, key, created_at, fingerprint, replay) \
         SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::bigint[], $5::bytea[], $6::text[]) \
         ON CONFLICT (tenant, thread, key) DO UPDATE SET created_at = excluded.created_at, \
         fingerprint = excluded.fingerprint, replay = excluded.replay",
    )
    .bind(keys.keys().map(|key| key.0).collect::<Vec<_>>())
    .bind(keys.keys().map(|key| key.1).collect::<Vec<_>>())
    .bind(keys.keys().map(|key| key.2).collect::<Vec<_>>())
    .bind(keys.values().map(|key| key.at.as_micros()).collect::<Vec<_>>())
    .bind(keys.values().map(|key| key.fingerprint.as_bytes().as_slice()).collect::<Vec<_>>())
    .bind(keys.values().map(|key| json(&key.replay)).collect::<Vec<_>>())
    .execute(db)
    .await
    .map(drop)
}

/// What consumers keep, with all that they have passed over.
pub(super) async fn put_consumers(db: &mut PgConnection, images: &[Image]) -> sqlx::Result<()> {
    for image in images {
        let ImagePart::Consumer(kept) = &image.part else { continue };
        let (tenant, consumer) = (image.tenant.as_str(), kept.consumer.as_str());
        sqlx::query(
            "INSERT INTO throughline.consumers (tenant, consumer, position) VALUES ($1, $2, $3) \
             ON CONFLICT (tenant, consumer) DO UPDATE SET position = excluded.position",
        )
        .bind(tenant)
        .bind(consumer)
        .bind(number(kept.position.get()))
        .execute(&mut *db)
        .await?;
        sqlx::query("DELETE FROM throughline.quarantine WHERE tenant = $1 AND consumer = $2")
            .bind(tenant)
            .bind(consumer)
            .execute(&mut *db)
            .await?;
        if kept.quarantined.is_empty() {
            continue;
        }
        let passed = &kept.quarantined;
        sqlx::query(
            "INSERT INTO throughline.quarantine (tenant, consumer, position, at, thread, why) \
             SELECT $1, $2, k.* FROM unnest($3::bigint[], $4::bigint[], $5::text[], $6::bytea[]) AS k",
        )
        .bind(tenant)
        .bind(consumer)
        .bind(passed.iter().map(|change| number(change.position.get())).collect::<Vec<_>>())
        .bind(passed.iter().map(|change| change.at.as_micros()).collect::<Vec<_>>())
        .bind(passed.iter().map(|change| change.thread.as_str()).collect::<Vec<_>>())
        .bind(passed.iter().map(|change| change.why.as_bytes()).collect::<Vec<_>>())
        .execute(&mut *db)
        .await?;
    }
    Ok(())
}

/// Changes of the feed, at their positions.
pub(super) async fn put_changes(db: &mut PgConnection, images: &[Image]) -> sqlx::Result<()> {
    let changes: Vec<_> = images
        .iter()
        .filter_map(|image| match &image.part {
            // What the other store could not read it is for that store to tell.
            ImagePart::Change(change) if !matches!(change.what, Happened::Unreadable { .. }) => Some(change),
            _ => None,
        })
        .collect();
    if changes.is_empty() {
        return Ok(());
    }
    sqlx::query(
        "INSERT INTO throughline.changes (position, tenant, thread, at, what) \
         SELECT * FROM unnest($1::bigint[], $2::text[], $3::text[], $4::bigint[], $5::text[]) \
         ON CONFLICT (position) DO NOTHING",
    )
    .bind(changes.iter().map(|change| number(change.position.get())).collect::<Vec<_>>())
    .bind(changes.iter().map(|change| change.tenant.as_str()).collect::<Vec<_>>())
    .bind(changes.iter().map(|change| change.thread.as_str()).collect::<Vec<_>>())
    .bind(changes.iter().map(|change| change.at.as_micros()).collect::<Vec<_>>())
    .bind(changes.iter().map(|change| json(&change.what)).collect::<Vec<_>>())
    .execute(db)
    .await
    .map(drop)
}

/// Entries of the log of who did what, under their numbers. What is there already stays: the log is only ever added to.
pub(super) async fn put_audit(
    db: &mut PgConnection,
    state: &mut State,
    images: &[Image],
) -> sqlx::Result<()> {
    let mut entries: Vec<&AuditEntry> = Vec::new();
    for image in images {
        if let ImagePart::Audit(entry) = &image.part
            && entry.number > state.audit.0
        {
            state.audit = (entry.number, entry.hash);
            entries.push(entry);
        }
    }
    if entries.is_empty() {
        return Ok(());
    }
    sqlx::query(
        "INSERT INTO throughline.audit (number, tenant, thread, hash, body) \
         SELECT * FROM unnest($1::bigint[], $2::text[], $3::text[], $4::bytea[], $5::text[])",
    )
    .bind(entries.iter().map(|entry| number(entry.number.get())).collect::<Vec<_>>())
    .bind(entries.iter().map(|entry| entry.record.tenant.as_str()).collect::<Vec<_>>())
    .bind(entries.iter().map(|entry| entry.only_thread().map(ThreadId::as_str)).collect::<Vec<_>>())
    .bind(entries.iter().map(|entry| entry.hash.as_bytes().as_slice()).collect::<Vec<_>>())
    .bind(entries.iter().map(|entry| entry.body()).collect::<Vec<_>>())
    .execute(db)
    .await
    .map(drop)
}
