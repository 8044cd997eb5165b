//! The space that a store takes.

use std::{fs, path::Path};

use rusqlite::Connection;
use throughline_core::{Position, Result};

use super::{Source, Stop, failed};
use crate::{blob::BlobRef, writer::wal_path_of};

/// The space that a store takes, and the changes that it retains.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Storage {
    /// The number of the schema of the file.
    pub schema: i64,
    /// The length of the file, in bytes.
    pub file_bytes: u64,
    /// The length of the WAL, in bytes; 0 without a WAL.
    pub wal_bytes: u64,
    /// The bytes of the contents in files next to the store, each content once: see
    /// [`SqliteOptions::blobs_above`](crate::SqliteOptions::blobs_above).
    pub blob_bytes: u64,
    /// The bytes of free pages in the file: later writes use them, and
    /// [`Maintenance::compact`](crate::Maintenance::compact) gives them back.
    pub free_bytes: u64,
    /// The bytes of the file after its last page. The next checkpoint gives them back, unless a reader uses an older snapshot.
    pub held_bytes: u64,
    /// The size of a page, in bytes.
    pub page_bytes: u64,
    /// Whether the file records where each page is referred to, as [`Maintenance::compact`](crate::Maintenance::compact) needs
    /// it. A file of an earlier version does not.
    pub compacts_in_place: bool,
    /// The bytes that are free on the disk of the file; `None` if the system does not say.
    pub disk_available: Option<u64>,
    /// The position of the store.
    pub position: Position,
    /// The position of the oldest retained change; `None` without changes.
    pub oldest_change: Option<Position>,
}

/// The number of `auto_vacuum = INCREMENTAL`.
const INCREMENTAL: u64 = 2;

/// The space of a table, with its indexes.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct TableSize {
    /// The name of the table.
    pub table: String,
    /// The bytes of its pages, and of those of its indexes.
    pub bytes: u64,
}

pub(super) fn storage(source: &Source, stop: &Stop) -> Result<Storage> {
    let path = source.path();
    source.read(stop, |db| {
        db.execute_batch("BEGIN").map_err(failed)?;
        let pages = |pragma: &str| db.pragma_query_value(None, pragma, |row| row.get(0)).map(unsigned);
        let schema = "SELECT max(id) FROM migrations";
        let number = |sql: &str| db.query_row(sql, [], |row| row.get::<_, Option<i64>>(0));
        let position = |number: i64| Position::new(unsigned(number));
        let read = || -> rusqlite::Result<Storage> {
            let (page_bytes, file_bytes) = (pages("page_size")?, length_of(path));
            Ok(Storage {
                schema: db.query_row(schema, [], |row| row.get::<_, Option<i64>>(0))?.unwrap_or_default(),
                file_bytes,
                wal_bytes: length_of(&wal_path_of(path)),
                blob_bytes: number(BlobRef::TOTAL_BYTES)?.map(unsigned).unwrap_or_default(),
                free_bytes: pages("freelist_count")? * page_bytes,
                held_bytes: file_bytes.saturating_sub(pages("page_count")? * page_bytes),
                page_bytes,
                compacts_in_place: pages("auto_vacuum")? == INCREMENTAL,
                disk_available: path.parent().and_then(|folder| fs4::available_space(folder).ok()),
                position: position(number("SELECT position FROM store")?.unwrap_or_default()),
                oldest_change: number("SELECT min(position) FROM changes")?.map(position),
            })
        };
        read().map_err(failed)
    })
}

pub(super) fn tables(source: &Source, stop: &Stop) -> Result<Vec<TableSize>> {
    source.read(stop, |db| sizes(db).map_err(failed))
}

fn sizes(db: &Connection) -> rusqlite::Result<Vec<TableSize>> {
    let mut statement = db.prepare(
        "SELECT coalesce(s.tbl_name, d.name), sum(d.pgsize) FROM dbstat d \
         LEFT JOIN sqlite_schema s ON s.name = d.name WHERE d.aggregate = TRUE GROUP BY 1 ORDER BY 2 DESC, 1",
    )?;
    let sizes =
        statement.query_map([], |row| Ok(TableSize { table: row.get(0)?, bytes: unsigned(row.get(1)?) }))?;
    sizes.collect()
}

/// A count of SQLite, which is never negative.
fn unsigned(number: i64) -> u64 {
    u64::try_from(number).unwrap_or_default()
}

/// The length of a file; 0 if there is none.
fn length_of(path: &Path) -> u64 {
    fs::metadata(path).map_or(0, |found| found.len())
}
