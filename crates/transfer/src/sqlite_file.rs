//! SQLite files of other programs, which are only read.

use std::{fs::File, io::Read as _, path::Path};

use rusqlite::{Connection, OpenFlags, types::ValueRef};
use throughline_core::Timestamp;

use crate::{FindingKind, TransferError, iso8601, walk};

/// Opens a file read-only. A pipe is refused: SQLite would wait for its other end.
pub(crate) fn open(path: &Path) -> Result<Connection, TransferError> {
    let path = walk::source(path)?;
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    Connection::open_with_flags(&path, flags).map_err(failed(&path))
}

/// The first bytes of a SQLite file.
pub(crate) const MAGIC: &[u8] = b"SQLite format 3\0";

/// Whether a file is a SQLite database.
pub(crate) fn is_one(path: &Path) -> Result<bool, TransferError> {
    let mut head = Vec::new();
    let read = File::open(path).and_then(|file| file.take(MAGIC.len() as u64).read_to_end(&mut head));
    read.map_err(TransferError::io(path, "read"))?;
    Ok(head == MAGIC)
}

/// Adds the path to an error of SQLite.
pub(crate) fn failed(path: &Path) -> impl Fn(rusqlite::Error) -> TransferError {
    move |source| TransferError::Database { path: path.to_owned(), source }
}

/// Returns the names of the columns of a table; none if there is no such table. A view is no table, because it could compute
/// its rows without an end.
pub(crate) fn columns(db: &Connection, table: &str) -> rusqlite::Result<Vec<String>> {
    let sql = "SELECT c.name FROM pragma_table_info(?1) c JOIN pragma_table_list t \
               ON t.schema = 'main' AND t.type = 'table' AND t.name = ?1 COLLATE NOCASE ORDER BY c.cid";
    db.prepare(sql)?.query_map([table], |row| row.get(0))?.collect()
}

/// Checks that a table exists and has these columns. Returns the names of all its columns.
pub(crate) fn check(
    path: &Path,
    db: &Connection,
    table: &str,
    required: &[&str],
) -> Result<Vec<String>, TransferError> {
    let names = columns(db, table).map_err(failed(path))?;
    let (path, table) = (path.to_owned(), table.to_owned());
    if names.is_empty() {
        return Err(TransferError::NoTable { path, table });
    }
    let missing = required.iter().filter(|column| !has(&names, column));
    let missing: Vec<String> = missing.map(ToString::to_string).collect();
    if missing.is_empty() { Ok(names) } else { Err(TransferError::NoColumns { path, table, missing }) }
}

/// Whether a list of columns has one of this name, as SQLite compares names.
pub(crate) fn has(columns: &[String], name: &str) -> bool {
    columns.iter().any(|column| column.eq_ignore_ascii_case(name))
}

/// Returns the tables that have all of these columns, by their names.
pub(crate) fn tables_with(db: &Connection, required: &[&str]) -> rusqlite::Result<Vec<String>> {
    let sql = "SELECT name FROM pragma_table_list WHERE schema = 'main' AND type = 'table' ORDER BY name";
    let names: Vec<String> = db.prepare(sql)?.query_map([], |row| row.get(0))?.collect::<Result<_, _>>()?;
    let mut found = Vec::new();
    for name in names {
        let columns = columns(db, &name)?;
        if required.iter().all(|column| has(&columns, column)) {
            found.push(name);
        }
    }
    Ok(found)
}

/// Returns a name as SQL.
pub(crate) fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// Returns the text of a column, if it is one.
pub(crate) fn text<'a>(value: ValueRef<'a>, column: &'static str) -> Result<&'a str, FindingKind> {
    match value {
        ValueRef::Text(bytes) => str::from_utf8(bytes).map_err(|_| FindingKind::NotUtf8(column)),
        _ => Err(FindingKind::NoValue { column, expected: "text" }),
    }
}

/// Returns a time: ISO 8601, or seconds since 1970.
pub(crate) fn time(value: ValueRef<'_>) -> Option<Timestamp> {
    match value {
        ValueRef::Text(text) => iso8601::parse(str::from_utf8(text).ok()?),
        ValueRef::Integer(seconds) => seconds.checked_mul(1_000_000).map(Timestamp::from_micros),
        _ => None,
    }
}
