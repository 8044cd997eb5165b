//! The index of metadata in Postgres: built while hosts write, and shared by hosts with different fields.

use std::time::Duration;

use throughline_core::{
    ErrorKind, IndexedMetadata, Metadata, MetadataPatch, NewMessage, Persistence,
    messages::{FindMessages, FindOrder, Visibility},
};
use throughline_postgres::{OpenError, PostgresBackend, PostgresOptions, PostgresReader};

use crate::support::Database;

fn names(names: &[&str]) -> IndexedMetadata {
    IndexedMetadata::new(names.iter().copied()).unwrap()
}

fn declaring(declared: &[&str]) -> PostgresOptions {
    PostgresBackend::builder().index_metadata(names(declared))
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
        let find = FindMessages::new(name, value, 1000).ordered(FindOrder::OldestFirst);
        match db.find(find.in_thread("t".parse().unwrap())).await {
            Ok(page) => {
                assert_eq!((page.next, page.damaged), (None, vec![]));
                return page.messages.iter().map(|message| message.id.to_string()).collect();
            }
            Err(error) => assert_eq!(error.kind(), ErrorKind::Busy, "{error}"),
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

async fn entries(database: &Database) -> i64 {
    database.count("SELECT count(*) FROM throughline.metadata_values").await
}

#[tokio::test]
async fn a_new_field_is_built_from_stored_messages_while_the_host_writes() {
    let Some(database) = Database::fresh("").await else { return };
    let db = database.db().await;
    for n in 0..300 {
        add(&db, &format!("m{n}"), ["tool", "other"][usize::from(n % 3 > 0)]).await;
    }
    db.close().await.unwrap();

    let db = database.open(declaring(&["kind"])).await;
    let thread = db.thread("t");
    let patch = |kind: &str| MetadataPatch::new().set("kind", kind).unwrap();
    thread.update("m299".parse().unwrap(), patch("tool")).await.unwrap();
    thread.update("m0".parse().unwrap(), patch("other")).await.unwrap();
    thread.delete("m3".parse().unwrap()).await.unwrap();
    add(&db, "late", "tool").await;
    let due = (6..300).step_by(3).map(|n| format!("m{n}")).chain(["m299".to_owned(), "late".to_owned()]);
    assert_eq!(found(&db, "kind", "tool").await, due.collect::<Vec<_>>());
    assert_eq!(entries(&database).await, 300);
    db.close().await.unwrap();

    // A store that is opened to be read has the fields of the database.
    let reader = PostgresReader::open(&database.url).await.unwrap();
    let reader = Persistence::builder().backend(reader).build().unwrap();
    assert_eq!(found(&reader, "kind", "tool").await.len(), 100);
}

#[tokio::test]
async fn hosts_with_different_fields_keep_the_index_of_both() {
    let Some(database) = Database::fresh("").await else { return };
    let first = database.open(declaring(&["kind"])).await;
    add(&first, "before", "tool").await;
    let second = database.open(declaring(&["orderId"])).await;
    let third = database.db().await;
    for (db, id) in [(&first, "a"), (&second, "b"), (&third, "c"), (&first, "d")] {
        add(db, id, "tool").await;
    }
    assert_eq!(found(&first, "kind", "tool").await, ["before", "a", "b", "c", "d"]);
    for id in ["before", "a", "b", "c", "d"] {
        assert_eq!(found(&second, "orderId", id).await, [id]);
    }
    let refused = first.find(FindMessages::new("orderId", "a", 1)).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Unsupported);
    assert_eq!(entries(&database).await, 10);
    for db in [first, second, third] {
        db.close().await.unwrap();
    }
}

#[tokio::test]
async fn a_dropped_field_is_removed_and_built_again_when_it_is_declared_again() {
    let Some(database) = Database::fresh("").await else { return };
    let db = database.open(declaring(&["kind", "orderId"])).await;
    add(&db, "a", "tool").await;
    db.close().await.unwrap();
    let db = database.open(declaring(&["orderId"]).drop_indexed_metadata(names(&["kind"]))).await;
    add(&db, "b", "tool").await;
    while entries(&database).await != 2 {
        // A task removes the entries, and nothing notifies of that.
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    db.close().await.unwrap();
    let db = database.open(declaring(&["kind"])).await;
    assert_eq!(found(&db, "kind", "tool").await, ["a", "b"]);
    db.close().await.unwrap();
}

#[tokio::test]
async fn hidden_messages_are_skipped_over_several_statements() {
    let Some(database) = Database::fresh("").await else { return };
    let db = database.open(declaring(&["kind"])).await;
    for n in 0..40 {
        add(&db, &format!("m{n}"), "tool").await;
    }
    db.thread("t").clear().await.unwrap();
    add(&db, "shown", "tool").await;
    let find = FindMessages::new("kind", "tool", 1).ordered(FindOrder::OldestFirst).showing(Visibility::All);
    let page = db.find(find).await.unwrap();
    assert_eq!(page.messages.iter().map(|message| message.id.as_str()).collect::<Vec<_>>(), ["shown"]);
    assert_eq!(page.next, None);
    db.close().await.unwrap();
}

#[tokio::test]
async fn more_fields_than_a_store_can_index_are_refused_with_both_lists() {
    let Some(database) = Database::fresh("").await else { return };
    let stored: Vec<String> = (0..16).map(|n| format!("f{n:02}")).collect();
    let stored: Vec<&str> = stored.iter().map(String::as_str).collect();
    let db = database.open(declaring(&stored)).await;
    let Err(OpenError::IndexedMetadata { declared, stored: found }) =
        declaring(&["f03", "one-more"]).open(&database.url).await
    else {
        panic!("it opened")
    };
    assert_eq!((declared, found), (names(&["f03", "one-more"]), names(&stored)));
    add(&db, "a", "tool").await;
    db.close().await.unwrap();
}

/// A standby that was promoted can lack the declaration of a host that is still at work, and another host declares its own.
#[tokio::test]
async fn host_whose_field_was_lost_in_a_failover_writes_the_entries_of_the_new_primary() {
    let Some(database) = Database::fresh("").await else { return };
    let first = database.open(declaring(&["orderId"])).await;
    add(&first, "before", "tool").await;
    // As a standby that has the messages, and not the declaration.
    database
        .run(
            "DELETE FROM throughline.metadata_values; DELETE FROM throughline.metadata_names; \
             UPDATE throughline.store SET metadata_version = 0",
        )
        .await;
    let second = database.open(declaring(&["kind"])).await;
    assert_eq!(found(&second, "kind", "tool").await, ["before"]);
    for id in ["one", "two"] {
        add(&first, id, "tool").await;
    }
    assert_eq!(found(&second, "kind", "tool").await, ["before", "one", "two"]);
    first.close().await.unwrap();
    second.close().await.unwrap();
}
