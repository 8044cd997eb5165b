//! Repair of a damaged message: deleted with a tombstone, or restored from a copy, through the pipeline.

use std::path::{Path, PathBuf};

use rusqlite::Connection;
use tempfile::TempDir;
use throughline_core::{
    Content, Delta, Effect, ErrorKind, Message, MessageId, NewMessage, NewReservation, Persistence, Position,
    Role, Seq,
    changes::{ChangeKind, ChangeScope, ThreadEvent, ThreadStream},
    messages::{ContentChange, ImportRow, ImportedRow, PageFrom, Reserve, UpdateMode, Visibility},
    threads::{Keep, PurgeThread},
};
use throughline_sqlite::{Maintenance, SqliteBackend};

struct Store {
    _directory: TempDir,
    path: PathBuf,
    maintenance: Maintenance,
    db: Persistence,
}

fn id(id: &str) -> MessageId {
    id.parse().unwrap()
}

async fn open(path: &Path) -> (Maintenance, Persistence) {
    let backend = SqliteBackend::open(path).await.unwrap();
    let maintenance = backend.maintenance();
    (maintenance, Persistence::builder().backend(backend).build().unwrap())
}

/// Returns three final messages of the user, of which the store cannot read `b`, and the original `b`.
async fn store(damage: &str) -> (Store, Message) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("chat.db");
    let (maintenance, db) = open(&path).await;
    let thread = db.thread("t");
    for name in ["a", "b", "c"] {
        thread.add(NewMessage::user(name).with_id(id(name))).await.unwrap();
    }
    let whole = thread.get(id("b")).await.unwrap().unwrap();
    let changed = Connection::open(&path).unwrap().execute(damage, []).unwrap();
    assert_eq!(changed, 1, "{damage}");
    assert_eq!(thread.get(id("b")).await.unwrap_err().kind(), ErrorKind::Corrupt, "{damage}");
    (Store { _directory: directory, path, maintenance, db }, whole)
}

const DAMAGES: [&str; 4] = [
    r#"UPDATE messages SET content = '[{"type":"text","text":"B"}]' WHERE message_id = 'b'"#,
    "UPDATE messages SET role = 'invalid' WHERE message_id = 'b'",
    "UPDATE messages SET content = CAST(x'ff' AS TEXT) WHERE message_id = 'b'",
    "UPDATE messages SET appends = 1 WHERE message_id = 'b'",
];

/// Damage of the sequence number: `b` has lost it, or has one that the thread has not assigned.
const LOST: [&str; 4] = [
    "UPDATE messages SET seq = NULL WHERE message_id = 'b'",
    "UPDATE messages SET seq = 4 WHERE message_id = 'b'",
    "UPDATE messages SET seq = 900 WHERE message_id = 'b'",
    "UPDATE messages SET seq = 9223372036854775807 WHERE message_id = 'b'",
];

/// Changes a row and none of its indexes, as a bit that flips on the disk does.
fn damage_row(path: &Path, index: &str, sql: &str) {
    const WRITABLE: &str = "PRAGMA writable_schema = ON";
    let raw = Connection::open(path).unwrap();
    raw.execute_batch(WRITABLE).unwrap();
    let taken = "DELETE FROM sqlite_schema WHERE name = ?1 RETURNING rootpage, sql";
    let read = |row: &rusqlite::Row<'_>| Ok((row.get(0)?, row.get(1)?));
    let (page, definition): (i64, String) = raw.query_row(taken, [index], read).unwrap();
    drop(raw);
    assert_eq!(Connection::open(path).unwrap().execute(sql, []).unwrap(), 1, "{sql}");
    let raw = Connection::open(path).unwrap();
    raw.execute_batch(WRITABLE).unwrap();
    let back = "INSERT INTO sqlite_schema (type, name, tbl_name, rootpage, sql) VALUES ('index', ?1, 'messages', ?2, ?3)";
    raw.execute(back, (index, page, definition)).unwrap();
}

/// Returns the names, the revisions and the texts of the messages in the next events.
async fn shown(stream: &mut ThreadStream) -> Vec<(&'static str, u64, String)> {
    let mut shown = Vec::new();
    while let Some(next) = stream.next_now().await.unwrap() {
        let name = next.event.as_str();
        match next.event {
            ThreadEvent::Added(message) | ThreadEvent::Edited(message) => {
                shown.push((name, message.revision.get(), message.text()));
            }
            other => panic!("{other:?}"),
        }
    }
    shown
}

