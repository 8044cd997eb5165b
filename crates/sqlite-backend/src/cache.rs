//! The page cache of a connection.
//!
//! The bundled SQLite is built with `SQLITE_ENABLE_MEMORY_MANAGEMENT`. So all connections of a process share one pool
//! of pages, which is as large as the sum of their limits. A connection at its limit recycles the least recently used
//! page of the pool, no matter which connection it belongs to. The connection that lost the page allocates another one,
//! until the pool is full. From then on SQLite discards each page as soon as a connection below its limit unpins it,
//! even the root of an index, and reads it again for the next row. This state lasts, because idle connections above
//! their limit keep their pages. In a measurement a writer read nine pages for each row, at half its speed, after
//! readers had scanned the file.
//!
//! Whenever a connection sets its limit, SQLite frees the least recently used pages of the pool until the pool is below
//! its total again.

use std::time::{Duration, Instant};

use rusqlite::Connection;

/// The cache size of a connection, in KiB.
const LIMIT: u32 = 8000;

/// The reserve that a connection makes in a full pool, in KiB: 240 pages. A transaction of 64 tasks writes 38.
const RESERVE: u32 = 1000;

/// The interval between two reserves: making one takes a few microseconds.
const INTERVAL: Duration = Duration::from_millis(10);

/// Sets the cache size of a connection.
pub(crate) fn limit(connection: &Connection) -> rusqlite::Result<()> {
    set(connection, LIMIT)
}

fn set(connection: &Connection, limit: u32) -> rusqlite::Result<()> {
    connection.pragma_update(None, "cache_size", -i64::from(limit))
}

/// The last time that an active connection made its page-cache reserve.
#[derive(Debug, Default)]
pub(crate) struct PageCacheReserve(Option<Instant>);

impl PageCacheReserve {
    /// Makes space in the pool for the pages of this connection. Called before each of its transactions.
    pub(crate) fn make(&mut self, connection: &Connection) -> rusqlite::Result<()> {
        if self.0.is_some_and(|made| made.elapsed() < INTERVAL) {
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

    /// Creates a file of twice as many pages as two connections cache, with a marker word on a page of its own.
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
    fn a_connection_keeps_its_pages_after_idle_connections_have_filled_the_pool() {
        let folder = tempfile::tempdir().unwrap();
        let path = file(folder.path());
        let (writer, reader) = (limited(&path), limited(&path));
        // Both have reached their limits, and the reader continues with the pages of the writer.
        read_rows(&writer, 4000);
        read_rows(&reader, 8000);
        PageCacheReserve::default().make(&writer).unwrap();
        assert_eq!(word(&writer), "before");
        // A reader that reads the page again sees bytes that no connection has written.
        let at = fs::read(&path).unwrap().windows(6).position(|bytes| bytes == b"before").unwrap();
        let mut file = fs::OpenOptions::new().write(true).open(&path).unwrap();
        file.seek(SeekFrom::Start(at.try_into().unwrap())).unwrap();
        file.write_all(b"behind").unwrap();
        assert_eq!(word(&writer), "before", "the page was discarded");
        assert_eq!(word(&limited(&path)), "behind");
    }

    #[test]
    fn the_page_cache_reserve_is_renewed_after_an_interval_and_not_before() {
        let connection = Connection::open_in_memory().unwrap();
        let mut page_cache_reserve = PageCacheReserve::default();
        page_cache_reserve.make(&connection).unwrap();
        let made = page_cache_reserve.0.unwrap();
        page_cache_reserve.make(&connection).unwrap();
        assert!(page_cache_reserve.0 == Some(made) || made.elapsed() >= INTERVAL);
        page_cache_reserve.0 = made.checked_sub(INTERVAL);
        page_cache_reserve.make(&connection).unwrap();
        assert!(page_cache_reserve.0.unwrap() >= made);
        let limit: i64 = connection.pragma_query_value(None, "cache_size", |row| row.get(0)).unwrap();
        assert_eq!(limit, -i64::from(LIMIT));
    }
}
