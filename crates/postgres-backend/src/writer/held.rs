//! The last writes of a transaction, while it holds the row of the store: audit records, which are chained, and the
//! dirty set.
//!
//! A statement that waits for the lock sees the updated row of the store, but all other tables in its former
//! snapshot. So the row itself holds the values that depend on the commit order.

use sqlx::{PgConnection, postgres::PgRow};
use throughline_core::{
    ThreadId,
    audit::{AuditLink, SealedAuditEntry},
    replication::{CaptureId, ReplicationState},
};
use throughline_engine::StagedRows;

use super::{attempt::Written, decide::Decided};
use crate::{
    queue::{Audit, Pending},
    replica::{self, Key},
    rows::number,
};

/// The row of the store, as the transaction found it under its lock.
#[derive(Debug)]
pub(super) struct Held {
    /// The current replication state, which may differ from the state at the beginning of the transaction.
    pub(super) replication_state: ReplicationState,
    capture: Option<CaptureId>,
    link: AuditLink,
}

impl Held {
    /// Decodes the columns that the last statement of a transaction returns.
    pub(super) fn read(row: &PgRow) -> sqlx::Result<Self> {
        Ok(Self {
            replication_state: replica::replication_state(row)?,
            capture: replica::capture(row)?,
            link: replica::link(row)?,
        })
    }

    /// Returns whether the store records a dirty set for a replica.
    pub(super) const fn captures(&self) -> bool {
        self.capture.is_some()
    }

    /// Writes the audit records and the dirty set of the batch. Without any, it costs no round trip.
    pub(super) async fn behind(
        self,
        db: &mut PgConnection,
        batch: &[Pending],
        (decided, staged): (&[Decided], &StagedRows),
        written: &Written,
    ) -> sqlx::Result<()> {
        let entries = entries(self.link, batch, decided, written);
        if let Some(last) = entries.last() {
            append(db, &entries, last).await?;
        }
        if self.capture.is_some() {
            replica::record(db, Key::changed(staged)).await?;
        }
        Ok(())
    }
}

/// Returns the audit records of a transaction, in the order of its positions.
fn entries(
    mut link: AuditLink,
    batch: &[Pending],
    decided: &[Decided],
    written: &Written,
) -> Vec<SealedAuditEntry> {
    if batch.iter().all(|pending| matches!(pending.write.audit, Audit::Nothing)) {
        return Vec::new();
    }
    let mut changed: Vec<_> = batch
        .iter()
        .zip(decided)
        .filter_map(|(pending, decided)| {
            Some((decided.events?, &pending.write, decided.outcome.as_ref().ok()?))
        })
        .collect();
    // The decision order may differ from the arrival order.
    changed.sort_unstable_by_key(|(events, ..)| *events);
    let (mut entries, mut before) = (Vec::new(), 0);
    for (events, write, outcome) in changed {
        let span = (written.position(before), written.position(events));
        before = events;
        match &write.audit {
            Audit::Nothing => {}
            Audit::Entry(pending) => entries.push(pending.seal(&mut link, write.now, span, &outcome.result)),
            Audit::RejectedCalls(records) => {
                entries.extend(records.entries(&mut link).iter().map(SealedAuditEntry::from));
            }
        }
    }
    entries
}

const APPEND: &str = "WITH s AS (UPDATE throughline.store SET audit = $1, audit_hash = $2 WHERE id = 1) \
    INSERT INTO throughline.audit (number, tenant, thread, hash, body) \
    SELECT * FROM unnest($3::bigint[], $4::text[], $5::text[], $6::bytea[], $7::text[])";

/// Appends records to the audit log; the next record is chained to `last`.
async fn append(
    db: &mut PgConnection,
    entries: &[SealedAuditEntry],
    last: &SealedAuditEntry,
) -> sqlx::Result<()> {
    sqlx::query(APPEND)
        .bind(number(last.number.get()))
        .bind(last.hash.as_bytes().as_slice())
        .bind(entries.iter().map(|entry| number(entry.number.get())).collect::<Vec<_>>())
        .bind(entries.iter().map(|entry| entry.tenant.as_str()).collect::<Vec<_>>())
        .bind(entries.iter().map(|entry| entry.thread.as_ref().map(ThreadId::as_str)).collect::<Vec<_>>())
        .bind(entries.iter().map(|entry| entry.hash.as_bytes().as_slice()).collect::<Vec<_>>())
        .bind(entries.iter().map(|entry| entry.body.as_str()).collect::<Vec<_>>())
        .execute(db)
        .await
        .map(drop)
}
