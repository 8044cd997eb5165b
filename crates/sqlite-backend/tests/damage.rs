//! Damage is noticed, named, and hides nothing else.

use std::path::{Path, PathBuf};

use rusqlite::Connection;
use tempfile::TempDir;
use throughline_core::{
    Content, ContentChange, Delta, Effect, ErrorKind, ListOpen, Metadata, MetadataPatch, NewMessage,
    NewReservation, PageFrom, PersistError, Persistence, Reserve, Role, UpdateContent, UpdateMode,
};
use throughline_sqlite::SqliteBackend;

struct Store {
    _directory: TempDir,
    path: PathBuf,
    db: Persistence,
}

async fn open(path: &Path) -> Persistence {
    Persistence::builder().backend(SqliteBackend::open(path).await.unwrap()).build().unwrap()
}

/// Three messages: `a` and `c` final, `b` with metadata, an attachment and the state that `open` says.
async fn store(streaming: bool) -> Store {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("chat.db");
    let db = open(&path).await;
    let thread = db.thread("t");
    let mut metadata = Metadata::new();
    metadata.set("k", &"v").unwrap();
    thread.add(NewMessage::user("one").with_id("a".parse().unwrap())).await.unwrap();
    if streaming {
        let reservation = NewReservation::new(Role::Assistant).with_id("b".parse().unwrap());
        db.run(Reserve::new("t".parse().unwrap(), reservation.with_metadata(metadata))).await.unwrap();
        for text in ["Hel", "lo"] {
            let change = ContentChange::Append(Delta::text(text));
            thread.update_content("b".parse().unwrap(), change, UpdateMode::Partial).await.unwrap();
        }
    } else {
        let message = NewMessage::user("two").with_id("b".parse().unwrap()).with_metadata(metadata);
        thread.add(message.with_attachments(["file".parse().unwrap()])).await.unwrap();
    }
    thread.add(NewMessage::user("three").with_id("c".parse().unwrap())).await.unwrap();
    Store { _directory: directory, path, db }
}

fn is_damage_of_b(error: &PersistError) {
    assert_eq!((error.kind(), error.effect()), (ErrorKind::Corrupt, Effect::NotApplied), "{error}");
    assert_eq!(error.message().map(throughline_core::MessageId::as_str), Some("b"), "{error}");
    assert_eq!(error.detail(), "the stored message of seq 2 is damaged");
}

/// Damages `b` and expects every answer that would hold it to name it, and every other to be given.
async fn damaged(store: &Store, sql: &str) {
    let changed = Connection::open(&store.path).unwrap().execute(sql, []).unwrap();
    assert_eq!(changed, 1, "{sql}");
    let thread = store.db.thread("t");
    let b = || "b".parse().unwrap();
    is_damage_of_b(&thread.get(b()).await.unwrap_err());
    is_damage_of_b(&thread.page(PageFrom::Start, 10).await.unwrap_err());
    is_damage_of_b(&thread.update(b(), MetadataPatch::new()).await.unwrap_err());
    is_damage_of_b(&thread.delete(b()).await.unwrap_err());
    for id in ["a", "c"] {
        assert!(thread.get(id.parse().unwrap()).await.unwrap().is_some(), "{id}");
    }
    let page = thread.page(PageFrom::Start, 1).await.unwrap();
    assert_eq!((page.messages.len(), page.has_more), (1, true));
    let page = thread.page(PageFrom::After(throughline_core::Seq::new(2)), 10).await.unwrap();
    assert_eq!(page.messages.len(), 1);
    thread.add(NewMessage::user("four")).await.unwrap();
}

