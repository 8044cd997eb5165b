//! No file of the store contains any content.

use std::path::Path;

use throughline::{
    Content, Metadata, MetadataPatch, NewMessage, NewThread, Persistence, Role,
    layers::encrypt::EncryptLayer, messages::Batch, sqlite::SqliteBackend,
};

use super::support::layer;

const CANARY: &str = "canary-7f3a";

fn holds(folder: &Path, text: &str) -> bool {
    std::fs::read_dir(folder).unwrap().any(|entry| {
        let bytes = std::fs::read(entry.unwrap().path()).unwrap();
        bytes.windows(text.len()).any(|window| window == text.as_bytes())
    })
}

async fn write(layer: Option<EncryptLayer>, path: &Path) -> Persistence {
    let backend = SqliteBackend::open(path).await.unwrap();
    let builder = Persistence::builder();
    let db = match layer {
        Some(layer) => builder.layer(layer).backend(backend).build().unwrap(),
        None => builder.backend(backend).build().unwrap(),
    };
    let mut facts = Metadata::new();
    facts.set("fact", CANARY).unwrap();
    let new = NewThread::new().with_id("t".parse().unwrap()).with_title(CANARY.parse().unwrap());
    db.create_thread(new.with_metadata(facts.clone())).await.unwrap();
    let thread = db.thread("t");
    let added = thread.add(NewMessage::user(CANARY).with_metadata(facts)).key("k").await.unwrap();
    thread.edit(added.message.id.clone(), Content::text(CANARY)).await.unwrap();
    let patch = MetadataPatch::new().set("patched", CANARY).unwrap();
    thread.update(added.message.id, patch).await.unwrap();
    let mut draft = thread.reserve(Role::Assistant).await.unwrap();
    draft.append(CANARY).await.unwrap();
    draft.flush().await.unwrap();
    draft.append(CANARY).await.unwrap();
    draft.abandon(CANARY).await.unwrap();
    let add = throughline::messages::Add::new("t".parse().unwrap(), NewMessage::user(CANARY));
    db.batch(Batch::new().with(add)).await.unwrap();
    db
}

#[tokio::test]
async fn no_byte_of_the_file_or_its_wal_contains_the_canary() {
    let folder = tempfile::tempdir().unwrap();
    let db = write(Some(layer()), &folder.path().join("chat.db")).await;
    // Check while the WAL exists, and after the checkpoint.
    assert!(!holds(folder.path(), CANARY));
    db.close().await.unwrap();
    assert!(!holds(folder.path(), CANARY));
    // Names of metadata fields are not encrypted, and without the layer the canary is found: the search itself works.
    assert!(holds(folder.path(), "patched"));
    let plain = tempfile::tempdir().unwrap();
    write(None, &plain.path().join("chat.db")).await.close().await.unwrap();
    assert!(holds(plain.path(), CANARY));
}
