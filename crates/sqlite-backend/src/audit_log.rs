//! Appends records to the audit log in the writer's transaction.

use rusqlite::Connection;
use throughline_core::{
    PersistResult, Position, Timestamp,
    audit::{AuditLink, PendingAuditEntry, RejectedCallRecords, SealedAuditEntry},
};

use crate::record::{AuditRow, insert_audit};

/// The audit log in a transaction: its end, and the records that the next flush writes.
#[derive(Debug, Default)]
pub(crate) struct AuditLog {
    /// The end of the log. `None` until the transaction reads it for the first time.
    link: Option<AuditLink>,
    staged: Vec<SealedAuditEntry>,
}

impl AuditLog {
    /// Records a write that was applied, with the positions before and after it. The next flush writes the record.
    pub(crate) fn write(
        &mut self,
        db: &Connection,
        call: &PendingAuditEntry,
        now: Timestamp,
        (after, position): (i64, i64),
        result: &PersistResult,
    ) -> rusqlite::Result<()> {
        let span = (to_position(after), to_position(position));
        let entry = call.seal(self.link(db)?, now, span, result);
        self.staged.push(entry);
        Ok(())
    }

    /// Records calls that were not applied. The next flush writes the records.
    pub(crate) fn record_rejected_calls(
        &mut self,
        db: &Connection,
        records: &RejectedCallRecords,
    ) -> rusqlite::Result<()> {
        let entries = records.entries(self.link(db)?);
        self.staged.extend(entries.iter().map(Into::into));
        Ok(())
    }

    /// Writes the records since the last flush.
    pub(crate) fn flush(&mut self, db: &Connection) -> rusqlite::Result<()> {
        insert_audit(db, &self.staged)?;
        self.staged.clear();
        Ok(())
    }

    fn link(&mut self, db: &Connection) -> rusqlite::Result<&mut AuditLink> {
        match &mut self.link {
            Some(link) => Ok(link),
            none => Ok(none.insert(AuditRow::end(db)?)),
        }
    }
}

fn to_position(position: i64) -> Position {
    Position::new(u64::try_from(position).unwrap_or_default())
}
