//! REL-32: a long read transaction delays no write, and raises an alarm.

use std::{
    future::IntoFuture as _,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::SeqCst},
    },
    time::{Duration, Instant},
};

use rusqlite::Connection;
use throughline_core::{Content, NewMessage, Persistence, Role};
use throughline_reliability::{Report, health_when, scaled};
use throughline_sqlite::{Alarm, Failpoint, Health, Maintenance, SqliteBackend};
use tokio::time::timeout;

/// The default limit of the WAL.
const LIMIT: u64 = 64 << 20;

/// The length of a message. The messages that are written during the read have 1.5 times the bytes of the WAL limit.
const MESSAGE: usize = 256 << 10;
const MESSAGES: u64 = 3 * LIMIT / 2 / MESSAGE as u64;

/// A write takes milliseconds, or seconds on a busy machine. A write that waits for the reader would never end.
const BLOCKED: Duration = Duration::from_secs(10);

/// The longest time until an alarm is raised or ended.
const NOTICED: Duration = Duration::from_secs(60);

/// Waits until the WAL is too long, or until it is not too long any more.
async fn until_the_wal_is(too_long: bool, maintenance: &Maintenance) -> Health {
    health_when(maintenance, NOTICED, |health| health.alarms.contains(&Alarm::WalTooLong) == too_long).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rel_32_long_reader_delays_no_write_and_raises_an_alarm() {
    let mut report = Report::new("REL-32");
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("chat.db");
    let checkpoints = Arc::<AtomicU64>::default();
    let hook = {
        let checkpoints = Arc::clone(&checkpoints);
        move |point| {
            checkpoints.fetch_add(u64::from(point == Failpoint::Checkpointing), SeqCst);
            Ok(())
        }
    };
    let backend = SqliteBackend::builder().failpoints(hook).open(&path).await.unwrap();
    let maintenance = backend.maintenance();
    let db = Persistence::builder().backend(backend).build().unwrap();
    let thread = db.thread("t");
    thread.add(NewMessage::user("before")).await.unwrap();

    let reader = Connection::open(&path).unwrap();
    let count =
        || -> i64 { reader.query_row("SELECT count(*) FROM messages", [], |row| row.get(0)).unwrap() };
    reader.execute_batch("BEGIN").unwrap();
    assert_eq!(count(), 1);

    let mut worst = Duration::ZERO;
    let messages = scaled(MESSAGES);
    for _ in 0..messages {
        let content = Content::from_json(format!(r#"["{}"]"#, "x".repeat(MESSAGE))).unwrap();
        let begun = Instant::now();
        let add = thread.add(NewMessage::new(Role::User, content));
        timeout(BLOCKED, add.into_future()).await.expect("a write waits for a reader").unwrap();
        worst = worst.max(begun.elapsed());
    }
    assert_eq!(count(), 1, "the reader sees its snapshot");
    let during = until_the_wal_is(true, &maintenance).await;
    assert!(during.wal_bytes > LIMIT, "{during:?}");

    let before = checkpoints.load(SeqCst);
    drop(reader);
    let after = until_the_wal_is(false, &maintenance).await;
    // One checkpoint that ran when the reader ended, one of the idle writer, and the one that truncates the WAL.
    let attempts = checkpoints.load(SeqCst) - before;
    assert!((1..=3).contains(&attempts) && after.wal_bytes < LIMIT, "{attempts}: {after:?}");
    assert!(after.is_good(), "{after:?}");

    assert_eq!(maintenance.verify().await.unwrap().messages, messages + 1);
    db.close().await.unwrap();
    report.count("written_mib", (messages * MESSAGE as u64) >> 20);
    report.count("worst_write_ms", worst.as_millis());
    report.count("wal_mib_while_read", during.wal_bytes >> 20);
    report.count("wal_bytes_afterwards", after.wal_bytes);
    report.count("checkpoints_afterwards", attempts);
    report.fired("the WAL was too long", u64::from(during.alarms.contains(&Alarm::WalTooLong)));
    report.finish();
}
