//! The page cache of the writer and the readers. All connections of a process share it, so this test is a process of
//! its own.
#![cfg(target_os = "linux")]

use std::{fs, path::Path};

use rusqlite::Connection;
use throughline_core::{
    Content, NewMessage, Persistence, Role, Seq, Timestamp,
    messages::{Import, ImportRow, PageFrom},
};
use throughline_sqlite::SqliteBackend;

/// More pages than the writer, one reader and two connections of the host cache together, one for each message.
const MESSAGES: usize = 9000;
const BYTES: usize = 3000;

/// The number of reads in each transaction: two of the wal-index, two of the WAL, and one of the watch on the index.
const READS_PER_WRITE: u64 = 5;

/// Returns a store that has written and read more pages than it caches, and is idle now, while the host has scanned its
/// file: all pages of the pool are the host's.
async fn crowded(path: &Path) -> (Persistence, [Host; 2]) {
    let backend = SqliteBackend::builder().readers(1).open(path).await.unwrap();
    let db = Persistence::builder().backend(backend).build().unwrap();
    db.thread("small").add(NewMessage::user("first")).await.unwrap();
    let content = Content::text(&"x".repeat(BYTES));
    let row = |n| {
        let id = format!("m{n}").parse().unwrap();
        ImportRow::new(id, Role::User, content.clone(), Timestamp::from_micros(0))
    };
    let rows: Vec<ImportRow> = (0..MESSAGES).map(row).collect();
    for rows in rows.chunks(Import::MAX_ROWS) {
        db.run(Import::new("long".parse().unwrap(), rows.to_vec())).await.unwrap();
    }
    for from in (0..MESSAGES as u64).step_by(200) {
        let page = db.thread("long").page(PageFrom::After(Seq::new(from)), 200).await.unwrap();
        assert_eq!(page.messages.len(), 200);
    }
    let hosts = [Host::open(path), Host::open(path)];
    for host in [0, 1, 0] {
        // The second takes the pages of the first, which then allocates the rest of the pool.
        hosts[host].go_through();
    }
    (db, hosts)
}

/// Another user of the file in this process.
struct Host(Connection);

impl Host {
    fn open(path: &Path) -> Self {
        let connection = Connection::open(path).unwrap();
        connection.pragma_update(None, "cache_size", -8000).unwrap();
        Self(connection)
    }

    fn go_through(&self) {
        let sum = "SELECT sum(length(content)) FROM messages";
        let bytes: i64 = self.0.query_row(sum, [], |row| row.get(0)).unwrap();
        assert!(bytes > (MESSAGES * BYTES) as i64);
    }
}

/// Returns how often this process has read from files so far.
fn reads() -> u64 {
    let counts = fs::read_to_string("/proc/self/io").unwrap();
    let (_, after) = counts.split_once("syscr: ").unwrap();
    after.lines().next().unwrap().parse().unwrap()
}

/// In sequence, because the counter is that of the process.
#[tokio::test]
async fn repeatedly_used_pages_are_not_read_again() {
    pages_that_are_written().await;
    pages_that_are_read().await;
}

async fn pages_that_are_written() {
    let directory = tempfile::tempdir().unwrap();
    let (db, _hosts) = crowded(&directory.path().join("f.db")).await;
    let before = reads();
    for _ in 0..300 {
        db.thread("small").add(NewMessage::user("x")).await.unwrap();
    }
    let count = reads() - before - 300 * READS_PER_WRITE;
    assert!(count < 600, "300 writes read {count} times");
    db.close().await.unwrap();
}

async fn pages_that_are_read() {
    let directory = tempfile::tempdir().unwrap();
    let (db, _hosts) = crowded(&directory.path().join("f.db")).await;
    let before = reads();
    for _ in 0..300 {
        assert_eq!(db.thread("small").page(PageFrom::End, 10).await.unwrap().messages.len(), 1);
    }
    let count = reads() - before;
    assert!(count < 600, "300 pages read {count} times");
    db.close().await.unwrap();
}
