//! A copy of a store finds by the metadata fields that the copy declares.

use throughline::{
    IndexedMetadata, Metadata, NewMessage, Persistence, memory::MemoryBackend, messages::FindMessages,
    sqlite::SqliteOptions,
};

use super::support::{copy, equal, position};

async fn add(db: &Persistence, id: &str, kind: &str) {
    let mut metadata = Metadata::new();
    metadata.set("kind", kind).unwrap();
    let message = NewMessage::user("x").with_id(id.parse().unwrap()).with_metadata(metadata);
    db.thread("t").add(message).await.unwrap();
}

#[tokio::test]
async fn copied_messages_are_found_in_a_store_that_declares_the_field() {
    let folder = tempfile::tempdir().unwrap();
    let from = Persistence::builder().backend(MemoryBackend::new()).build().unwrap();
    let indexed = IndexedMetadata::new(["kind"]).unwrap();
    let to = SqliteOptions::new().index_metadata(indexed).open(folder.path().join("b.db")).await.unwrap();
    let to = Persistence::builder().backend(to).build().unwrap();
    for (id, kind) in [("a", "tool"), ("b", "other"), ("c", "tool")] {
        add(&from, id, kind).await;
    }
    let mirror = copy(&from, &to).await;
    add(&from, "d", "tool").await;
    from.thread("t").delete("c".parse().unwrap()).await.unwrap();
    assert!(mirror.reached(position(&from).await).await);
    drop(mirror.stop().await);
    equal(&from, &to).await;
    let found = to.thread("t").find("kind", "tool", 9).await.unwrap();
    assert_eq!(found.messages.iter().map(|message| message.id.as_str()).collect::<Vec<_>>(), ["d", "a"]);
    let refused = from.find(FindMessages::new("kind", "tool", 9)).await.unwrap_err();
    assert_eq!(refused.kind(), throughline::ErrorKind::Unsupported);
}
