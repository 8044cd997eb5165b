//! A disk that hangs: it answers no call, and no call fails.

use std::time::Duration;

use throughline_core::{Effect, ErrorKind, NewMessage, Persistence, messages::PageFrom};
use throughline_reliability::vfs::{self, Call, FileKind};
use throughline_sqlite::{Alarm, SqliteBackend, WriterStep};
use tokio::time::timeout;

/// A timeout far above the duration of any step.
const FAR: Duration = Duration::from_secs(60);

/// Serializes the tests, because they share the VFS of the process.
static ONE_AT_A_TIME: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn health_names_the_step_while_a_sync_or_a_write_hangs() {
    let _alone = ONE_AT_A_TIME.lock().await;
    let faults = vfs::install();
    for call in [Call::Sync, Call::Write] {
        let directory = tempfile::tempdir().unwrap();
        let backend = SqliteBackend::open(directory.path().join("chat.db")).await.unwrap();
        let maintenance = backend.maintenance();
        let db = Persistence::builder().backend(backend).build().unwrap();
        let kept = db.thread("t").add(NewMessage::user("before")).await.unwrap();
        let seen = maintenance.health();
        assert!(seen.is_good() && seen.writer_waits.is_none());

        faults.hang(call, FileKind::Wal);
        let hurried = db.with_deadline(Duration::from_millis(200));
        let error = hurried.thread("t").add(NewMessage::user("hangs")).await.unwrap_err();
        assert_eq!((error.kind(), error.effect()), (ErrorKind::Timeout, Effect::Unknown), "{error}");
        let health = timeout(FAR, maintenance.health_other_than(&seen)).await.expect("the health changes");
        assert_eq!(health.alarms, [Alarm::WriterWaits], "{call:?}");
        let waits = health.writer_waits.unwrap();
        assert_eq!(waits.step, WriterStep::Commit, "{call:?}");
        assert!(maintenance.health().writer_waits.unwrap().waited > waits.waited, "it goes on");
        // Reads do not wait for the writer.
        assert_eq!(db.thread("t").page(PageFrom::End, 9).await.unwrap().messages[0].id, kept.message.id);

        faults.release();
        let health = timeout(FAR, maintenance.health_other_than(&health)).await.expect("that it is over");
        assert!(health.is_good() && health.writer_waits.is_none(), "{health:?}");
        db.thread("t").add(NewMessage::user("after")).await.unwrap();
        db.close().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn close_within_reports_pending_work_while_the_disk_hangs() {
    let _alone = ONE_AT_A_TIME.lock().await;
    let faults = vfs::install();
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("chat.db");
    let backend = SqliteBackend::open(&path).await.unwrap();
    let maintenance = backend.maintenance();
    let db = Persistence::builder().backend(backend).build().unwrap();
    db.thread("t").add(NewMessage::user("before")).await.unwrap();
    let seen = maintenance.health();
    faults.hang(Call::Sync, FileKind::Wal);
    let hanging = tokio::spawn({
        let db = db.clone();
        async move { db.thread("t").add(NewMessage::user("hangs")).await }
    });
    timeout(FAR, maintenance.health_other_than(&seen)).await.expect("the health changes");

    let closing = timeout(FAR, db.close_within(Duration::from_millis(100))).await.expect("by its deadline");
    let error = closing.unwrap_err();
    assert_eq!((error.kind(), error.effect()), (ErrorKind::Timeout, Effect::Unknown));
    let detail = error.detail();
    assert!(detail.starts_with("the store was not closed within 100ms: 1 call is in flight, and the writer has waited in a commit for "), "{detail}");
    assert!(!hanging.is_finished());

    faults.release();
    timeout(FAR, db.close()).await.expect("closing goes on").unwrap();
    hanging.await.unwrap().unwrap();
    let db = Persistence::builder().backend(SqliteBackend::open(&path).await.unwrap()).build().unwrap();
    assert_eq!(db.thread("t").page(PageFrom::End, 9).await.unwrap().messages.len(), 2);
    timeout(FAR, db.close_within(FAR)).await.unwrap().unwrap();
}