async fn ids(db: &Persistence) -> Vec<String> {
    let page = db.thread("t").page(PageFrom::Start, 10).await.unwrap();
    page.into_messages().unwrap().iter().map(|message| message.id.to_string()).collect()
}

#[tokio::test]
async fn a_deleted_damaged_message_leaves_a_sound_store() {
    for damage in DAMAGES {
        let (store, _) = store(damage).await;
        let thread = store.db.thread("t");
        let deleted = thread.delete_damaged(id("b")).key("repair").await.unwrap();
        assert_eq!(
            (deleted.id, deleted.seq, deleted.attachments),
            (id("b"), Seq::new(2), vec![]),
            "{damage}"
        );
        assert!(thread.delete_damaged(id("b")).key("repair").await.unwrap().deduplicated, "{damage}");
        assert_eq!(thread.get(id("b")).await.unwrap(), None, "{damage}");
        assert_eq!(ids(&store.db).await, ["a", "c"], "{damage}");
        let entry = thread.summary().await.unwrap().unwrap();
        assert_eq!((entry.messages, entry.turns), (2, 2), "{damage}");
        let again = thread.add(NewMessage::user("b").with_id(id("b"))).await.unwrap_err();
        assert_eq!((again.kind(), again.effect()), (ErrorKind::Gone, Effect::NotApplied), "{damage}");
        let mut changes = store.db.changes(ChangeScope::Tenant, Position::new(3));
        assert!(
            matches!(changes.next().await.unwrap().kind, ChangeKind::Deleted(gone) if gone.id == id("b"))
        );
        let found = store.maintenance.verify().await.unwrap();
        assert_eq!(found.damaged, [], "{damage}");
        thread.prune(Keep::everything().messages(1)).await.unwrap();
        assert_eq!(ids(&store.db).await, ["c"], "{damage}");
    }
}

/// A restored message has the first revision, as the damaged one had.
#[tokio::test]
async fn a_stream_shows_a_restored_copy_with_the_revision_that_it_has_shown() {
    for damage in DAMAGES {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("chat.db");
        let (_, db) = open(&path).await;
        let thread = db.thread("t");
        let mut stream = thread.follow(Position::ZERO);
        thread.add(NewMessage::user("b").with_id(id("b"))).await.unwrap();
        assert_eq!(shown(&mut stream).await, [("added", 1, "b".to_owned())]);
        let message = thread.get(id("b")).await.unwrap().unwrap();
        assert_eq!(Connection::open(&path).unwrap().execute(damage, []).unwrap(), 1);
        let copy = ImportRow::new(id("b"), Role::User, Content::text("copy"), message.created_at);
        thread.restore_damaged(vec![copy]).await.unwrap();
        assert_eq!(shown(&mut stream).await, [("edited", 1, "copy".to_owned())], "{damage}");
        // A reader that is behind sees the copy at the first change, and not again.
        assert_eq!(
            shown(&mut thread.follow(Position::ZERO)).await,
            [("added", 1, "copy".to_owned())],
            "{damage}"
        );
    }
}

#[tokio::test]
async fn a_restored_message_has_the_copied_content_and_its_sequence_number() {
    for damage in DAMAGES {
        let (store, whole) = store(damage).await;
        let thread = store.db.thread("t");
        let refused =
            store.db.run(throughline_core::messages::Import::new("t".parse().unwrap(), vec![row(&whole)]));
        assert_eq!(refused.await.unwrap_err().kind(), ErrorKind::Corrupt, "{damage}");
        let restored = thread.restore_damaged(vec![row(&whole)]).await.unwrap();
        assert_eq!(restored.rows, [ImportedRow::Restored(Seq::new(2))], "{damage}");
        assert_eq!(thread.get(id("b")).await.unwrap().unwrap(), whole, "{damage}");
        assert_eq!(ids(&store.db).await, ["a", "b", "c"], "{damage}");
        let entry = thread.summary().await.unwrap().unwrap();
        assert_eq!((entry.messages, entry.turns), (3, 3), "{damage}");
        let again = thread.restore_damaged(vec![row(&whole)]).await.unwrap();
        assert_eq!(again.rows, [ImportedRow::Present(Seq::new(2))], "{damage}");
        assert_eq!(store.maintenance.verify().await.unwrap().damaged, [], "{damage}");
        store.db.close().await.unwrap();
        let (_, db) = open(&store.path).await;
        assert_eq!(db.thread("t").get(id("b")).await.unwrap().unwrap(), whole, "{damage}");
    }
}

