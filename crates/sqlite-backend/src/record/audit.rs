use rusqlite::{Connection, Row, params};
use throughline_core::{
    ThreadId,
    audit::{AuditDigest, AuditEntry, AuditLink, AuditNumber, SealedAuditEntry},
};

use super::{Checksum, Columns, number};

/// An audit record, as a row of `audit` holds it.
#[derive(Debug)]
pub(crate) struct AuditRow;

/// The columns of a record, as `l`, in the order in which [`AuditRow::read`] expects them.
macro_rules! audit_columns {
    () => {
        "l.number, l.tenant, l.thread, l.checksum, l.hash, l.body"
    };
}
pub(crate) use audit_columns;

/// One record with one statement: a statement with more of them copies its rows into a temporary table, for the trigger.
/// `OR FAIL`, because SQLite saves the pages of a statement that an error would undo. An error ends the transaction.
const INSERT: &str = "INSERT OR FAIL INTO audit (number, tenant, thread, checksum, hash, body) \
    VALUES (?1, ?2, ?3, ?4, ?5, ?6)";

const COUNT: &str = "UPDATE store SET audit = ?1, audit_hash = ?2";

/// Inserts the records in their order, and counts them.
pub(crate) fn insert_audit(db: &Connection, entries: &[SealedAuditEntry]) -> rusqlite::Result<()> {
    let Some(last) = entries.last() else { return Ok(()) };
    let mut insert = db.prepare_cached(INSERT)?;
    for SealedAuditEntry { number: at, tenant, thread, hash, body } in entries {
        let (at, tenant) = (number(at.get()), tenant.as_str());
        let (thread, hash) = (thread.as_ref().map(ThreadId::as_str), hash.as_bytes().as_slice());
        let checksum = checksum(at, tenant, thread, hash, body.as_bytes());
        insert.execute(params![at, tenant, thread, checksum, hash, body])?;
    }
    db.prepare_cached(COUNT)?.execute(params![number(last.number.get()), last.hash.as_bytes().as_slice()])?;
    Ok(())
}

impl AuditRow {
    pub(crate) fn insert(db: &Connection, entry: &AuditEntry) -> rusqlite::Result<()> {
        insert_audit(db, &[entry.into()])
    }

    /// Returns the number of the last record: the one that the store has counted, or a later one of another program.
    pub(crate) fn last(db: &Connection) -> rusqlite::Result<AuditNumber> {
        let last: i64 = db
            .prepare_cached("SELECT max(audit, coalesce((SELECT max(number) FROM audit), 0)) FROM store")?
            .query_row([], |row| row.get(0))?;
        Ok(AuditNumber::new(u64::try_from(last).unwrap_or_default()))
    }

    /// Reads the columns of [`audit_columns!`] from `at` on: the stored record, whether or not its hash matches. `None`
    /// if it cannot be decoded, or if its index columns differ from its record.
    pub(crate) fn read(row: &Row<'_>, at: usize) -> Option<AuditEntry> {
        let entry = Self::read_as_stored(row, at)?;
        let tenant = str::from_utf8(row.text(at + 1)?).ok()?;
        entry.is_found_by(tenant, row.optional_str(at + 2)?).then_some(entry)
    }

    /// Reads the same record, but ignores the index columns.
    pub(crate) fn read_as_stored(row: &Row<'_>, at: usize) -> Option<AuditEntry> {
        AuditEntry::from_kept(row.text(at + 5)?, hash(row, at + 4)?)
    }

    /// Returns whether the record is decodable, and its checksum and index columns match.
    pub(crate) fn is_whole(row: &Row<'_>, at: usize) -> bool {
        let whole = || {
            let number = row.integer(at)?;
            let tenant = str::from_utf8(row.text(at + 1)?).ok()?;
            let sum =
                checksum(number, tenant, row.optional_str(at + 2)?, row.text(at + 4)?, row.text(at + 5)?);
            let entry = Self::read(row, at)?;
            let fits = number == super::number(entry.number.get())
                && tenant == entry.record.tenant.as_str()
                && sum == row.integer(at + 3)?;
            Some(fits)
        };
        whole().unwrap_or(false)
    }

    /// Returns the number and the hash of the last record: that which the store has counted, even if it is missing now. Another
    /// program may have added later ones. A hash that cannot be read does not stop a write: the next record then links to
    /// nothing, and the verification of the audit log reports that.
    pub(crate) fn end(db: &Connection) -> rusqlite::Result<AuditLink> {
        let mut ends = db.prepare_cached(
            "SELECT audit, audit_hash FROM store \
             UNION ALL SELECT * FROM (SELECT number, hash FROM audit ORDER BY number DESC LIMIT 1)",
        )?;
        let mut rows = ends.query([])?;
        let mut end = (0, AuditDigest::ZERO);
        while let Some(row) = rows.next()? {
            let counted = row.integer(0).and_then(|number| u64::try_from(number).ok()).unwrap_or_default();
            if counted > end.0 {
                end = (counted, hash(row, 1).unwrap_or_default());
            }
        }
        Ok(AuditLink::after(AuditNumber::new(end.0), end.1))
    }
}

fn hash(row: &Row<'_>, at: usize) -> Option<AuditDigest> {
    Some(AuditDigest::from_bytes(row.text(at)?.try_into().ok()?))
}

fn checksum(number: i64, tenant: &str, thread: Option<&str>, hash: &[u8], body: &[u8]) -> i64 {
    Checksum::new().integer(number).text(tenant).optional_text(thread).bytes(hash).bytes(body).finish()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::open::create_tables;

    /// A copy of the store skips the records that it has, as the next record of the writer follows the last one.
    #[test]
    fn a_record_that_another_program_has_added_is_the_last_one() {
        let db = Connection::open_in_memory().unwrap();
        create_tables(&db).unwrap();
        let last = || (AuditRow::last(&db).unwrap().get(), AuditRow::end(&db).unwrap().number().get());
        assert_eq!(last(), (0, 1));
        let foreign =
            "INSERT INTO audit (number, tenant, checksum, hash, body) VALUES (?1, 't', 0, zeroblob(32), '')";
        db.execute(foreign, [1]).unwrap();
        assert_eq!(last(), (1, 2));
        let counted: i64 = db.query_row("SELECT audit FROM store", [], |row| row.get(0)).unwrap();
        assert_eq!(counted, 0);
        // The last record that the store has counted is missing.
        db.execute("UPDATE store SET audit = 5", []).unwrap();
        assert_eq!(last(), (5, 6));
    }
}
