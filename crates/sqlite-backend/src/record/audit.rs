use std::sync::LazyLock;

use rusqlite::{CachedStatement, Connection, Row, ToSql};
use throughline_core::{
    ThreadId,
    audit::{AuditDigest, AuditEntry, AuditLink, AuditNumber, SealedAuditEntry},
};

use super::{Checksum, Columns};

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

/// The number of records of one statement. Each statement saves the pages that it changes once, because a trigger can
/// abort it.
const ROWS: usize = 16;
const COLUMNS: usize = 6;

static INSERT_ROWS: LazyLock<String> = LazyLock::new(|| insert(ROWS));
static INSERT_ROW: LazyLock<String> = LazyLock::new(|| insert(1));

fn insert(rows: usize) -> String {
    let values = vec!["(?, ?, ?, ?, ?, ?)"; rows].join(", ");
    format!("INSERT INTO audit (number, tenant, thread, checksum, hash, body) VALUES {values}")
}

/// Inserts the records in their order.
pub(crate) fn insert_audit(db: &Connection, entries: &[SealedAuditEntry]) -> rusqlite::Result<()> {
    let (full, rest) = entries.as_chunks::<ROWS>();
    if !full.is_empty() {
        let mut statement = db.prepare_cached(&INSERT_ROWS)?;
        full.iter().try_for_each(|entries| execute(&mut statement, entries))?;
    }
    if !rest.is_empty() {
        let mut statement = db.prepare_cached(&INSERT_ROW)?;
        rest.chunks(1).try_for_each(|entries| execute(&mut statement, entries))?;
    }
    Ok(())
}

fn execute(statement: &mut CachedStatement<'_>, entries: &[SealedAuditEntry]) -> rusqlite::Result<()> {
    for (entry, first) in entries.iter().zip((1_usize..).step_by(COLUMNS)) {
        let SealedAuditEntry { number, tenant, thread, hash, body } = entry;
        let (number, tenant) = (super::number(number.get()), tenant.as_str());
        let thread = thread.as_ref().map(ThreadId::as_str);
        let (hash, body) = (hash.as_bytes().as_slice(), body.as_str());
        let checksum = checksum(number, tenant, thread, hash, body.as_bytes());
        let values: [&dyn ToSql; COLUMNS] = [&number, &tenant, &thread, &checksum, &hash, &body];
        for (value, at) in values.into_iter().zip(first..) {
            statement.raw_bind_parameter(at, value)?;
        }
    }
    statement.raw_execute()?;
    Ok(())
}

impl AuditRow {
    pub(crate) fn insert(db: &Connection, entry: &AuditEntry) -> rusqlite::Result<()> {
        insert_audit(db, &[entry.into()])
    }

    /// Returns the number of the last record.
    pub(crate) fn last(db: &Connection) -> rusqlite::Result<AuditNumber> {
        let last: i64 = db.prepare_cached("SELECT audit FROM store")?.query_row([], |row| row.get(0))?;
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

    /// Returns the link for the next record, from a row of the store with `audit, audit_hash`.
    pub(crate) fn link(row: &Row<'_>) -> AuditLink {
        let number = row.integer(0).and_then(|number| u64::try_from(number).ok()).unwrap_or_default();
        AuditLink::after(AuditNumber::new(number), hash(row, 1).unwrap_or_default())
    }
}

fn hash(row: &Row<'_>, at: usize) -> Option<AuditDigest> {
    Some(AuditDigest::from_bytes(row.text(at)?.try_into().ok()?))
}

fn checksum(number: i64, tenant: &str, thread: Option<&str>, hash: &[u8], body: &[u8]) -> i64 {
    Checksum::new().integer(number).text(tenant).optional_text(thread).bytes(hash).bytes(body).finish()
}
