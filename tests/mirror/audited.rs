//! The audit log is copied: one hash chain covers the changes of both stores across switchovers.

use std::time::Duration;

use throughline::{
    MessageId, NewMessage, Persistence,
    audit::{AuditEntry, AuditFrom, AuditNumber, AuditOutcome, ReadAudit},
    changes::ChangeScope,
    layers::audit::{AuditKey, AuditLayer, Flaw, anchor, verify},
    memory::MemoryBackend,
    messages::PageFrom,
    mirror::{Differs, Switch, compare},
    replication::{BeginCapture, GetReplicationStatus, SetReplicationState},
};

use super::support::{copy, equal, memory, sqlite};

const TIMEOUT: Duration = Duration::from_secs(60);

pub(super) fn key() -> AuditKey {
    AuditKey::new(&[3; 32])
}

pub(super) async fn log(db: &Persistence) -> Vec<AuditEntry> {
    let read = ReadAudit::new(ChangeScope::Store, AuditFrom::After(AuditNumber::ZERO), 1000);
    db.read(read).await.unwrap().entries
}

/// Adds a message, and repeats the id so that the second call is refused.
pub(super) async fn add_and_refuse(db: &Persistence, id: &str) {
    let id: MessageId = id.parse().unwrap();
    db.thread("t").add(NewMessage::user("x").with_id(id.clone())).await.unwrap();
    db.thread("t").add(NewMessage::user("another").with_id(id)).await.unwrap_err();
    db.write_audit_records().await.unwrap();
}

pub(super) async fn assert_one_chain_over_switchovers(first: Persistence, second: Persistence) {
    let switch = Switch::open(first.clone(), second.clone()).await.unwrap();
    let stack = Persistence::builder().layer(AuditLayer::new(key()));
    let db = stack.backend(switch.backend()).build().unwrap();
    add_and_refuse(&db, "a").await;
    let mut anchors = vec![anchor(&db, &key()).await.unwrap()];
    switch.follow().await.unwrap();
    for (round, id) in ["b", "c", "d"].into_iter().enumerate() {
        if round % 2 == 0 {
            switch.switch_over(TIMEOUT).await.unwrap();
        } else {
            switch.switch_back(TIMEOUT).await.unwrap();
        }
        add_and_refuse(&db, id).await;
        anchors.push(anchor(&db, &key()).await.unwrap());
    }
    let counts: Vec<u64> = anchors.iter().map(|anchor| anchor.count.get()).collect();
    assert_eq!(counts, [2, 4, 6, 8]);
    let report = verify(&db, &key(), &anchors).await.unwrap();
    assert!(report.is_intact(), "{report:?}");
    assert_eq!((report.intact.get(), report.anchored.get()), (8, 8));
    assert_eq!(report.comparison.unwrap().changes, 4);
    let outcomes: Vec<bool> = log(&db)
        .await
        .iter()
        .map(|entry| matches!(entry.record.outcome, AuditOutcome::Applied { .. }))
        .collect();
    assert_eq!(outcomes, [true, false].repeat(4));
    // The replica has the same records, and returns them to readers.
    switch.switch_back(TIMEOUT).await.unwrap();
    switch.switch_over(TIMEOUT).await.unwrap();
    assert_eq!((log(&first).await, log(&second).await), (log(&db).await, log(&db).await));
    switch.stop().await;
    equal(&first, &second).await;
    db.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn memory_and_a_file_share_one_audit_chain() {
    let directory = tempfile::tempdir().unwrap();
    assert_one_chain_over_switchovers(memory("a"), sqlite(&directory.path().join("b.db")).await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_files_share_one_audit_chain() {
    let directory = tempfile::tempdir().unwrap();
    let [a, b] = ["a.db", "b.db"].map(|name| directory.path().join(name));
    assert_one_chain_over_switchovers(sqlite(&a).await, sqlite(&b).await).await;
}

/// A record that only one store has is a difference.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_record_that_only_one_store_has_is_a_difference() {
    let (from, to) = (memory("a"), memory("b"));
    let audited = Persistence::builder().layer(AuditLayer::new(key()));
    let switch = Switch::open(from.clone(), memory("c")).await.unwrap();
    let db = audited.backend(switch.backend()).build().unwrap();
    add_and_refuse(&db, "a").await;
    copy(&from, &to).await.stop().await;
    equal(&from, &to).await;
    assert_eq!(log(&to).await, log(&from).await);
    // The refused call creates a record in the first store alone.
    db.thread("t").add(NewMessage::user("another").with_id("a".parse().unwrap())).await.unwrap_err();
    db.write_audit_records().await.unwrap();
    let found = compare(&from, &to).await.unwrap();
    let differences: Vec<Differs> = found.differences.into_iter().map(|difference| difference.kind).collect();
    assert_eq!(differences, [Differs::Part("entries of the audit log")]);
    assert_eq!(from.thread("t").page(PageFrom::Start, 10).await.unwrap().messages.len(), 1);
}

/// A record that cannot be read is named, and the copy continues without it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_damaged_audit_record_does_not_stop_the_copy() {
    let directory = tempfile::tempdir().unwrap();
    let [a, b] = ["a.db", "b.db"].map(|name| directory.path().join(name));
    let from = sqlite(&a).await;
    let switch = Switch::open(from.clone(), memory("c")).await.unwrap();
    let db = Persistence::builder().layer(AuditLayer::new(key())).backend(switch.backend()).build().unwrap();
    for id in ["a", "b", "c"] {
        add_and_refuse(&db, id).await;
    }
    // A trigger protects the audit table, so the test removes it first.
    let file = rusqlite::Connection::open(&a).unwrap();
    let trigger = "SELECT sql FROM sqlite_schema WHERE name = 'audit_stays'";
    let trigger: String = file.query_row(trigger, [], |row| row.get(0)).unwrap();
    file.execute_batch("DROP TRIGGER audit_stays; UPDATE audit SET body = 'x' WHERE number = 2").unwrap();
    file.execute_batch(&trigger).unwrap();
    for to in [memory("b"), sqlite(&b).await] {
        let mirror = copy(&from, &to).await;
        assert_eq!(mirror.status().damaged, ["entry 2 of `audit`"]);
        mirror.stop().await;
        let numbers: Vec<u64> = log(&to).await.iter().map(|entry| entry.number.get()).collect();
        assert_eq!(numbers, [1, 3, 4, 5, 6]);
        let flaw = verify(&to, &key(), &[]).await.unwrap().flaw;
        assert_eq!(flaw, Some(Flaw::Missing { number: AuditNumber::new(2) }));
        assert_eq!(to.thread("t").page(PageFrom::Start, 10).await.unwrap().messages.len(), 3);
    }
}

/// The copy takes each record from its body. The columns of the index in the primary are not part of the hash.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_audit_record_with_an_edited_tenant_or_thread_column_is_copied_unchanged() {
    for edit in ["tenant = 'other'", "thread = 'other'", "thread = NULL"] {
        let directory = tempfile::tempdir().unwrap();
        let [a, b] = ["a.db", "b.db"].map(|name| directory.path().join(name));
        let from = sqlite(&a).await;
        let switch = Switch::open(from.clone(), memory("c")).await.unwrap();
        let db = Persistence::builder().layer(AuditLayer::new(key())).backend(switch.backend());
        add_and_refuse(&db.build().unwrap(), "a").await;
        let written = log(&from).await;
        let file = rusqlite::Connection::open(&a).unwrap();
        let trigger = "SELECT sql FROM sqlite_schema WHERE name = 'audit_stays'";
        let trigger: String = file.query_row(trigger, [], |row| row.get(0)).unwrap();
        let edit_one = format!("DROP TRIGGER audit_stays; UPDATE audit SET {edit} WHERE number = 1");
        file.execute_batch(&edit_one).unwrap();
        file.execute_batch(&trigger).unwrap();
        for to in [memory("b"), sqlite(&b).await] {
            let mirror = copy(&from, &to).await;
            assert_eq!(mirror.status().damaged, [""; 0], "{edit}");
            mirror.stop().await;
            assert_eq!(log(&to).await, written, "{edit}");
        }
    }
}

