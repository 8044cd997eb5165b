//! The index of metadata in a file: built while hosts write, shared by processes, verified and rebuilt.

use std::{path::Path, time::Duration};

use rusqlite::Connection;
use throughline_core::{
    ErrorKind, IndexedMetadata, Metadata, MetadataPatch, NewMessage, Persistence,
    messages::{FindMessages, FindOrder},
};
use throughline_sqlite::{Maintenance, OpenError, Part, SqliteOptions, SqliteReader};

fn names(names: &[&str]) -> IndexedMetadata {
    IndexedMetadata::new(names.iter().copied()).unwrap()
}

async fn open(path: &Path, declared: &[&str]) -> (Maintenance, Persistence) {
    let backend = SqliteOptions::new().index_metadata(names(declared)).open(path).await.unwrap();
    (backend.maintenance(), Persistence::builder().backend(backend).build().unwrap())
}

async fn add(db: &Persistence, id: &str, kind: &str) {
    let mut metadata = Metadata::new();
    metadata.set("kind", kind).unwrap();
    metadata.set("orderId", id).unwrap();
    let message = NewMessage::user("x").with_id(id.parse().unwrap()).with_metadata(metadata);
    db.thread("t").add(message).await.unwrap();
}

/// Returns the ids of the found messages, once the index is complete. Nothing notifies of that.
async fn found(db: &Persistence, name: &str, value: &str) -> Vec<String> {
    loop {
        match db.find(FindMessages::new(name, value, 1000).ordered(FindOrder::OldestFirst)).await {
            Ok(page) => {
                assert_eq!((page.next, page.damaged), (None, vec![]));
                return page.messages.iter().map(|message| message.id.to_string()).collect();
            }
            Err(error) => assert_eq!(error.kind(), ErrorKind::Busy, "{error}"),
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

#[tokio::test]
async fn a_new_field_is_built_from_stored_messages_while_the_host_writes() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("chat.db");
    let (_, db) = open(&path, &[]).await;
    for n in 0..600 {
        add(&db, &format!("m{n}"), ["tool", "other"][usize::from(n % 3 > 0)]).await;
    }
    let refused = db.find(FindMessages::new("kind", "tool", 1)).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Unsupported);
    db.close().await.unwrap();

    let (maintenance, db) = open(&path, &["kind"]).await;
    let thread = db.thread("t");
    let patch = |kind: &str| MetadataPatch::new().set("kind", kind).unwrap();
    thread.update("m599".parse().unwrap(), patch("tool")).await.unwrap();
    thread.update("m0".parse().unwrap(), patch("other")).await.unwrap();
    thread.delete("m3".parse().unwrap()).await.unwrap();
    add(&db, "late", "tool").await;
    let found = found(&db, "kind", "tool").await;
    let due = (6..600).step_by(3).map(|n| format!("m{n}")).chain(["m599".to_owned(), "late".to_owned()]);
    assert_eq!(found, due.collect::<Vec<_>>());
    let verified = maintenance.verify().await.unwrap();
    assert_eq!((verified.damaged, verified.indexed), (vec![], 600));
    db.close().await.unwrap();

    // A store that is opened to be read has the fields of the file.
    let reader = Persistence::builder().backend(SqliteReader::open(&path).await.unwrap()).build().unwrap();
    assert_eq!(reader.find(FindMessages::new("kind", "tool", 1000)).await.unwrap().messages.len(), 200);
}

#[tokio::test]
async fn a_declaration_in_a_new_file_takes_no_position() {
    let directory = tempfile::tempdir().unwrap();
    let (_, db) = open(&directory.path().join("chat.db"), &["kind"]).await;
    let added = db.thread("t").add(NewMessage::user("x")).reply().await.unwrap();
    assert_eq!(added.receipt.position.map(|position| position.get()), Some(1));
}

#[tokio::test]
async fn processes_with_different_fields_keep_the_index_of_both() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("chat.db");
    let (maintenance, first) = open(&path, &["kind"]).await;
    add(&first, "before", "tool").await;
    let (_, second) = open(&path, &["orderId"]).await;
    let (_, third) = open(&path, &[]).await;
    for (db, id) in [(&first, "a"), (&second, "b"), (&third, "c"), (&first, "d")] {
        add(db, id, "tool").await;
    }
    assert_eq!(found(&first, "kind", "tool").await, ["before", "a", "b", "c", "d"]);
    for id in ["before", "a", "b", "c", "d"] {
        assert_eq!(found(&second, "orderId", id).await, [id]);
    }
    let refused = first.find(FindMessages::new("orderId", "a", 1)).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Unsupported);
    assert!(
        refused.detail().contains("`orderId`") && refused.detail().contains("indexed: kind"),
        "{refused}"
    );
    let verified = maintenance.verify().await.unwrap();
    assert_eq!((verified.damaged, verified.indexed), (vec![], 10));
}