#[tokio::test]
async fn a_message_without_a_sequence_number_of_its_thread_is_neither_deleted_nor_restored() {
    for damage in LOST {
        let (store, whole) = store(damage).await;
        let thread = store.db.thread("t");
        let refused = [
            thread.delete_damaged(id("b")).await.unwrap_err(),
            thread.restore_damaged(vec![row(&whole)]).await.unwrap_err(),
            thread.delete(id("b")).await.unwrap_err(),
        ];
        for error in refused {
            assert_eq!(
                (error.kind(), error.effect()),
                (ErrorKind::Corrupt, Effect::NotApplied),
                "{damage}: {error}"
            );
            assert_eq!(error.message(), Some(&id("b")), "{damage}: {error}");
        }
        assert_eq!(thread.get(id("b")).await.unwrap_err().kind(), ErrorKind::Corrupt, "{damage}");
        // The other operation of the transaction succeeds.
        let (refused, added) =
            tokio::join!(thread.delete_damaged(id("b")), store.db.thread("u").add(NewMessage::user("x")),);
        assert_eq!(refused.unwrap_err().kind(), ErrorKind::Corrupt, "{damage}");
        added.unwrap();
        // A message with a wrong number is removed with the others of its thread; one that has lost its number stays.
        thread.clear().await.unwrap();
        store.db.on_thread(purge()).await.unwrap();
        assert_eq!(ids(&store.db).await, [""; 0], "{damage}");
        assert_eq!(messages_with_content(&store.path), i64::from(damage == LOST[0]), "{damage}");
    }
}

#[tokio::test]
async fn a_damaged_last_message_is_repaired_at_its_sequence_number() {
    for repair_by_deletion in [true, false] {
        let (store, _) = store(DAMAGES[0]).await;
        let thread = store.db.thread("t");
        let whole = thread.get(id("c")).await.unwrap().unwrap();
        let damage = "UPDATE messages SET role = 'invalid' WHERE message_id = 'c'";
        assert_eq!(Connection::open(&store.path).unwrap().execute(damage, []).unwrap(), 1);
        if repair_by_deletion {
            assert_eq!(thread.delete_damaged(id("c")).await.unwrap().seq, Seq::new(3));
        } else {
            let restored = thread.restore_damaged(vec![row(&whole)]).await.unwrap();
            assert_eq!(restored.rows, [ImportedRow::Restored(Seq::new(3))]);
        }
        assert_eq!(thread.add(NewMessage::user("d")).await.unwrap().message.seq, Seq::new(4));
    }
}

#[tokio::test]
async fn a_tail_read_after_a_second_repair_begins_again() {
    let (store, whole) = store(DAMAGES[0]).await;
    let thread = store.db.thread("t");
    let restore = async |text: &str| {
        let copy = ImportRow { content: Content::text(text), ..row(&whole) };
        let restored = thread.restore_damaged(vec![copy]).await.unwrap();
        assert_eq!(restored.rows, [ImportedRow::Restored(Seq::new(2))]);
    };
    restore("the first copy").await;
    let first = thread.read_content(id("b"), None).await.unwrap().unwrap();
    assert_eq!(first.parts, [Delta::text("the first copy")]);
    assert_eq!(Connection::open(&store.path).unwrap().execute(DAMAGES[0], []).unwrap(), 1);
    restore("the other copy is longer").await;
    let second = thread.read_content(id("b"), Some(first.next)).await.unwrap().unwrap();
    assert_eq!((second.replaced, &*second.parts), (true, &[Delta::text("the other copy is longer")][..]));
    let third = thread.read_content(id("b"), Some(second.next)).await.unwrap().unwrap();
    assert_eq!((third.replaced, third.parts.len()), (false, 0));
}

