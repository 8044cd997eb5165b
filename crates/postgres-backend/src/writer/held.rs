//! What a transaction writes last, while it holds the row of the store: audit entries, which are chained, and the dirty set.
//!
//! A statement that waits for the row sees it as it is afterwards, and all other tables as they were before. So the row itself holds what
//! has to be known in the order of the commits.

use sqlx::{PgConnection, postgres::PgRow};
use throughline_core::{
    ThreadId,
    audit::{AuditEntry, AuditLink},
    replication::{CaptureId, ReplicationState},
};
use throughline_engine::StagedRows;

use super::{attempt::Written, decide::Decided};
use crate::{
    queue::{Audit, Pending},
    replica::{self, Key},
    rows::number,
};

/// The row of the store, as the transaction that holds it has found it.
#[derive(Debug)]
pub(super) struct Held {
    /// What the store is by now, whatever it was when the transaction began.
    pub(super) replication_state: ReplicationState,
    capture: Option<CaptureId>,
    link: AuditLink,
}

impl Held {
    /// Reads the columns that the last statement of a transaction answers.
    pub(super) fn read(row: &PgRow) -> sqlx::Result<Self> {
        Ok(Self {
            replication_state: replica::replication_state(row)?,
            capture: replica::capture(row)?,
            link: replica::link(row)?,
        })
    }

    /// Writes what the batch is still to leave. One that leaves nothing more costs nothing more.
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
            replica::note(db, Key::changed(staged)).await?;
        }
        Ok(())
    }
}

/// The entries of a transaction, in the order of the positions that it has taken.
fn entries(
    mut link: AuditLink,
    batch: &[Pending],
    decided: &[Decided],
    written: &Written,
) -> Vec<AuditEntry> {
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
    // Operations are not always decided in the order in which they came.
    changed.sort_unstable_by_key(|(events, ..)| *events);
    let (mut entries, mut before) = (Vec::new(), 0);
    for (events, write, outcome) in changed {
        let span = (written.position(before), written.position(events));
        before = events;
        match &write.audit {
            Audit::Nothing => {}
            Audit::Entry(ticket) => entries.push(ticket.entry(&mut link, write.now, span, &outcome.result)),
            Audit::Notes(notes) => entries.extend(notes.entries(&mut link)),
        }
    }
    entries
}

const APPEND: &str = "WITH s AS (UPDATE throughline.store SET audit = $1, audit_hash = $2 WHERE id = 1) \
    INSERT INTO throughline.audit (number, tenant, thread, hash, body) \
    SELECT * FROM unnest($3::bigint[], $4::text[], $5::text[], $6::bytea[], $7::text[])";

/// Appends entries to the log; the next one is chained to `last`.
async fn append(db: &mut PgConnection, entries: &[AuditEntry], last: &AuditEntry) -> sqlx::Result<()> {
    sqlx::query(APPEND)
        .bind(number(last.number.get()))
        .bind(last.hash.as_bytes().as_slice())
        .bind(entries.iter().map(|entry| number(entry.number.get())).collect::<Vec<_>>())
        .bind(entries.iter().map(|entry| entry.record.tenant.as_str()).collect::<Vec<_>>())
        .bind(entries.iter().map(|entry| entry.only_thread().map(ThreadId::as_str)).collect::<Vec<_>>())
        .bind(entries.iter().map(|entry| entry.hash.as_bytes().as_slice()).collect::<Vec<_>>())
        .bind(entries.iter().map(AuditEntry::body).collect::<Vec<_>>())
        .execute(db)
        .await
        .map(drop)
}
