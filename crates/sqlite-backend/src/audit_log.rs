//! Appends records to the audit log in the writer's transaction.

use std::cell::Cell;

use rusqlite::Connection;
use throughline_core::{
    PersistResult, Position, Timestamp,
    audit::{AuditEntry, AuditLink, PendingAuditEntry, RejectedCallRecords},
};

use crate::record::AuditRow;

/// The end of the audit log as this transaction knows it. `None` until the transaction reads it for the first time.
#[derive(Debug, Default)]
pub(crate) struct AuditLog(Cell<Option<AuditLink>>);

impl AuditLog {
    /// Records a write that was applied, with the positions before and after it.
    pub(crate) fn write(
        &self,
        db: &Connection,
        call: &PendingAuditEntry,
        now: Timestamp,
        (after, position): (i64, i64),
        result: &PersistResult,
    ) -> rusqlite::Result<()> {
        let span = (to_position(after), to_position(position));
        self.append(db, |link| [call.entry(link, now, span, result)])
    }

    /// Records calls that were not applied.
    pub(crate) fn record_rejected_calls(
        &self,
        db: &Connection,
        records: &RejectedCallRecords,
    ) -> rusqlite::Result<()> {
        self.append(db, |link| records.entries(link))
    }

    fn append<E: IntoIterator<Item = AuditEntry>>(
        &self,
        db: &Connection,
        make: impl FnOnce(&mut AuditLink) -> E,
    ) -> rusqlite::Result<()> {
        let mut link = match self.0.take() {
            Some(link) => link,
            None => end(db)?,
        };
        for entry in make(&mut link) {
            AuditRow::insert(db, &entry)?;
        }
        self.0.set(Some(link));
        Ok(())
    }
}

fn to_position(position: i64) -> Position {
    Position::new(u64::try_from(position).unwrap_or_default())
}

/// Returns the link for the next record: the number and the hash of the last record that was written, even if that
/// record is missing now. A hash that cannot be read does not stop a write: the next record then links to nothing, and
/// the verification of the audit log reports that.
fn end(db: &Connection) -> rusqlite::Result<AuditLink> {
    db.prepare_cached("SELECT audit, audit_hash FROM store")?.query_row([], |row| Ok(AuditRow::link(row)))
}
