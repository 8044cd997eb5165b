//! An audit log that was edited by a role with write access to its table, but without its key.

use std::time::Duration;

use throughline_core::{
    NewMessage, Persistence,
    audit::{AuditFrom, AuditNumber, ReadAudit},
    changes::ChangeScope,
    messages::{Add, Batch},
    replication::{BeginCapture, ImagePart, ReadImages},
};
use throughline_layers::audit::{AuditKey, AuditLayer, Flaw, verify};
use throughline_postgres::PostgresBackend;
use tokio::time::timeout;

use crate::support::Database;

fn key() -> AuditKey {
    AuditKey::new(&[7; 32])
}

/// Creates a store with three audit records and applies an SQL edit to them.
async fn edited(edit: &str) -> Option<Persistence> {
    let database = Database::fresh("").await?;
    let backend = PostgresBackend::builder().open(&database.url).await.unwrap();
    let db = Persistence::builder().layer(AuditLayer::new(key())).backend(backend).build().unwrap();
    for name in ["a", "b", "c"] {
        db.thread("t").add(NewMessage::user("x").with_id(name.parse().unwrap())).await.unwrap();
    }
    let trigger = "TABLE throughline.audit DISABLE TRIGGER audit_stays";
    database.run(&format!("ALTER {trigger}; {edit}; ALTER {}", trigger.replace("DISABLE", "ENABLE"))).await;
    Some(db)
}

/// Verifies the audit log without an anchor, and returns the first flaw.
async fn found(edit: &str) -> Option<(Option<Flaw>, u64)> {
    let db = edited(edit).await?;
    let report = verify(&db, &key(), &[]).await.unwrap();
    let without_entry = report.comparison.map_or(0, |comparison| comparison.without_entry);
    db.close().await.unwrap();
    Some((report.flaw, without_entry))
}

#[tokio::test]
async fn record_hidden_by_a_changed_tenant_or_thread_is_found() {
    for column in ["tenant = 'other'", "thread = 'other'", "thread = NULL"] {
        let edit = format!("UPDATE throughline.audit SET {column} WHERE number = 2");
        let Some(found) = found(&edit).await else { return };
        assert_eq!(found, (Some(Flaw::Edited { number: AuditNumber::new(2) }), 0), "{column}");
    }
}

#[tokio::test]
async fn an_entry_whose_tenant_or_thread_column_was_edited_has_an_image() {
    for column in ["tenant = 'other'", "thread = 'other'", "thread = NULL"] {
        let edit = format!("UPDATE throughline.audit SET {column} WHERE number = 2");
        let Some(db) = edited(&edit).await else { return };
        let cursor = db.on_replica(BeginCapture::WHOLE).await.unwrap().cursor;
        let page = db.read(ReadImages::new(cursor, 500)).await.unwrap();
        let number = |part| match part {
            ImagePart::Audit(entry) => Some(entry.number.get()),
            _ => None,
        };
        let numbers: Vec<_> = page.images.into_iter().filter_map(|image| number(image.part)).collect();
        assert_eq!((numbers, page.damaged, page.more), (vec![1, 2, 3], Vec::new(), false), "{column}");
        db.close().await.unwrap();
    }
}

#[tokio::test]
async fn truncated_or_deleted_audit_log_is_found_without_an_anchor() {
    let cut = "DELETE FROM throughline.audit WHERE number = 3";
    let Some(cut) = found(cut).await else { return };
    let [two, three] = [2, 3].map(AuditNumber::new);
    assert_eq!(cut, (Some(Flaw::Miscounted { count: two, written: three }), 1));
    let all = "DELETE FROM throughline.audit; \
        UPDATE throughline.store SET audit = 0, audit_hash = decode(repeat('00', 32), 'hex')";
    let all = found(all).await.unwrap();
    assert!(matches!(all, (Some(Flaw::Absent { .. }), 3)), "{all:?}");
}

/// Returns how often the index of the table was scanned. A server process reports its counters when it ends, so
/// this waits for the connections of the closed store.
async fn scans(database: &Database) -> i64 {
    let left = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() \
                AND backend_type = 'client backend' AND pid <> pg_backend_pid()";
    let gone = async { while database.count(left).await > 0 {} };
    timeout(Duration::from_secs(60), gone).await.expect("the connections of the store end");
    database.count("SELECT idx_scan FROM pg_stat_user_tables WHERE relname = 'audit'").await
}

#[tokio::test]
async fn records_that_a_reader_may_not_see_are_read_in_batches() {
    const BATCHES: usize = 300;
    let Some(database) = Database::fresh("").await else { return };
    let open = async || {
        let backend = PostgresBackend::open(&database.url).await.unwrap();
        Persistence::builder().layer(AuditLayer::new(key())).backend(backend).build().unwrap()
    };
    let db = open().await;
    for _ in 0..BATCHES {
        let add = |thread: &str| Add::new(thread.parse().unwrap(), NewMessage::user("x"));
        db.run(Batch::new().with(add("a")).with(add("b"))).await.unwrap();
    }
    db.close().await.unwrap();
    let before = scans(&database).await;
    let db = open().await;
    let scope = ChangeScope::Thread("t".parse().unwrap());
    let read = ReadAudit::new(scope, AuditFrom::After(AuditNumber::ZERO), 1).with_max_bytes(1);
    let page = db.read(read).await.unwrap();
    assert_eq!((page.entries.len(), page.reached.get(), page.more), (0, BATCHES as u64, false));
    db.close().await.unwrap();
    // The scans of the page, and those of opening and closing the store.
    let searched = scans(&database).await - before;
    assert!(searched < 20, "{searched} searches");
}