/// The index and the row contradict each other, and the store cannot know which of them is right.
#[tokio::test]
async fn a_message_that_contradicts_its_index_is_corrupt_until_a_rebuild() {
    for damage in [
        "UPDATE messages SET seq = 3 WHERE message_id = 'b'",
        "UPDATE messages SET segment = segment + 1 WHERE message_id = 'b'",
    ] {
        let (store, _) = store(DAMAGES[1]).await;
        damage_row(&store.path, "messages_in_order", damage);
        let thread = store.db.thread("t");
        for _ in 0..2 {
            let (refused, added) = tokio::join!(
                thread.delete_damaged(id("b")),
                store.db.thread("u").add(NewMessage::user("x")),
            );
            let error = refused.unwrap_err();
            assert_eq!(
                (error.kind(), error.effect()),
                (ErrorKind::Corrupt, Effect::NotApplied),
                "{damage}: {error}"
            );
            added.unwrap();
        }
        store.db.close().await.unwrap();
        let made = Connection::open(&store.path).unwrap().execute_batch("REINDEX messages_in_order");
        if damage.contains("seq = 3") {
            // Two rows have one sequence number: only a backup helps.
            made.unwrap_err();
            continue;
        }
        made.unwrap();
        let (_, db) = open(&store.path).await;
        db.thread("t").rebuild_summary().await.unwrap();
        db.thread("t").delete_damaged(id("b")).await.unwrap();
        assert_eq!(ids(&db).await, ["a", "c"], "{damage}");
        assert_eq!(messages_with_content(&store.path), 2, "{damage}");
    }
}

/// Returns how many rows of the thread `t` still have content.
fn messages_with_content(path: &Path) -> i64 {
    let rows = "SELECT count(*) FROM messages m NOT INDEXED JOIN threads t USING (thread_pk) \
                WHERE t.thread = 't' AND m.content <> '[]'";
    Connection::open(path).unwrap().query_row(rows, [], |row| row.get(0)).unwrap()
}

fn purge() -> PurgeThread {
    PurgeThread { thread: "t".parse().unwrap(), limit: 100 }
}

fn row(message: &Message) -> ImportRow {
    ImportRow::of(message.clone()).unwrap()
}

/// Returns an open message whose appends are damaged, while its row is not.
async fn streaming() -> Store {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("chat.db");
    let (maintenance, db) = open(&path).await;
    let thread = db.thread("t");
    let reservation = NewReservation::new(Role::Assistant).with_id(id("open"));
    db.run(Reserve::new("t".parse().unwrap(), reservation)).await.unwrap();
    for text in ["Hel", "lo", "!"] {
        let change = ContentChange::Append(Delta::text(text));
        thread.update_content(id("open"), change, UpdateMode::Partial).await.unwrap();
    }
    let raw = Connection::open(&path).unwrap();
    assert_eq!(raw.execute("UPDATE appends SET delta = 'lO' WHERE n = 2", []).unwrap(), 1);
    Store { _directory: directory, path, maintenance, db }
}

#[tokio::test]
async fn an_open_message_with_a_damaged_append_is_repaired_with_all_of_its_appends() {
    let store = streaming().await;
    store.db.thread("t").delete_damaged(id("open")).await.unwrap();
    assert_eq!(store.maintenance.verify().await.unwrap().damaged, []);

    let store = streaming().await;
    let copy = ImportRow::new(
        id("open"),
        Role::Assistant,
        Content::text("Hello!"),
        throughline_core::Timestamp::now(),
    );
    store.db.thread("t").restore_damaged(vec![copy]).await.unwrap();
    let page = store.db.thread("t").page_showing(PageFrom::Start, 10, Visibility::Final).await.unwrap();
    assert_eq!(page.messages[0].content, Content::text("Hello!"));
    assert_eq!(store.db.thread("t").summary().await.unwrap().unwrap().messages, 1);
    assert_eq!(store.maintenance.verify().await.unwrap().damaged, []);
    let raw = Connection::open(&store.path).unwrap();
    let appends: i64 = raw.query_row("SELECT count(*) FROM appends", [], |row| row.get(0)).unwrap();
    assert_eq!(appends, 0);
}

#[tokio::test]
async fn a_repair_in_a_batch_that_is_refused_changes_nothing() {
    let (store, _) = store(DAMAGES[0]).await;
    let batch = throughline_core::messages::Batch::new()
        .with(throughline_core::messages::Delete::damaged("t".parse().unwrap(), id("b")))
        .with(throughline_core::messages::Delete::damaged("t".parse().unwrap(), id("a")));
    let error = store.db.batch(batch).await.unwrap_err();
    assert_eq!((error.kind(), error.effect()), (ErrorKind::Conflict, Effect::NotApplied));
    assert_eq!(store.db.thread("t").get(id("b")).await.unwrap_err().kind(), ErrorKind::Corrupt);
    assert_eq!(store.db.thread("t").summary().await.unwrap().unwrap().messages, 3);
}
