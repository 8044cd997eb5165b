//! The change feed and the audit log, which the engine does not decide.

use sqlx::PgConnection;
use throughline_core::{
    ThreadId,
    audit::AuditEntry,
    changes::ChangeKind,
    replication::{Image, ImagePart},
};

use super::State;
use crate::rows::{json, number};

/// Changes of the feed, at their positions.
pub(super) async fn put_changes(db: &mut PgConnection, images: &[Image]) -> sqlx::Result<()> {
    let changes: Vec<_> = images
        .iter()
        .filter_map(|image| match &image.part {
            // What the other store could not read it is for that store to tell.
            ImagePart::Change(change) if !matches!(change.what, ChangeKind::Unreadable { .. }) => {
                Some(change)
            }
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