#[tokio::test]
async fn a_dropped_field_is_removed_and_built_again_when_it_is_declared_again() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("chat.db");
    let (_, db) = open(&path, &["kind", "orderId"]).await;
    add(&db, "a", "tool").await;
    db.close().await.unwrap();

    let options = SqliteOptions::new().drop_indexed_metadata(names(&["kind"]));
    let backend = options.index_metadata(names(&["orderId"])).open(&path).await.unwrap();
    let db = Persistence::builder().backend(backend).build().unwrap();
    add(&db, "b", "tool").await;
    loop {
        let file = Connection::open(&path).unwrap();
        let left: (i64, i64) = file
            .query_row(
                "SELECT (SELECT count(*) FROM metadata_names), (SELECT count(*) FROM metadata_values)",
                [],
                |row| Ok((row.get(0)?, row.get(1)?)),
            )
            .unwrap();
        if left == (1, 2) {
            break;
        }
        // The writer removes the entries when it is idle, and nothing notifies of that.
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    db.close().await.unwrap();

    let (maintenance, db) = open(&path, &["kind"]).await;
    assert_eq!(found(&db, "kind", "tool").await, ["a", "b"]);
    let verified = maintenance.verify().await.unwrap();
    assert_eq!((verified.damaged, verified.indexed), (vec![], 4));
    let conflict = SqliteOptions::new().drop_indexed_metadata(names(&["x"])).index_metadata(names(&["x"]));
    let refused = conflict.open(&path).await.unwrap_err().to_string();
    assert_eq!(refused, "the setting `drop_indexed_metadata` names `x`, which `index_metadata` declares");
}

#[tokio::test]
async fn verification_finds_a_wrong_entry_and_a_missing_one_and_a_rebuild_makes_them_again() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("chat.db");
    let (maintenance, db) = open(&path, &["kind"]).await;
    for (id, kind) in [("a", "tool"), ("b", "tool"), ("c", "other")] {
        add(&db, id, kind).await;
    }
    let file = Connection::open(&path).unwrap();
    file.execute_batch(
        "DELETE FROM metadata_values WHERE message_pk = 1; \
         UPDATE metadata_values SET value = 't:tool' WHERE message_pk = 3; \
         INSERT INTO metadata_values SELECT 99, name_pk, tenant, thread, thread_pk, 99, created_at, value \
         FROM metadata_values WHERE message_pk = 2",
    )
    .unwrap();
    drop(file);
    // A wrong entry shows nothing, and a missing one hides its message.
    assert_eq!(found(&db, "kind", "tool").await, ["b"]);
    let verified = maintenance.verify().await.unwrap();
    let damaged: Vec<_> = verified
        .damaged
        .iter()
        .map(|damage| (damage.part, damage.message.as_ref().map(|id| id.as_str()), damage.reason.as_str()))
        .collect();
    let (wrong, missing) = (
        "an entry of the metadata index differs from its message",
        "the metadata index does not have its 1 entries",
    );
    assert_eq!(
        damaged,
        [
            (Part::MetadataIndex, Some("c"), wrong),
            (Part::MetadataIndex, None, wrong),
            (Part::MetadataIndex, Some("a"), missing),
        ]
    );
    let rebuilt = directory.path().join("rebuilt.db");
    assert!(maintenance.rebuild_into(&rebuilt).await.unwrap().verification.is_sound());
    let (maintenance, db) = open(&rebuilt, &["kind"]).await;
    assert_eq!(found(&db, "kind", "tool").await, ["a", "b"]);
    let verified = maintenance.verify().await.unwrap();
    assert_eq!((verified.damaged, verified.indexed), (vec![], 3));
}

#[tokio::test]
async fn more_fields_than_a_store_can_index_are_refused_with_both_lists() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("chat.db");
    let stored: Vec<String> = (0..16).map(|n| format!("f{n:02}")).collect();
    let stored: Vec<&str> = stored.iter().map(String::as_str).collect();
    let (_, db) = open(&path, &stored).await;
    let options = SqliteOptions::new().index_metadata(names(&["f03", "one-more"]));
    let Err(OpenError::Setting { name, fault }) = options.open(&path).await else { panic!("it opened") };
    assert_eq!(name, "indexed_metadata");
    assert!(
        fault.contains("f03, one-more") && fault.contains("f00, f01") && fault.contains("f15"),
        "{fault}"
    );
    add(&db, "a", "tool").await;
}
