//! Copies a view, which computes its rows and may never end, within limits.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use rusqlite::{
    Connection, ErrorCode,
    types::{ToSqlOutput, ValueRef},
};

use super::LegacySqlite;
use crate::sqlite_file::quoted;

/// The limits on the rows of a view.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bounds {
    pub(super) rows: u64,
    /// The bytes of all values.
    pub(super) bytes: u64,
    /// The number of SQLite instructions.
    pub(super) steps: u64,
}

/// The instructions take up to a minute.
pub(super) const BOUNDS: Bounds =
    Bounds { rows: LegacySqlite::MAX_VIEW_ROWS, bytes: LegacySqlite::MAX_VIEW_BYTES, steps: 1 << 32 };

/// The number of instructions between two checks.
const INTERVAL: u32 = 1 << 16;

/// The copy of the rows of a view.
pub(super) const COPY: &str = "temp.\"rows of a view\"";

/// Returns true for a view, or anything else that computes its rows.
pub(super) fn is_computed(db: &Connection, table: &str) -> rusqlite::Result<bool> {
    let sql =
        "SELECT type = 'table' FROM pragma_table_list WHERE schema = 'main' AND name = ?1 COLLATE NOCASE";
    let mut statement = db.prepare(sql)?;
    let mut rows = statement.query([table])?;
    Ok(match rows.next()? {
        Some(row) => !row.get::<_, bool>(0)?,
        None => false,
    })
}

/// Returns the name of a column of [`COPY`].
pub(super) fn column(at: usize) -> String {
    format!("c{at}")
}

/// Reads these columns of a view once, into [`COPY`], a temporary table that lasts as long as the transaction. Returns
/// the exceeded limit if the view does not end within the limits.
pub(super) fn copy(
    db: &Connection,
    table: &str,
    columns: &[String],
    bounds: Bounds,
) -> rusqlite::Result<std::result::Result<(), String>> {
    // A column without a type keeps each value unchanged.
    let names: Vec<String> = (0..columns.len()).map(column).collect();
    db.execute_batch(&format!("CREATE TABLE {COPY} ({})", names.join(", ")))?;
    let steps = AtomicU64::new(0);
    let is_over = move || steps.fetch_add(INTERVAL.into(), Relaxed) >= bounds.steps;
    db.progress_handler(INTERVAL.cast_signed(), Some(is_over))?;
    let copied = copy_rows(db, table, columns, bounds);
    db.progress_handler(0, None::<fn() -> bool>)?;
    Ok(match copied {
        Ok(copied) => copied,
        Err(error) if error.sqlite_error_code() == Some(ErrorCode::OperationInterrupted) => {
            Err(format!("takes more than {} instructions of SQLite", bounds.steps))
        }
        Err(error) => return Err(error),
    })
}

/// Copies row by row, so that it writes no more than the limits allow.
fn copy_rows(
    db: &Connection,
    table: &str,
    columns: &[String],
    bounds: Bounds,
) -> rusqlite::Result<std::result::Result<(), String>> {
    let values = vec!["?"; columns.len()].join(", ");
    let mut insert = db.prepare(&format!("INSERT INTO {COPY} VALUES ({values})"))?;
    let mut select = db.prepare(&format!("SELECT {} FROM {}", columns.join(", "), quoted(table)))?;
    let mut found = select.query([])?;
    let (mut rows, mut bytes) = (0, 0);
    while let Some(row) = found.next()? {
        rows += 1;
        if rows > bounds.rows {
            return Ok(Err(format!("has more than {} rows", bounds.rows)));
        }
        for at in 0..columns.len() {
            let value = row.get_ref(at)?;
            bytes += match value {
                ValueRef::Null => 0,
                ValueRef::Integer(_) | ValueRef::Real(_) => 8,
                ValueRef::Text(bytes) | ValueRef::Blob(bytes) => bytes.len() as u64,
            };
            insert.raw_bind_parameter(at + 1, ToSqlOutput::Borrowed(value))?;
        }
        if bytes > bounds.bytes {
            return Ok(Err(format!("has more than {} bytes", bounds.bytes)));
        }
        insert.raw_execute()?;
    }
    Ok(Ok(()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn copied(view: &str) -> std::result::Result<i64, String> {
        let db = Connection::open_in_memory().unwrap();
        db.execute_batch(&format!("CREATE VIEW v AS {view}")).unwrap();
        assert!(is_computed(&db, "v").unwrap());
        let columns = ["thread_id", "message_id", "created_at"].map(quoted);
        copy(&db, "v", &columns, Bounds { rows: 1000, bytes: 1 << 20, steps: 1 << 22 }).unwrap()?;
        Ok(db.query_row(&format!("SELECT count(*) FROM {COPY}"), [], |row| row.get(0)).unwrap())
    }

    const ENDLESS: &str = "WITH RECURSIVE n (i) AS (VALUES (1) UNION ALL SELECT i + 1 FROM n)";

    #[test]
    fn a_view_that_never_returns_a_row_is_interrupted() {
        let why = copied(&format!(
            "{ENDLESS} SELECT 't' AS thread_id, i AS message_id, 0 AS created_at FROM n WHERE i < 0"
        ));
        assert_eq!(why, Err("takes more than 4194304 instructions of SQLite".to_owned()));
        // The sort computes the whole view before the first row.
        let why = copied(&format!(
            "{ENDLESS} SELECT 't' AS thread_id, i AS message_id, 0 AS created_at FROM n ORDER BY i"
        ));
        assert!(why.is_err());
    }

    #[test]
    fn a_view_with_too_many_instructions_is_interrupted() {
        // No single row takes long.
        let why = copied(&format!(
            "{ENDLESS} SELECT 't' AS thread_id, i AS message_id, (SELECT count(*) FROM (SELECT i FROM n LIMIT 9999)) + i AS created_at \
             FROM n LIMIT 1000"
        ));
        assert_eq!(why, Err("takes more than 4194304 instructions of SQLite".to_owned()));
    }

    #[test]
    fn a_view_with_too_many_rows_or_bytes_is_refused() {
        let why =
            copied(&format!("{ENDLESS} SELECT 't' AS thread_id, i AS message_id, 0 AS created_at FROM n"));
        assert_eq!(why, Err("has more than 1000 rows".to_owned()));
        // Few rows, none of which is too large.
        let why = copied(&format!(
            "{ENDLESS} SELECT 't' AS thread_id, i AS message_id, zeroblob(99999) AS created_at FROM n LIMIT 11"
        ));
        assert_eq!(why, Err("has more than 1048576 bytes".to_owned()));
        assert_eq!(
            copied(&format!(
                "{ENDLESS} SELECT 't' AS thread_id, i AS message_id, zeroblob(99999) AS created_at FROM n LIMIT 10"
            )),
            Ok(10)
        );
    }

    #[test]
    fn a_view_that_ends_is_copied() {
        assert_eq!(copied("SELECT 't' AS thread_id, 'm' AS message_id, 0 AS created_at"), Ok(1));
    }

    #[test]
    fn a_table_is_not_computed() {
        let db = Connection::open_in_memory().unwrap();
        db.execute_batch("CREATE TABLE t (a)").unwrap();
        assert!(!is_computed(&db, "T").unwrap());
    }
}
