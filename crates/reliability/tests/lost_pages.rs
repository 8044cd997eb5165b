//! REL-5, for the sync of a checkpoint that follows one which a reader had limited: the store writes all pages again.

use rusqlite::Connection;
use throughline_core::{NewMessage, Persistence};
use throughline_reliability::{
    Report,
    vfs::{self, Call, FileKind, Plan},
};
use throughline_sqlite::SqliteBackend;
use tokio::task::yield_now;

#[tokio::test]
async fn rel_5_pages_that_a_failed_sync_lost_are_written_again() {
    let mut report = Report::new("REL-5 lost pages");
    let faults = vfs::install();
    let store = tempfile::tempdir().unwrap();
    let path = store.path().join("chat.db");
    let db = Persistence::builder().backend(SqliteBackend::open(&path).await.unwrap()).build().unwrap();
    let add = async |text: &str| {
        // The store reopens its connection after a failure.
        while db.thread("t").add(NewMessage::user(text)).await.is_err() {
            yield_now().await;
        }
    };
    let reader = || {
        let reader = Connection::open(&path).unwrap();
        reader.execute_batch("BEGIN; SELECT * FROM threads").unwrap();
        reader
    };
    let first = reader();
    add(&"between the readers ".repeat(20_000)).await;
    let second = reader();
    add("after the readers").await;
    // From here on a checkpoint copies the first message, leaves the second one in the WAL, and does not sync the file.
    let before = faults.calls_on(Call::Write, FileKind::Main);
    drop(first);
    add("for a checkpoint").await;
    while faults.calls_on(Call::Write, FileKind::Main) == before {
        yield_now().await;
    }
    drop(second);

    faults.plan(Plan::new(Call::Sync).on(FileKind::Main));
    add("before the failure").await;
    while faults.fired() == 0 {
        yield_now().await;
    }
    let lost = faults.lost_pages();
    assert!(lost > 80, "{lost} pages were lost: the message above has more");
    add("after the failure").await;
    db.close().await.unwrap();

    assert_eq!(faults.lost_pages(), 0);
    report.count("pages", lost);
    report.fired("a sync of the file", faults.fired());
    report.finish();
}
