//! What is named in place of a table may be a view, which computes its rows and need not end.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering::Relaxed},
};

use rusqlite::{Connection, ErrorCode};

use super::{LegacySqlite, columns::quoted};

/// So many instructions of SQLite may go by until the next row of a view, in an answer of one: several seconds of work.
const STEPS_OF_A_ROW: u64 = 1 << 30;

/// How often the count is looked at, in instructions.
const INTERVAL: u32 = 1 << 16;

/// A bound on what the statements of a connection compute.
pub(super) struct Steps(Arc<AtomicU64>);

impl Steps {
    /// Interrupts a statement of this connection that goes through more than so many instructions.
    pub(super) fn bound(db: &Connection, max: u64) -> rusqlite::Result<Self> {
        let steps = Arc::new(AtomicU64::new(0));
        let counted = Arc::clone(&steps);
        let is_over = move || counted.fetch_add(INTERVAL.into(), Relaxed) >= max;
        db.progress_handler(INTERVAL.cast_signed(), Some(is_over))?;
        Ok(Self(steps))
    }

    /// Begins to count again; says how many there were.
    pub(super) fn begin(&self) -> u64 {
        self.0.swap(0, Relaxed)
    }
}

/// Whether this is a view, or anything else that computes its rows.
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

/// Goes through a view once, to find out that it ends. Says what is wrong where it does not within the bounds, and otherwise how
/// many instructions it took.
pub(super) fn measure(
    db: &Connection,
    table: &str,
    max_steps: u64,
) -> rusqlite::Result<std::result::Result<u64, String>> {
    let steps = Steps::bound(db, max_steps)?;
    let max = LegacySqlite::MAX_VIEW_ROWS;
    let count = || -> rusqlite::Result<(u64, u64)> {
        let mut statement =
            db.prepare(&format!("SELECT thread_id, message_id, created_at FROM {}", quoted(table)))?;
        let mut rows = statement.query([])?;
        let (mut found, mut taken) = (0, 0);
        while found <= max && rows.next()?.is_some() {
            found += 1;
            taken += steps.begin();
        }
        Ok((found, taken + steps.begin()))
    };
    let counted = count();
    db.progress_handler(0, None::<fn() -> bool>)?;
    Ok(match counted {
        Ok((found, _)) if found > max => Err(format!("has more than {max} rows")),
        Ok((_, taken)) => Ok(taken),
        Err(error) if error.sqlite_error_code() == Some(ErrorCode::OperationInterrupted) => {
            Err(format!("comes to no row in {max_steps} instructions of SQLite"))
        }
        Err(error) => return Err(error),
    })
}

/// The bound of a view whose row is not waited for longer.
pub(super) const fn steps_of_a_row() -> u64 {
    STEPS_OF_A_ROW
}

#[cfg(test)]
mod tests {
    use super::*;

    fn measured(view: &str) -> std::result::Result<(), String> {
        let db = Connection::open_in_memory().unwrap();
        db.execute_batch(&format!("CREATE VIEW v AS {view}")).unwrap();
        assert!(is_computed(&db, "v").unwrap());
        measure(&db, "v", 1 << 22).unwrap().map(drop)
    }

    const ENDLESS: &str = "WITH RECURSIVE n (i) AS (VALUES (1) UNION ALL SELECT i + 1 FROM n)";

    #[test]
    fn a_view_that_never_comes_to_a_row_is_interrupted() {
        let why = measured(&format!(
            "{ENDLESS} SELECT 't' AS thread_id, i AS message_id, 0 AS created_at FROM n WHERE i < 0"
        ));
        assert_eq!(why, Err("comes to no row in 4194304 instructions of SQLite".to_owned()));
        // Sorted, it would be computed to its end before the first row.
        let why = measured(&format!(
            "{ENDLESS} SELECT 't' AS thread_id, i AS message_id, 0 AS created_at FROM n ORDER BY i"
        ));
        assert!(why.is_err());
    }

    #[test]
    fn a_view_that_ends_is_measured() {
        assert_eq!(measured("SELECT 't' AS thread_id, 'm' AS message_id, 0 AS created_at"), Ok(()));
    }

    #[test]
    fn a_table_is_not_computed() {
        let db = Connection::open_in_memory().unwrap();
        db.execute_batch("CREATE TABLE t (a)").unwrap();
        assert!(!is_computed(&db, "T").unwrap());
    }
}
