//! The log of who did what goes along: one chain over every change of the store that leads.

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

/// Adds a message, and tries what is refused.
pub(super) async fn work(db: &Persistence, id: &str) {
    let id: MessageId = id.parse().unwrap();
    db.thread("t").add(NewMessage::user("x").with_id(id.clone())).await.unwrap();
    db.thread("t").add(NewMessage::user("another").with_id(id)).await.unwrap_err();
    db.write_audit_records().await.unwrap();
}

pub(super) async fn over(first: Persistence, second: Persistence) {
    let switch = Switch::open(first.clone(), second.clone()).await.unwrap();
    let stack = Persistence::builder().layer(AuditLayer::new(key()));
    let db = stack.backend(switch.backend()).build().unwrap();
    work(&db, "a").await;
    let mut anchors = vec![anchor(&db, &key()).await.unwrap()];
    switch.follow().await.unwrap();
    for (round, id) in ["b", "c", "d"].into_iter().enumerate() {
        if round % 2 == 0 {
            switch.switch_over(TIMEOUT).await.unwrap();
        } else {
            switch.switch_back(TIMEOUT).await.unwrap();
        }
        work(&db, id).await;
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
    // The one that follows has the same, and so says who asks it.
    switch.switch_back(TIMEOUT).await.unwrap();
    switch.switch_over(TIMEOUT).await.unwrap();
    assert_eq!((log(&first).await, log(&second).await), (log(&db).await, log(&db).await));
    switch.stop().await;
    equal(&first, &second).await;
    db.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn from_memory_to_a_file_and_back() {
    let directory = tempfile::tempdir().unwrap();
    over(memory("a"), sqlite(&directory.path().join("b.db")).await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn from_a_file_to_another_and_back() {
    let directory = tempfile::tempdir().unwrap();
    let [a, b] = ["a.db", "b.db"].map(|name| directory.path().join(name));
    over(sqlite(&a).await, sqlite(&b).await).await;
}

/// What is written to the follower's own log is a difference.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_that_went_on_by_itself_is_found() {
    let (from, to) = (memory("a"), memory("b"));
    let audited = Persistence::builder().layer(AuditLayer::new(key()));
    let switch = Switch::open(from.clone(), memory("c")).await.unwrap();
    let db = audited.backend(switch.backend()).build().unwrap();
    work(&db, "a").await;
    copy(&from, &to).await.stop().await;
    equal(&from, &to).await;
    assert_eq!(log(&to).await, log(&from).await);
    // Refused, and so noted in the first store alone.
    db.thread("t").add(NewMessage::user("another").with_id("a".parse().unwrap())).await.unwrap_err();
    db.write_audit_records().await.unwrap();
    let found = compare(&from, &to).await.unwrap();
    let what: Vec<Differs> = found.differences.into_iter().map(|difference| difference.what).collect();
    assert_eq!(what, [Differs::Part("entries of the audit log")]);
    assert_eq!(from.thread("t").page(PageFrom::Start, 10).await.unwrap().messages.len(), 1);
}

/// An entry that cannot be read is named, and holds up nothing of the copy, which lacks it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_damaged_entry_stops_no_copy() {
    let directory = tempfile::tempdir().unwrap();
    let [a, b] = ["a.db", "b.db"].map(|name| directory.path().join(name));
    let from = sqlite(&a).await;
    let switch = Switch::open(from.clone(), memory("c")).await.unwrap();
    let db = Persistence::builder().layer(AuditLayer::new(key())).backend(switch.backend()).build().unwrap();
    for id in ["a", "b", "c"] {
        work(&db, id).await;
    }
    // Whoever means to change the log takes its triggers away first.
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

/// A copy finds each entry by its record: what the primary finds it by is no part of what is hashed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_entry_whose_tenant_or_thread_column_was_edited_is_copied() {
    for edit in ["tenant = 'other'", "thread = 'other'", "thread = NULL"] {
        let directory = tempfile::tempdir().unwrap();
        let [a, b] = ["a.db", "b.db"].map(|name| directory.path().join(name));
        let from = sqlite(&a).await;
        let switch = Switch::open(from.clone(), memory("c")).await.unwrap();
        let db = Persistence::builder().layer(AuditLayer::new(key())).backend(switch.backend());
        work(&db.build().unwrap(), "a").await;
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

/// A follower has the entries of its leader and none of its own, also where a layer stands before it.
#[tokio::test]
async fn what_is_done_about_copies_has_no_entry() {
    let stack = Persistence::builder().layer(AuditLayer::new(key()));
    let db = stack.backend(MemoryBackend::new()).build().unwrap();
    db.on_replica(BeginCapture::WHOLE).await.unwrap();
    let replication_state = db.read(GetReplicationStatus {}).await.unwrap().replication_state;
    db.on_replica(SetReplicationState::new(replication_state, replication_state.as_replica())).await.unwrap();
    db.write_audit_records().await.unwrap();
    assert_eq!(log(&db).await, []);
}

/// What failed in a process that has not heard of the change is noted by the store that leads.
#[tokio::test(flavor = "multi_thread")]
async fn notes_of_a_process_that_has_not_heard_go_to_the_store_that_leads() {
    let folder = tempfile::tempdir().unwrap();
    let paths = [folder.path().join("a.db"), folder.path().join("b.db")];
    let open = async || Switch::open(sqlite(&paths[0]).await, sqlite(&paths[1]).await).await.unwrap();
    let (here, there) = (open().await, open().await);
    let audited = |switch: &Switch| {
        let stack = Persistence::builder().layer(AuditLayer::new(key()));
        stack.backend(switch.backend()).build().unwrap()
    };
    work(&audited(&here), "a").await;
    let late = audited(&there);
    here.follow().await.unwrap();
    // Refused before any store is asked, so nothing has told this process of the change when the note is brought.
    let refused =
        NewMessage::user("x").with_metadata(serde_json::from_str(r#"{"throughline.x":1}"#).unwrap());
    here.switch_over(TIMEOUT).await.unwrap();
    late.thread("t").add(refused).await.unwrap_err();
    late.write_audit_records().await.unwrap();
    let second = sqlite(&paths[1]).await;
    assert_eq!(log(&second).await.len(), 3);
    assert!(verify(&late, &key(), &[]).await.unwrap().is_intact());
}
