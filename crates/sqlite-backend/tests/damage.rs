//! Damage is detected and named, and does not hide other rows.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use rusqlite::Connection;
use tempfile::TempDir;
use throughline_core::{
    Content, Delta, Effect, ErrorKind, Message, Metadata, MetadataPatch, NewMessage, NewReservation,
    NewThread, PersistError, Persistence, Role, Seq, Timestamp,
    messages::{
        ContentChange, DamagedMessage, ListOpen, PageFrom, Reserve, UpdateContent, UpdateMode, Visibility,
    },
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

/// Returns a store with three messages: `a` and `c` final, and `b` with metadata, and an attachment or open. If `b` is
/// open, `x` is open in another thread, and the chunks of both alternate: those of `b` are 1 and 3, those of `x` are 2
/// and 4.
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
        let reservation = NewReservation::new(Role::Assistant).with_id("x".parse().unwrap());
        db.run(Reserve::new("u".parse().unwrap(), reservation)).await.unwrap();
        for (thread, id, text) in
            [("t", "b", "Hel"), ("u", "x", "Hello"), ("t", "b", "lo"), ("u", "x", ", you")]
        {
            let change = ContentChange::Append(Delta::text(text));
            db.thread(thread).update_content(id.parse().unwrap(), change, UpdateMode::Partial).await.unwrap();
        }
    } else {
        let message = NewMessage::user("two").with_id("b".parse().unwrap()).with_metadata(metadata);
        thread.add(message.with_attachments(["file".parse().unwrap()])).await.unwrap();
    }
    thread.add(NewMessage::user("three").with_id("c".parse().unwrap())).await.unwrap();
    Store { _directory: directory, path, db }
}

async fn x_is_whole(store: &Store) {
    let x = store.db.thread("u").get("x".parse().unwrap()).await.unwrap().unwrap();
    assert_eq!(x.content, Content::text("Hello, you"));
}

fn is_damage_of_b(error: &PersistError) {
    assert_eq!((error.kind(), error.effect()), (ErrorKind::Corrupt, Effect::NotApplied), "{error}");
    assert_eq!(error.message().map(throughline_core::MessageId::as_str), Some("b"), "{error}");
    assert_eq!(error.detail(), "the stored message of seq 2 is damaged");
}

/// Returns the entry for `b` in lists.
fn the_b() -> DamagedMessage {
    DamagedMessage { thread: "t".parse().unwrap(), seq: Some(Seq::new(2)), id: Some("b".parse().unwrap()) }
}

fn ids(messages: &[Message]) -> Vec<&str> {
    messages.iter().map(|message| message.id.as_str()).collect()
}

/// Damages `b` and expects that every answer with `b` names it, and that every other succeeds.
async fn damaged(store: &Store, sql: &str) {
    let changed = Connection::open(&store.path).unwrap().execute(sql, []).unwrap();
    assert_eq!(changed, 1, "{sql}");
    let thread = store.db.thread("t");
    let b = || "b".parse().unwrap();
    is_damage_of_b(&thread.get(b()).await.unwrap_err());
    is_damage_of_b(&thread.read_content(b(), None).await.unwrap_err());
    let page = thread.page(PageFrom::Start, 10).await.unwrap();
    assert_eq!(
        (ids(&page.messages), page.damaged.as_slice(), page.has_more),
        (vec!["a", "c"], &[the_b()][..], false)
    );
    is_damage_of_b(&page.into_messages().unwrap_err());
    is_damage_of_b(&thread.update(b(), MetadataPatch::new()).await.unwrap_err());
    is_damage_of_b(&thread.delete(b()).await.unwrap_err());
    for id in ["a", "c"] {
        assert!(thread.get(id.parse().unwrap()).await.unwrap().is_some(), "{id}");
    }
    let page = thread.page(PageFrom::Start, 1).await.unwrap();
    assert_eq!((ids(&page.messages), page.damaged.len(), page.has_more), (vec!["a"], 0, true));
    let page = thread.page(page.next(PageFrom::Start).unwrap(), 1).await.unwrap();
    assert_eq!((ids(&page.messages), page.damaged.as_slice(), page.has_more), (vec![], &[the_b()][..], true));
    let page = thread.page(page.next(PageFrom::Start).unwrap(), 10).await.unwrap();
    assert_eq!((ids(&page.messages), page.damaged.len(), page.has_more), (vec!["c"], 0, false));
    let page = thread.page(PageFrom::Before(Seq::new(3)), 1).await.unwrap();
    assert_eq!(
        (page.damaged.as_slice(), page.next(PageFrom::End)),
        (&[the_b()][..], Some(PageFrom::Before(Seq::new(2))))
    );
    thread.add(NewMessage::user("four")).await.unwrap();
}