#[tokio::test]
async fn every_column_of_a_message_is_guarded() {
    for change in [
        r#"content = '[{"type":"text","text":"twp"}]'"#,
        "content = ''",
        "content = CAST(x'ff' AS TEXT)",
        "role = 'assistant'",
        "role = 'nobody'",
        "state = 'abandoned'",
        "revision = 2",
        "appends = 1",
        "content_bytes = 1",
        "lease_ms = 5",
        "created_at = created_at + 1",
        "updated_at = updated_at + 1",
        "position = position + 1",
        "checksum = checksum + 1",
        r#"metadata = '{"k":"w"}'"#,
        "attachments = NULL",
        "abandon_reason = ''",
    ] {
        let store = store(false).await;
        damaged(&store, &format!("UPDATE messages SET {change} WHERE message_id = 'b'")).await;
    }
}

#[tokio::test]
async fn a_row_in_anothers_place_is_damage() {
    let store = store(false).await;
    store.db.thread("u").add(NewMessage::user("other")).await.unwrap();
    Connection::open(&store.path)
        .unwrap()
        .execute("UPDATE messages SET thread_pk = 2, seq = 9 WHERE message_id = 'b'", [])
        .unwrap();
    let error = store.db.thread("u").get("b".parse().unwrap()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corrupt);
    assert!(store.db.thread("t").get("b".parse().unwrap()).await.unwrap().is_none());
}

#[tokio::test]
async fn what_was_appended_is_guarded() {
    for sql in [
        "UPDATE appends SET delta = 'Hex' WHERE n = 1",
        "UPDATE appends SET kind = 1 WHERE n = 1",
        "UPDATE appends SET kind = 7 WHERE n = 2",
        "UPDATE appends SET n = 3 WHERE n = 2",
        "DELETE FROM appends WHERE n = 1",
        "DELETE FROM appends WHERE n = 2",
    ] {
        let store = store(true).await;
        let changed = Connection::open(&store.path).unwrap().execute(sql, []).unwrap();
        assert_eq!(changed, 1, "{sql}");
        let thread = store.db.thread("t");
        let b = || "b".parse().unwrap();
        is_damage_of_b(&thread.get(b()).await.unwrap_err());
        is_damage_of_b(&thread.open_reservations(10).await.unwrap_err());
        let finish = UpdateContent::new("t".parse().unwrap(), b(), ContentChange::none(), UpdateMode::Final);
        is_damage_of_b(&store.db.run(finish).await.unwrap_err());
        // Its writer can still say what it should be, and that settles it.
        let whole = ContentChange::Replace(Content::text("Hello"));
        thread.update_content(b(), whole, UpdateMode::Final).await.unwrap();
        assert_eq!(thread.get(b()).await.unwrap().unwrap().content, Content::text("Hello"));
    }
}

#[tokio::test]
async fn a_damaged_key_is_corrupt_and_never_a_replay() {
    for change in
        ["fingerprint = zeroblob(32)", "fingerprint = x'00'", "replay = '{}'", "checksum = checksum + 1"]
    {
        let store = store(false).await;
        let add = || {
            let message = NewMessage::user("keyed").with_id("k".parse().unwrap());
            store.db.thread("t").add(message).key("key")
        };
        add().await.unwrap();
        assert!(add().await.unwrap().deduplicated);
        Connection::open(&store.path)
            .unwrap()
            .execute(&format!("UPDATE idempotency SET {change}"), [])
            .unwrap();
        let error = add().await.unwrap_err();
        assert_eq!((error.kind(), error.effect()), (ErrorKind::Corrupt, Effect::NotApplied), "{change}");
    }
}

#[tokio::test]
async fn damage_in_one_thread_hides_no_open_message_of_another() {
    let store = store(true).await;
    let reservation = NewReservation::new(Role::Assistant).with_id("x".parse().unwrap());
    store.db.run(Reserve::new("u".parse().unwrap(), reservation)).await.unwrap();
    Connection::open(&store.path).unwrap().execute("DELETE FROM appends", []).unwrap();
    is_damage_of_b(&store.db.read(ListOpen::new(10)).await.unwrap_err());
    let open = store.db.read(ListOpen::new(10).in_thread("u".parse().unwrap())).await.unwrap();
    assert_eq!(open.messages.len(), 1);
}
