//! The audit log, edited by a role that may write to its table and has not the key.

use throughline_core::{
    AuditNumber, NewMessage, Persistence,
    layers::audit::{AuditKey, AuditLayer, Flaw, verify},
};
use throughline_postgres::PostgresBackend;

use crate::support::Database;

fn key() -> AuditKey {
    AuditKey::new(&[7; 32])
}

/// What is found, without an anchor, of a log of three entries to which this was done.
async fn found(edit: &str) -> Option<(Option<Flaw>, u64)> {
    let database = Database::fresh("").await?;
    let backend = PostgresBackend::builder().open(&database.url).await.unwrap();
    let db = Persistence::builder().layer(AuditLayer::new(key())).backend(backend).build().unwrap();
    for name in ["a", "b", "c"] {
        db.thread("t").add(NewMessage::user("x").with_id(name.parse().unwrap())).await.unwrap();
    }
    let trigger = "TABLE throughline.audit DISABLE TRIGGER audit_stays";
    database.run(&format!("ALTER {trigger}; {edit}; ALTER {}", trigger.replace("DISABLE", "ENABLE"))).await;
    let report = verify(&db, &key(), &[]).await.unwrap();
    let without_entry = report.comparison.map_or(0, |comparison| comparison.without_entry);
    db.close().await.unwrap();
    Some((report.flaw, without_entry))
}

#[tokio::test]
async fn an_entry_that_is_hidden_by_its_tenant_or_thread_is_found() {
    for column in ["tenant = 'other'", "thread = 'other'", "thread = NULL"] {
        let edit = format!("UPDATE throughline.audit SET {column} WHERE number = 2");
        let Some(found) = found(&edit).await else { return };
        assert_eq!(found, (Some(Flaw::Edited { number: AuditNumber::new(2) }), 0), "{column}");
    }
}

#[tokio::test]
async fn a_log_that_was_cut_off_or_deleted_is_found_without_an_anchor() {
    let cut = "DELETE FROM throughline.audit WHERE number = 3";
    let Some(cut) = found(cut).await else { return };
    let [two, three] = [2, 3].map(AuditNumber::new);
    assert_eq!(cut, (Some(Flaw::Miscounted { count: two, written: three }), 1));
    let all = "DELETE FROM throughline.audit; \
        UPDATE throughline.store SET audit = 0, audit_hash = decode(repeat('00', 32), 'hex')";
    let all = found(all).await.unwrap();
    assert!(matches!(all, (Some(Flaw::Absent { .. }), 3)), "{all:?}");
}