#[tokio::test]
async fn every_column_of_a_message_is_covered_by_its_checksum() {
    for change in [
        r#"content = '[{"type":"text","text":"twp"}]'"#,
        "content = ''",
        "content = CAST(x'ff' AS TEXT)",
        "role = 'assistant'",
        "role = 'invalid'",
        "state = 'abandoned'",
        "revision = 2",
        "appends = 1",
        "last_append = 1",
        "content_bytes = 1",
        "tail = tail + 4",
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
async fn a_row_at_the_key_of_another_is_damaged() {
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
async fn appended_chunks_are_covered_by_checksums() {
    for sql in [
        "UPDATE appends SET delta = 'Hex' WHERE append_pk = 1",
        "UPDATE appends SET kind = 1 WHERE append_pk = 1",
        "UPDATE appends SET kind = 7 WHERE append_pk = 3",
        "UPDATE appends SET n = 3 WHERE append_pk = 3",
        "DELETE FROM appends WHERE append_pk = 1",
        "DELETE FROM appends WHERE append_pk = 3",
        // A chain that is broken, one that runs in circles, and one that leads to the chunks of another message.
        "UPDATE appends SET append_pk = 9 WHERE append_pk = 1",
        "UPDATE appends SET append_pk = 9 WHERE append_pk = 3",
        "UPDATE appends SET prev = NULL WHERE append_pk = 3",
        "UPDATE appends SET prev = -1 WHERE append_pk = 3",
        "UPDATE appends SET prev = 9 WHERE append_pk = 3",
        "UPDATE appends SET prev = 3 WHERE append_pk = 3",
        "UPDATE appends SET prev = 4 WHERE append_pk = 3",
        "UPDATE appends SET prev = 2 WHERE append_pk = 3",
        "UPDATE appends SET message_pk = (SELECT message_pk FROM messages WHERE message_id = 'x') WHERE append_pk = 3",
    ] {
        let store = store(true).await;
        let changed = Connection::open(&store.path).unwrap().execute(sql, []).unwrap();
        assert_eq!(changed, 1, "{sql}");
        let thread = store.db.thread("t");
        let b = || "b".parse().unwrap();
        is_damage_of_b(&thread.get(b()).await.unwrap_err());
        is_damage_of_b(&thread.read_content(b(), None).await.unwrap_err());
        let open = thread.open_reservations(10).await.unwrap();
        assert_eq!((open.messages, open.damaged), (vec![], vec![the_b()]), "{sql}");
        let finish = UpdateContent::new("t".parse().unwrap(), b(), ContentChange::none(), UpdateMode::Final);
        is_damage_of_b(&store.db.run(finish).await.unwrap_err());
        // Its writer can replace it with the correct content, and then settles it.
        let whole = ContentChange::Replace(Content::text("Hello"));
        thread.update_content(b(), whole, UpdateMode::Final).await.unwrap();
        assert_eq!(thread.get(b()).await.unwrap().unwrap().content, Content::text("Hello"));
        let left: i64 = Connection::open(&store.path)
            .unwrap()
            .query_row(
                "SELECT count(*) FROM appends NATURAL JOIN messages WHERE message_id = 'b'",
                [],
                |row| row.get(0),
            )
            .unwrap();
        assert_eq!(left, 0, "{sql}");
        x_is_whole(&store).await;
    }
}

/// A read ignores the reference of the first chunk.
#[tokio::test]
async fn a_chain_that_continues_before_its_first_chunk_reads_nothing_more() {
    for prev in [-1, 0, 1, 2, 3, 4, 9] {
        let store = store(true).await;
        let damage = "UPDATE appends SET prev = ?1 WHERE append_pk = 1";
        Connection::open(&store.path).unwrap().execute(damage, [prev]).unwrap();
        let b = store.db.thread("t").get("b".parse().unwrap()).await.unwrap().unwrap();
        assert_eq!(b.content, Content::text("Hello"));
        let tail = store.db.thread("t").read_content("b".parse().unwrap(), None).await.unwrap().unwrap();
        assert_eq!(tail.parts, [Delta::text("Hello")]);
        x_is_whole(&store).await;
    }
}

#[tokio::test]
async fn a_chunk_that_a_read_would_not_find_is_not_acknowledged() {
    let store = store(true).await;
    Connection::open(&store.path).unwrap().execute("DELETE FROM appends", []).unwrap();
    // SQLite assigns a key again that a chunk had before.
    let thread = store.db.thread("t");
    let change = ContentChange::Append(Delta::text("!"));
    let update = thread.update_content("b".parse().unwrap(), change, UpdateMode::Partial);
    let error = update.await.unwrap_err();
    assert_eq!((error.kind(), error.effect()), (ErrorKind::Corrupt, Effect::NotApplied), "{error}");
    thread.add(NewMessage::user("four")).await.unwrap();
}

#[tokio::test]
async fn a_damaged_key_is_corrupt_and_never_a_replay() {
    for change in [
        "fingerprint = zeroblob(32)",
        "fingerprint = x'00'",
        "replay = '{}'",
        "checksum = checksum + 1",
        "created_at = created_at + 1",
    ] {
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
async fn damage_in_one_thread_does_not_hide_open_messages_of_another() {
    let store = store(true).await;
    Connection::open(&store.path).unwrap().execute("DELETE FROM appends WHERE append_pk = 1", []).unwrap();
    let open = store.db.read(ListOpen::new(10)).await.unwrap();
    assert_eq!((ids(&open.messages), open.damaged, open.next), (vec!["x"], vec![the_b()], None));
    let first = store.db.read(ListOpen::new(1)).await.unwrap();
    assert_eq!((ids(&first.messages), first.damaged), (vec![], vec![the_b()]));
    let rest = ListOpen { after: first.next, ..ListOpen::new(1) };
    let rest = store.db.read(rest).await.unwrap();
    assert_eq!((ids(&rest.messages), rest.damaged, rest.next), (vec!["x"], vec![], None));
    // A recovery of expired drafts, long after their leases, reports the ones that it could not settle, and continues.
    let in_an_hour = || Timestamp::now().plus(Duration::from_secs(3600));
    let later = Persistence::builder().clock(in_an_hour);
    let later = later.backend(SqliteBackend::open(&store.path).await.unwrap()).build().unwrap();
    let recovered = later.recover_expired_drafts("gone").await.unwrap();
    assert_eq!(recovered.abandoned, [("u".parse().unwrap(), "x".parse().unwrap())]);
    assert_eq!(recovered.failed.len(), 1);
    is_damage_of_b(&recovered.failed[0]);
}

#[tokio::test]
async fn a_damaged_message_is_reported_once_and_does_not_hide_others() {
    let store = store(false).await;
    let sql = "UPDATE messages SET role = 'invalid' WHERE seq = 2";
    Connection::open(&store.path).unwrap().execute(sql, []).unwrap();
    let thread = store.db.thread("t");
    for (from, ends) in [(PageFrom::Start, ["a", "c"]), (PageFrom::End, ["c", "a"])] {
        let mut walk = thread.walk(from, Visibility::Final);
        assert_eq!(walk.next().await.unwrap().unwrap().id.as_str(), ends[0]);
        is_damage_of_b(&walk.next().await.unwrap_err());
        assert_eq!(walk.next().await.unwrap().unwrap().id.as_str(), ends[1]);
        assert_eq!(walk.next().await.unwrap(), None);
    }
    let history = thread.history(None, 10).await.unwrap();
    assert_eq!((ids(&history.messages), history.damaged), (vec!["a", "c"], vec![the_b()]));
    let recalled = thread.recall(None, 10).await.unwrap();
    assert_eq!((ids(&recalled.messages), recalled.damaged), (vec!["c", "a"], vec![the_b()]));
    is_damage_of_b(&thread.fork(&"c".parse().unwrap(), NewThread::new()).await.unwrap_err());
}

#[tokio::test]
async fn a_fork_at_a_message_before_the_damage_succeeds() {
    let store = store(false).await;
    Connection::open(&store.path)
        .unwrap()
        .execute("UPDATE messages SET role = 'x' WHERE seq = 2", [])
        .unwrap();
    let fork = store.db.thread("t").fork(&"a".parse().unwrap(), NewThread::new()).await.unwrap();
    assert_eq!(fork.messages, 1);
}

#[tokio::test]
async fn an_invalid_state_is_damage_and_not_absence() {
    let store = store(false).await;
    let change =
        "PRAGMA ignore_check_constraints = 1; UPDATE messages SET state = 'finbl' WHERE message_id = 'b'";
    Connection::open(&store.path).unwrap().execute_batch(change).unwrap();
    let history = store.db.thread("t").history(None, 10).await.unwrap();
    assert_eq!((ids(&history.messages), history.damaged), (vec!["a", "c"], vec![the_b()]));
}
