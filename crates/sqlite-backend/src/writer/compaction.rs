//! Gives free pages back to the file system.
//!
//! SQLite moves the last pages of the file to free ones, and the file ends before them after the next checkpoint. Each
//! step is a transaction of its own, between those of the writes.

use std::time::{Duration, Instant};

use rusqlite::Connection;

use super::worker::Worker;

/// The duration of one step.
const SPAN: Duration = Duration::from_millis(5);

/// Takes a few pages off the end, between two looks at the time. SQLite returns a row for each.
const TAKE: &str = "PRAGMA incremental_vacuum(8)";

const FREE: &str = "PRAGMA freelist_count";

/// Takes at most about this number of free pages off the end of the file, in the open transaction. Returns how many.
pub(super) fn take_pages(connection: &Connection, most: u32) -> rusqlite::Result<u32> {
    let begun = Instant::now();
    let free =
        || -> rusqlite::Result<u32> { connection.prepare_cached(FREE)?.query_row([], |row| row.get(0)) };
    let before = free()?;
    let mut left = before;
    while left > 0 && before - left < most && begun.elapsed() < SPAN {
        let mut statement = connection.prepare_cached(TAKE)?;
        let mut rows = statement.query([])?;
        while rows.next()?.is_some() {}
        let now = free()?;
        if now >= left {
            break;
        }
        left = now;
    }
    Ok(before - left)
}

impl Worker {
    /// Checkpoints the WAL into the file, which then ends at its last page, and truncates the WAL.
    pub(super) fn shrink_file(&mut self) {
        let Some(connection) = self.connection.take() else { return };
        match self.wal.shrink(&connection, &self.health_state, &self.failpoints) {
            Ok(_) => self.connection = Some(connection),
            Err(error) => {
                drop(connection);
                self.failed(&error.caused(&self.path));
            }
        }
    }
}
