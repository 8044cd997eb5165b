//! The log of who did what, at its end.

use std::cell::Cell;

use rusqlite::Connection;
use throughline_core::{
    PersistResult, Position, Timestamp,
    audit::{AuditEntry, AuditLink, PendingAuditEntry, RejectedCallRecords},
};

use crate::record::AuditRow;

/// Where the log stands in a transaction; nothing before it is asked.
#[derive(Debug, Default)]
pub(crate) struct AuditLog(Cell<Option<AuditLink>>);

impl AuditLog {
    /// Takes down a write that was applied, between two positions.
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

    /// Takes down what was not applied.
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

/// Where the next entry goes: behind the last one that was written, also where that is missing by now. A hash that cannot be read
/// stops no write: the next entry hangs on nothing, which the verification of the log reports.
fn end(db: &Connection) -> rusqlite::Result<AuditLink> {
    db.prepare_cached("SELECT audit, audit_hash FROM store")?.query_row([], |row| Ok(AuditRow::link(row)))
}
