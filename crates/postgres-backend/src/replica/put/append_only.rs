//! Copies of the change feed and the audit log. Both are append-only; the engine does not decide them.

use sqlx::PgConnection;
use throughline_core::{
    ThreadId,
    audit::AuditEntry,
    changes::ChangeKind,
    replication::{Image, ImagePart},
};

use super::State;
use crate::rows::{json, number};

/// Writes changes of the feed at their positions.
pub(super) async fn put_changes(db: &mut PgConnection, images: &[Image]) -> sqlx::Result<()> {
    let changes: Vec<_> = images
        .iter()
        .filter_map(|image| match &image.part {
            // An unreadable change of the primary is not copied.
            ImagePart::Change(change) if !matches!(change.kind, ChangeKind::Unreadable { .. }) => {
                Some(change)
            }
            _ => None,
        })
        .collect();
    if changes.is_empty() {
        return Ok(());
    }
    sqlx::query(
        "INSERT INTO throughline.changes (position, tenant, thread, at, kind) \
         SELECT * FROM unnest($1::bigint[], $2::text[], $3::text[], $4::bigint[], $5::text[]) \
         ON CONFLICT (position) DO NOTHING",
    )
    .bind(changes.iter().map(|change| number(change.position.get())).collect::<Vec<_>>())
    .bind(changes.iter().map(|change| change.tenant.as_str()).collect::<Vec<_>>())
    .bind(changes.iter().map(|change| change.thread.as_str()).collect::<Vec<_>>())
    .bind(changes.iter().map(|change| change.at.as_micros()).collect::<Vec<_>>())
    .bind(changes.iter().map(|change| json(&change.kind)).collect::<Vec<_>>())
    .execute(db)
    .await
    .map(drop)
}

/// Writes audit records under their numbers. Existing records stay: the audit log is append-only.
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
