//! The store syncs the WAL before it acknowledges a write. This checks the same guarantee as a loss of power, without one.

use throughline_core::{NewMessage, Persistence};
use throughline_reliability::{
    Report, scaled,
    vfs::{self, Call, FileKind},
};
use throughline_sqlite::SqliteBackend;

#[tokio::test]
async fn rel_3_wal_is_synced_before_each_acknowledgement() {
    let mut report = Report::new("REL-3 syncs");
    let faults = vfs::install();
    let store = tempfile::tempdir().unwrap();
    let backend = SqliteBackend::open(store.path().join("chat.db")).await.unwrap();
    let db = Persistence::builder().backend(backend).build().unwrap();
    let writes = scaled(100);
    for n in 0..writes {
        let before = faults.calls_on(Call::Sync, FileKind::Wal);
        db.thread("t").add(NewMessage::user("hello")).await.unwrap();
        assert!(faults.calls_on(Call::Sync, FileKind::Wal) > before, "write {n} was answered without a sync");
    }
    report.count("writes", writes);
    report.fired("sync of the log", faults.calls_on(Call::Sync, FileKind::Wal));
    db.close().await.unwrap();
    report.finish();
}
