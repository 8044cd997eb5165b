//! Reads the threads of a database.

use std::{io::Read as _, path::Path};

use rusqlite::{Row, types::ValueRef};
use throughline_core::ThreadId;

use super::{
    read::Threads,
    thread::{self, Columns},
};
use crate::{
    FindingKind, Location, Progress, TransferError,
    line_reader::object,
    sqlite_file::{self, quoted, text},
    zstd_stream,
};

/// The table of threads.
pub(super) const THREADS: &str = "threads";
/// Its required columns.
pub(super) const REQUIRED: [&str; 3] = ["id", "data_type", "data"];
/// Its other columns, which depend on the version. They are read in this order, behind the required ones.
const OTHERS: [&str; 6] =
    ["summary", "updated_at", "created_at", "parent_id", "folder_paths", "folder_paths_order"];

/// Checks the columns of a database.
pub(super) fn check(path: &Path) -> Result<(), TransferError> {
    let db = sqlite_file::open(path)?;
    sqlite_file::check(path, &db, THREADS, &REQUIRED).map(drop)
}

/// Reads every thread, one at a time; `None` if the receiver stopped.
pub(super) fn read(
    path: &Path,
    max: usize,
    threads: &mut Threads<'_>,
    progress: &Progress,
) -> Result<Option<()>, TransferError> {
    let failed = sqlite_file::failed(path);
    let db = sqlite_file::open(path)?;
    let snapshot = db.unchecked_transaction().map_err(&failed)?;
    let columns = sqlite_file::check(path, &snapshot, THREADS, &REQUIRED)?;
    let others = OTHERS.map(|column| match sqlite_file::has(&columns, column) {
        true => quoted(column),
        false => "NULL".to_owned(),
    });
    // SQLite does not load a long value for its length.
    let sql = format!(
        "SELECT rowid, octet_length(data), id, data_type, iif(octet_length(data) <= {max}, data, NULL), {} \
         FROM {THREADS} ORDER BY rowid",
        others.join(", ")
    );
    let mut statement = snapshot.prepare(&sql).map_err(&failed)?;
    let mut rows = statement.query([]).map_err(&failed)?;
    while let Some(row) = rows.next().map_err(&failed)? {
        let rowid: i64 = row.get(0).map_err(&failed)?;
        let location = Location::Row { table: THREADS.to_owned(), row: rowid.to_string() };
        let bytes: Option<i64> = row.get(1).map_err(&failed)?;
        progress.add_read(bytes.unwrap_or_default().cast_unsigned());
        let json = match bytes {
            Some(bytes) if usize::try_from(bytes).is_ok_and(|bytes| bytes > max) => {
                Err(FindingKind::TooLarge { max })
            }
            _ => data(row, max).map_err(&failed)?,
        };
        let taken = match (id(row).map_err(&failed)?, &json) {
            (Ok(id), Ok(json)) => match object(json) {
                Ok(found) => {
                    thread::take(id, &found, &columns_of(row).map_err(&failed)?, threads, &location)?
                }
                Err(found) => skip(threads, &location, found),
            },
            (Err(found), _) => skip(threads, &location, found),
            (_, Err(found)) => skip(threads, &location, found.clone()),
        };
        if taken.is_none() {
            return Ok(None);
        }
    }
    Ok(Some(()))
}

fn skip(threads: &mut Threads<'_>, location: &Location, found: FindingKind) -> Option<()> {
    threads.report.skip(location, found);
    Some(())
}

fn id(row: &Row<'_>) -> rusqlite::Result<Result<ThreadId, FindingKind>> {
    Ok(text(row.get_ref(2)?, "id").and_then(|id| ThreadId::new(id).map_err(FindingKind::InvalidId)))
}

/// Returns the JSON of a thread, or why it cannot be read.
fn data(row: &Row<'_>, max: usize) -> rusqlite::Result<Result<Vec<u8>, FindingKind>> {
    let (ValueRef::Text(bytes) | ValueRef::Blob(bytes)) = row.get_ref(4)? else {
        return Ok(Err(FindingKind::NoValue { column: "data", expected: "text or blob" }));
    };
    Ok(match text(row.get_ref(3)?, "data_type") {
        Ok("json") => Ok(bytes.to_vec()),
        Ok("zstd") => decompressed(bytes, max),
        Ok(_) => Err(FindingKind::NoValue { column: "data_type", expected: "`json` or `zstd`" }),
        Err(found) => Err(found),
    })
}

fn decompressed(bytes: &[u8], max: usize) -> Result<Vec<u8>, FindingKind> {
    let mut json = Vec::new();
    let limit = (max as u64).saturating_add(1);
    let read = zstd_stream::decoder(bytes).take(limit).read_to_end(&mut json);
    read.map_err(|error| FindingKind::Unreadable(error.to_string()))?;
    if json.len() > max { Err(FindingKind::TooLarge { max }) } else { Ok(json) }
}

fn columns_of(row: &Row<'_>) -> rusqlite::Result<Columns> {
    let text = |at: usize| row.get_ref(5 + at).map(|value| text(value, "").ok().map(str::to_owned));
    let time = |at: usize| row.get_ref(5 + at).map(sqlite_file::time);
    Ok(Columns {
        summary: text(0)?,
        updated_at: time(1)?,
        created_at: time(2)?,
        parent_id: text(3)?,
        folder_paths: text(4)?,
        folder_paths_order: text(5)?,
    })
}