/// A replica has the records of its primary and none of its own, even if it has an audit layer.
#[tokio::test]
async fn replication_operations_create_no_audit_records() {
    let stack = Persistence::builder().layer(AuditLayer::new(key()));
    let db = stack.backend(MemoryBackend::new()).build().unwrap();
    db.on_replica(BeginCapture::WHOLE).await.unwrap();
    let replication_state = db.read(GetReplicationStatus {}).await.unwrap().replication_state;
    db.on_replica(SetReplicationState::new(replication_state, replication_state.as_replica())).await.unwrap();
    db.write_audit_records().await.unwrap();
    assert_eq!(log(&db).await, []);
}

/// A process that does not know of the switchover sends its rejected-call records to the new primary.
#[tokio::test(flavor = "multi_thread")]
async fn a_process_that_missed_the_switchover_writes_rejected_calls_to_the_new_primary() {
    let folder = tempfile::tempdir().unwrap();
    let paths = [folder.path().join("a.db"), folder.path().join("b.db")];
    let open = async || Switch::open(sqlite(&paths[0]).await, sqlite(&paths[1]).await).await.unwrap();
    let (first_switch, second_switch) = (open().await, open().await);
    let audited = |switch: &Switch| {
        let stack = Persistence::builder().layer(AuditLayer::new(key()));
        stack.backend(switch.backend()).build().unwrap()
    };
    add_and_refuse(&audited(&first_switch), "a").await;
    let late = audited(&second_switch);
    first_switch.follow().await.unwrap();
    // The refusal comes before any store, so this process learns of the switchover only when it writes the record.
    let refused =
        NewMessage::user("x").with_metadata(serde_json::from_str(r#"{"throughline.x":1}"#).unwrap());
    first_switch.switch_over(TIMEOUT).await.unwrap();
    late.thread("t").add(refused).await.unwrap_err();
    late.write_audit_records().await.unwrap();
    let second = sqlite(&paths[1]).await;
    assert_eq!(log(&second).await.len(), 3);
    assert!(verify(&late, &key(), &[]).await.unwrap().is_intact());
}
