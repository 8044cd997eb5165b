//! The pages of the file that a connection keeps.
//!
//! The SQLite that is bundled is built with `SQLITE_ENABLE_MEMORY_MANAGEMENT`, and so all connections of a process share one
//! pool of pages, as large as their limits together. A connection that has come to its limit takes the page of the pool that
//! was used least lately, whosever it is, and who has lost it allocates another one: the pool fills up to the brim. From
//! then on every page is thrown away as soon as a connection below its limit lets go of it, be it the root of an index, and
//! is read again for the next row; and that lasts, for those who have too many pages and do nothing keep them. A writer was
//! seen to read nine pages for each row, at half its speed, once readers had gone through the file.
//!
//! Whenever a limit is set, SQLite frees the pages of the pool that were used least lately until it has room again.

use std::time::{Duration, Instant};

use rusqlite::Connection;

/// How much a connection keeps at most, in KiB.
const LIMIT: u32 = 8000;

/// How much room is made in a full pool, in KiB: 240 pages. A transaction of 64 tasks writes 38.
const RESERVE: u32 = 1000;

/// How often: to make room takes a few microseconds.
const EVERY: Duration = Duration::from_millis(10);

/// Sets how much a connection keeps.
pub(crate) fn limit(connection: &Connection) -> rusqlite::Result<()> {
    set(connection, LIMIT)
}

fn set(connection: &Connection, limit: u32) -> rusqlite::Result<()> {
    connection.pragma_update(None, "cache_size", -i64::from(limit))
}

/// When a connection that is in use last saw to it that it can keep pages.
#[derive(Debug, Default)]
pub(crate) struct PageCacheReserve(Option<Instant>);

impl PageCacheReserve {
    /// Sees to it that there is room for the pages of this connection. Called before each of its transactions.
    pub(crate) fn make(&mut self, connection: &Connection) -> rusqlite::Result<()> {
        if self.0.is_some_and(|made| made.elapsed() < EVERY) {
            return Ok(());
        }
        set(connection, LIMIT - RESERVE)?;
        set(connection, LIMIT)?;
        self.0 = Some(Instant::now());
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::{
        fs,
        io::{Seek, SeekFrom, Write},
        path::{Path, PathBuf},
    };

    use super::*;

    /// A file of twice as many pages as two connections keep, and a word on a page of its own.
    fn file(folder: &Path) -> PathBuf {
        let path = folder.join("f.db");
        let connection = Connection::open(&path).unwrap();
        connection
            .execute_batch(
                "PRAGMA journal_mode = WAL;
                 CREATE TABLE words (word TEXT);
                 INSERT INTO words VALUES ('before');
                 CREATE TABLE rows (content BLOB);
                 WITH RECURSIVE n (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < 8000)
                 INSERT INTO rows SELECT zeroblob(3000) FROM n;
                 PRAGMA wal_checkpoint(TRUNCATE);",
            )
            .unwrap();
        path
    }

    fn limited(path: &Path) -> Connection {
        let connection = Connection::open(path).unwrap();
        limit(&connection).unwrap();
        connection
    }

    fn read_rows(connection: &Connection, most: u32) {
        let sum = "SELECT sum(length(content)) FROM (SELECT content FROM rows LIMIT ?1)";
        connection.query_row(sum, [most], |row| row.get::<_, i64>(0)).unwrap();
    }

    fn word(connection: &Connection) -> String {
        connection.query_row("SELECT word FROM words", [], |row| row.get(0)).unwrap()
    }

    #[test]
    fn a_connection_keeps_its_pages_although_others_have_filled_the_pool_and_rest() {
        let folder = tempfile::tempdir().unwrap();
        let path = file(folder.path());
        let (writer, reader) = (limited(&path), limited(&path));
        // Each has come to its limit, and the reader goes on with the pages of the writer.
        read_rows(&writer, 4000);
        read_rows(&reader, 8000);
        PageCacheReserve::default().make(&writer).unwrap();
        assert_eq!(word(&writer), "before");
        // Whoever reads the page again sees what no connection has written.
        let at = fs::read(&path).unwrap().windows(6).position(|bytes| bytes == b"before").unwrap();
        let mut file = fs::OpenOptions::new().write(true).open(&path).unwrap();
        file.seek(SeekFrom::Start(at.try_into().unwrap())).unwrap();
        file.write_all(b"behind").unwrap();
        assert_eq!(word(&writer), "before", "the page was thrown away");
        assert_eq!(word(&limited(&path)), "behind");
    }

    #[test]
    fn room_is_made_again_after_a_while_and_no_sooner() {
        let connection = Connection::open_in_memory().unwrap();
        let mut page_cache_reserve = PageCacheReserve::default();
        page_cache_reserve.make(&connection).unwrap();
        let made = page_cache_reserve.0.unwrap();
        page_cache_reserve.make(&connection).unwrap();
        assert!(page_cache_reserve.0 == Some(made) || made.elapsed() >= EVERY);
        page_cache_reserve.0 = made.checked_sub(EVERY);
        page_cache_reserve.make(&connection).unwrap();
        assert!(page_cache_reserve.0.unwrap() >= made);
        let limit: i64 = connection.pragma_query_value(None, "cache_size", |row| row.get(0)).unwrap();
        assert_eq!(limit, -i64::from(LIMIT));
    }
}
