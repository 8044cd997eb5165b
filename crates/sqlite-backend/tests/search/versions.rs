//! The full-text index of a file of an earlier version.

use std::path::Path;

use throughline_core::search::SearchMessages;

use crate::{
    add, ids, open,
    vocabularies::{built, fill_shard},
};

/// Reverts the migration `vocabularies_of_shards`.
const WITHOUT_VOCABULARIES: &str = "DROP TABLE search_terms; DROP TABLE search_vocabulary; \
    DROP INDEX search_shards_without_vocabulary; ALTER TABLE search_shards DROP COLUMN has_vocabulary; \
    ALTER TABLE search_shards DROP COLUMN vocabulary_end";

/// Makes the file one of the version before, with an index that holds copies of the terms.
fn downgrade(path: &Path) {
    let initial = include_str!("../../migrations/0001_initial.sql");
    let begin = initial.find("CREATE VIRTUAL TABLE search").unwrap();
    let end = begin + initial[begin..].find(");").unwrap() + 2;
    let file = rusqlite::Connection::open(path).unwrap();
    file.execute_batch(&format!(
        "DROP TRIGGER search_keeps_replaced; DROP TRIGGER search_keeps_deleted;
         DROP TABLE obsolete_chunks; DROP TABLE search_messages; DROP TABLE search_replaced; DROP TABLE search; {};
         INSERT INTO search (search, rank) VALUES ('secure-delete', 1);
         INSERT INTO search (rowid, terms, shard, seq, created_at)
         SELECT message_pk, char(10, 10, 10) || '1.copied' || char(10) || '.1', 1, seq, created_at FROM messages;
         {WITHOUT_VOCABULARIES}; DROP TRIGGER audit_has_no_gaps; {};
         DELETE FROM migrations WHERE id > 1; PRAGMA user_version = 1",
        &initial[begin..end],
        &initial[initial.find("CREATE TRIGGER audit_has_no_gaps").unwrap()..]
    ))
    .unwrap();
}

#[tokio::test]
async fn an_index_of_the_version_before_is_built_again() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("store.db");
    let db = open(&path, true).await;
    add(&db, "t", "a", "the train to Lisbon").await;
    let last = add(&db, "t", "b", "Lisbon has seven hills, Lisbon").await;
    assert_eq!(ids(&db, "lisbon", last).await, ["a", "b"]);
    db.close().await.unwrap();
    downgrade(&path);
    let db = open(&path, true).await;
    assert_eq!(ids(&db, "lisbon", last).await, ["a", "b"]);
    assert_eq!(ids(&db, "copied", last).await, [""; 0]);
    let found = db.search(SearchMessages::new("lisbon", 1)).await.unwrap();
    assert_eq!(found.hits[0].id.as_str(), "b", "it has the word twice");
    db.close().await.unwrap();
    let bytes = std::fs::read(&path).unwrap();
    assert!(!bytes.windows(6).any(|window| window == b"copied"));
    let file = rusqlite::Connection::open(&path).unwrap();
    let version: i64 = file.pragma_query_value(None, "user_version", |row| row.get(0)).unwrap();
    assert_eq!(version, 5);
}

#[tokio::test]
async fn vocabularies_are_built_for_an_index_of_the_version_before() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("store.db");
    let db = open(&path, true).await;
    let last = add(&db, "t", "a", "an early needle").await;
    assert_eq!(ids(&db, "needle", last).await, ["a"]);
    fill_shard(&path);
    let last = add(&db, "t", "b", "a late needle").await;
    let other = db.for_tenant("other".parse().unwrap());
    let of_other = add(&other, "t", "c", "another needle").await;
    assert_eq!(ids(&db, "needle", last).await, ["a", "b"]);
    assert_eq!(ids(&other, "needle", of_other).await, ["c"]);
    db.close().await.unwrap();
    let file = rusqlite::Connection::open(&path).unwrap();
    file.execute_batch(&format!(
        "{WITHOUT_VOCABULARIES}; DELETE FROM migrations WHERE id > 4; PRAGMA user_version = 4"
    ))
    .unwrap();
    drop(file);
    let db = open(&path, true).await;
    assert_eq!(built(&path).await, ["an early needle", "", ""]);
    assert_eq!(ids(&db, "needle", last).await, ["a", "b"]);
    assert_eq!(ids(&db, "early", last).await, ["a"]);
    db.close().await.unwrap();
}
