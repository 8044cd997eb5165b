//! Indexes with damage, and the copy of the rows to a file with new indexes.

use std::{
    collections::BTreeSet,
    fs,
    io::{Seek as _, SeekFrom, Write as _},
    path::{Path, PathBuf},
    time::Duration,
};

use rusqlite::Connection;
use tempfile::TempDir;
use throughline_core::{
    Delta, Effect, ErrorKind, Labels, Message, MessageId, NewMessage, NewReservation, PersistArgs,
    Persistence, Position, Role, ThreadId,
    changes::{ChangeScope, ReadChanges},
    messages::{
        Add, Batch, ContentChange, ImportRow, ImportedRow, PageFrom, Reserve, UpdateMode, Visibility,
    },
    replication::{BeginCapture, ReadImages},
    search::SearchMessages,
    threads::{LabelPatch, ListThreads},
};
use throughline_layers::audit::{AuditKey, AuditLayer, verify};
use throughline_sqlite::{Damage, Maintenance, Part, SqliteBackend};
use tokio::time::timeout;

struct Store {
    directory: TempDir,
    path: PathBuf,
}

fn id(id: &str) -> MessageId {
    id.parse().unwrap()
}

async fn open(path: &Path) -> (Maintenance, Persistence) {
    let backend = SqliteBackend::open(path).await.unwrap();
    (backend.maintenance(), Persistence::builder().backend(backend).build().unwrap())
}

/// The messages of each thread in [`store`].
const MESSAGES: usize = 300;

/// Returns a closed store whose indexes have several pages: two threads with a label, messages `m0` to `m299`, an open
/// message with chunks, and a deleted message.
async fn store() -> Store {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("chat.db");
    let (_, db) = open(&path).await;
    for name in ["t", "u"] {
        let thread = db.thread(name);
        let adds: Vec<PersistArgs> = (0..MESSAGES)
            .map(|n| {
                let message = NewMessage::user(&format!("{name} says {n}")).with_id(id(&format!("m{n}")));
                Add::new(name.parse().unwrap(), message).into()
            })
            .collect();
        for adds in adds.chunks(10) {
            db.batch(Batch::of(adds.to_vec())).await.unwrap();
        }
        thread.label(LabelPatch::new().set("project", "atlas").unwrap()).await.unwrap();
        thread.delete(id("m7")).await.unwrap();
    }
    db.run(Reserve::new("t".parse().unwrap(), NewReservation::new(Role::Assistant).with_id(id("open"))))
        .await
        .unwrap();
    let change = ContentChange::Append(Delta::text("Hel"));
    db.thread("t").update_content(id("open"), change, UpdateMode::Partial).await.unwrap();
    db.close().await.unwrap();
    Store { directory, path }
}

async fn messages(db: &Persistence, thread: &str) -> Vec<Message> {
    let thread = db.thread(thread);
    let mut walk = thread.walk(PageFrom::Start, Visibility::All);
    let mut found = Vec::new();
    while let Some(message) = walk.next().await.unwrap() {
        found.push(message);
    }
    found
}

/// Returns what the store answers about its threads and changes.
async fn everything(db: &Persistence) -> String {
    let changes = db.read(ReadChanges::new(ChangeScope::Store, Position::ZERO, 1000)).await.unwrap();
    let summaries = [db.thread("t").summary().await.unwrap(), db.thread("u").summary().await.unwrap()];
    format!("{:?} {:?} {changes:?} {summaries:?}", messages(db, "t").await, messages(db, "u").await)
}

/// Overwrites every page of a b-tree, or its leaves only.
fn overwrite(path: &Path, index: &str, leaves_only: bool, byte: u8) {
    let (size, pages) = {
        let look = Connection::open(path).unwrap();
        let size: u32 = look.query_row("PRAGMA page_size", [], |row| row.get(0)).unwrap();
        let sql = "SELECT pageno FROM dbstat WHERE name = ?1 AND (NOT ?2 OR pagetype = 'leaf')";
        let mut statement = look.prepare(sql).unwrap();
        let pages = statement.query_map((index, leaves_only), |row| row.get(0)).unwrap();
        (size, pages.map(Result::unwrap).collect::<Vec<u32>>())
    };
    assert!(!pages.is_empty(), "{index}");
    let mut file = fs::File::options().write(true).open(path).unwrap();
    for page in pages {
        file.seek(SeekFrom::Start(u64::from(page - 1) * u64::from(size))).unwrap();
        file.write_all(&vec![byte; size as usize]).unwrap();
    }
}

/// Removes the entries of a message from an index and leaves its row, as damage of a page does.
fn hide(store: &Store, index: &str, message: &str) {
    const CLAUSE: &str = ",\n    UNIQUE (message_id, thread_pk)";
    let aside = store.directory.path().join("aside.db");
    let connect = || {
        let raw = Connection::open(&store.path).unwrap();
        raw.execute_batch("PRAGMA foreign_keys = OFF; PRAGMA writable_schema = ON").unwrap();
        raw.execute("ATTACH ?1 AS aside", [aside.to_str().unwrap()]).unwrap();
        raw
    };
    // The row leaves the table and all indexes.
    connect()
        .execute_batch(&format!(
            "CREATE TABLE aside.kept AS SELECT * FROM messages WHERE message_id = '{message}'; \
             DELETE FROM messages WHERE message_id = '{message}'"
        ))
        .unwrap();
    // It returns while SQLite does not know the index. That of the ids is a part of the table.
    let is_of_ids = index.starts_with("sqlite_autoindex");
    let raw = connect();
    let taken = "DELETE FROM sqlite_schema WHERE name = ?1 RETURNING rootpage, sql";
    let (page, sql): (i64, Option<String>) =
        raw.query_row(taken, [index], |row| Ok((row.get(0)?, row.get(1)?))).unwrap();
    let with = "UPDATE sqlite_schema SET sql = replace(sql, ?1, ?2) WHERE name = 'messages'";
    if is_of_ids {
        assert_eq!(raw.execute(with, [CLAUSE, ""]).unwrap(), 1);
    }
    drop(raw);
    connect().execute_batch("INSERT INTO messages SELECT * FROM aside.kept").unwrap();
    let raw = connect();
    if is_of_ids {
        let end = "\n) STRICT";
        assert_eq!(raw.execute(with, [end, &format!("{CLAUSE}{end}")]).unwrap(), 1);
    }
    let back = "INSERT INTO sqlite_schema (type, name, tbl_name, rootpage, sql) VALUES ('index', ?1, 'messages', ?2, ?3)";
    raw.execute(back, (index, page, sql)).unwrap();
    raw.execute_batch("DETACH aside").unwrap();
    drop(raw);
    fs::remove_file(aside).unwrap();
}

const OF_IDS: &str = "sqlite_autoindex_messages_1";
const OF_ORDER: &str = "messages_in_order";

fn key() -> AuditKey {
    AuditKey::new(&[7; 32])
}

fn names(directory: &Path) -> BTreeSet<String> {
    let name = |entry: fs::DirEntry| entry.file_name().into_string().unwrap();
    fs::read_dir(directory).unwrap().map(|entry| name(entry.unwrap())).collect()
}

/// Returns the rebuilt store and the threads that its verification names.
async fn rebuilt(store: &Store) -> (PathBuf, Vec<(Part, String)>) {
    let copy = store.directory.path().join("rebuilt.db");
    let (maintenance, db) = open(&store.path).await;
    let rebuilt = maintenance.rebuild_into(&copy).await.unwrap();
    db.close().await.unwrap();
    assert_eq!((&rebuilt.path, rebuilt.bytes), (&copy, fs::metadata(&copy).unwrap().len()));
    assert_eq!(rebuilt.verification.messages, 2 * (MESSAGES as u64 - 1) + 1);
    let named =
        |damage: &Damage| (damage.part, damage.thread.as_ref().map_or("", ThreadId::as_str).to_owned());
    (copy, rebuilt.verification.damaged.iter().map(named).collect())
}

#[tokio::test]
async fn every_damaged_index_is_built_again_and_no_row_is_lost() {
    for index in [
        OF_IDS,
        OF_ORDER,
        "messages_open",
        "sqlite_autoindex_threads_1",
        "catalog_by_activity",
        "catalog_by_creation",
        "labels",
        "labels_of_thread",
        "sqlite_autoindex_idempotency_1",
    ] {
        for (leaves_only, byte) in [(true, 0), (false, 0xff)] {
            let store = store().await;
            let (_, db) = open(&store.path).await;
            let before = everything(&db).await;
            db.close().await.unwrap();
            overwrite(&store.path, index, leaves_only, byte);
            let damaged = fs::read(&store.path).unwrap();
            let (copy, damage) = rebuilt(&store).await;
            assert_eq!(damage, [], "{index}");
            let (maintenance, db) = open(&copy).await;
            assert!(everything(&db).await == before, "{index}");
            let mut labels = Labels::new();
            labels.set("project".parse().unwrap(), "atlas".parse().unwrap());
            let labeled = db.read(ListThreads::new(10).with_labels(labels)).await.unwrap();
            assert_eq!(labeled.threads.len(), 2, "{index}");
            assert_eq!(db.thread("t").get(id("m299")).await.unwrap().unwrap().seq.get(), 300, "{index}");
            db.thread("t").add(NewMessage::user("more")).await.unwrap();
            assert!(maintenance.verify().await.unwrap().is_sound(), "{index}");
            assert_eq!(fs::read(&store.path).unwrap(), damaged, "the store itself is unchanged");
        }
    }
}

#[tokio::test]
async fn a_damaged_table_of_the_order_is_repaired_thread_by_thread() {
    let store = store().await;
    let (_, db) = open(&store.path).await;
    let before = [messages(&db, "t").await, messages(&db, "u").await];
    db.close().await.unwrap();
    overwrite(&store.path, "thread_segments", false, 0xff);
    let (copy, damage) = rebuilt(&store).await;
    let threads: BTreeSet<_> =
        damage.iter().filter(|(part, _)| *part == Part::Thread).map(|(_, thread)| thread.as_str()).collect();
    assert_eq!(threads, BTreeSet::from(["t", "u"]), "{damage:?}");
    let (maintenance, db) = open(&copy).await;
    for thread in threads {
        db.thread(thread).rebuild_summary().await.unwrap();
    }
    assert_eq!(messages(&db, "t").await.len(), MESSAGES);
    assert!(maintenance.verify().await.unwrap().is_sound());
    assert_eq!([messages(&db, "t").await, messages(&db, "u").await], before);
}

#[tokio::test]
async fn a_message_that_the_index_of_ids_omits_is_neither_restored_nor_deleted_until_a_rebuild() {
    let store = store().await;
    hide(&store, OF_IDS, "m8");
    let (maintenance, db) = open(&store.path).await;
    let thread = db.thread("t");
    assert_eq!(thread.get(id("m8")).await.unwrap(), None, "a read does not notice it");
    let whole = messages(&db, "t").await.into_iter().find(|message| message.id == id("m8")).unwrap();
    let row = || ImportRow::of(whole.clone()).unwrap();
    for error in [
        thread.delete_damaged(id("m8")).await.unwrap_err(),
        thread.restore_damaged(vec![row()]).await.unwrap_err(),
    ] {
        assert_eq!((error.kind(), error.effect()), (ErrorKind::Corrupt, Effect::NotApplied), "{error}");
        assert_eq!(error.message(), Some(&id("m8")), "{error}");
    }
    // One that was never there is missing.
    assert_eq!(thread.delete_damaged(id("m900")).await.unwrap_err().kind(), ErrorKind::NotFound);
    assert!(!maintenance.verify().await.unwrap().is_sound());
    db.close().await.unwrap();
    let (copy, damage) = rebuilt(&store).await;
    assert_eq!(damage, []);
    let (_, db) = open(&copy).await;
    assert_eq!(db.thread("t").get(id("m8")).await.unwrap().unwrap(), whole);
    let restored = db.thread("t").restore_damaged(vec![row()]).await.unwrap();
    assert_eq!(restored.rows, [ImportedRow::Present(whole.seq)]);
}

#[tokio::test]
async fn a_summary_is_not_computed_without_messages_that_the_index_of_the_order_omits() {
    let store = store().await;
    hide(&store, OF_ORDER, "m8");
    let (_, db) = open(&store.path).await;
    let thread = db.thread("t");
    let omitted = messages(&db, "t").await;
    assert!(omitted.iter().all(|message| message.id != id("m8")), "a page does not notice it");
    let error = thread.rebuild_summary().await.unwrap_err();
    assert_eq!((error.kind(), error.effect()), (ErrorKind::Corrupt, Effect::NotApplied), "{error}");
    assert_eq!(thread.summary().await.unwrap().unwrap().messages, MESSAGES as u64 - 1);
    db.close().await.unwrap();
    let (copy, damage) = rebuilt(&store).await;
    assert_eq!(damage, []);
    let (_, db) = open(&copy).await;
    assert_eq!(messages(&db, "t").await.len(), omitted.len() + 1);
    db.thread("t").rebuild_summary().await.unwrap();
}

#[tokio::test]
async fn a_second_row_under_one_id_refuses_a_rebuild() {
    let store = store().await;
    hide(&store, OF_IDS, "m8");
    let (maintenance, db) = open(&store.path).await;
    db.thread("t").add(NewMessage::user("again").with_id(id("m8"))).await.unwrap();
    let before = names(store.directory.path());
    let error = maintenance.rebuild_into(store.directory.path().join("rebuilt.db")).await.unwrap_err();
    assert_eq!((error.kind(), error.effect()), (ErrorKind::Corrupt, Effect::NotApplied));
    assert!(error.detail().contains("table `messages` has the same key as an earlier row"), "{error}");
    assert_eq!(names(store.directory.path()), before);
}

/// Changes a row of a table as if its columns had no type.
fn change_untyped(path: &Path, table: &str, sql: &str) {
    let connect = || {
        let raw = Connection::open(path).unwrap();
        raw.execute_batch("PRAGMA foreign_keys = OFF; PRAGMA writable_schema = ON").unwrap();
        raw
    };
    let definition = "UPDATE sqlite_schema SET sql = ?1 WHERE type = 'table' AND name = ?2";
    let raw = connect();
    let typed: String =
        raw.query_row("SELECT sql FROM sqlite_schema WHERE name = ?1", [table], |row| row.get(0)).unwrap();
    let untyped = typed.replace(") STRICT,", ")").replace(") STRICT", ")");
    assert_eq!(raw.execute(definition, [&untyped, table]).unwrap(), 1);
    drop(raw);
    assert_eq!(connect().execute(sql, []).unwrap(), 1, "{sql}");
    assert_eq!(connect().execute(definition, [&typed, table]).unwrap(), 1);
}

#[tokio::test]
async fn a_row_with_a_column_of_another_type_refuses_a_rebuild_by_its_number() {
    for (table, sql, row) in [
        ("messages", "UPDATE messages SET role = x'00' WHERE message_pk = 9", "the row 9"),
        ("changes", "UPDATE changes SET kind = x'00' WHERE rowid = 11", "the row 11"),
        ("labels", "UPDATE labels SET thread_pk = 'x' WHERE thread_pk = 1", "a row"),
    ] {
        let store = store().await;
        change_untyped(&store.path, table, sql);
        let (maintenance, _db) = open(&store.path).await;
        let before = names(store.directory.path());
        let error = maintenance.rebuild_into(store.directory.path().join("rebuilt.db")).await.unwrap_err();
        assert_eq!((error.kind(), error.effect()), (ErrorKind::Corrupt, Effect::NotApplied), "{error}");
        let due = format!("the rebuild failed: {row} of the table `{table}` is damaged (cannot store ");
        assert!(error.detail().starts_with(&due), "{error}");
        assert_eq!(names(store.directory.path()), before);
    }
}

#[tokio::test]
async fn a_table_that_cannot_be_read_refuses_a_rebuild() {
    for table in ["messages", "changes"] {
        let store = store().await;
        overwrite(&store.path, table, true, 0);
        let (maintenance, _db) = open(&store.path).await;
        let before = names(store.directory.path());
        let error = maintenance.rebuild_into(store.directory.path().join("rebuilt.db")).await.unwrap_err();
        assert_eq!((error.kind(), error.effect()), (ErrorKind::Corrupt, Effect::NotApplied), "{error}");
        assert!(error.detail().contains(&format!("table `{table}` cannot be read")), "{error}");
        assert_eq!(names(store.directory.path()), before);
    }
}

#[tokio::test]
async fn an_audit_log_and_a_running_capture_survive_a_rebuild() {
    let directory = tempfile::tempdir().unwrap();
    let (path, copy) = (directory.path().join("chat.db"), directory.path().join("rebuilt.db"));
    let open = async |path: &Path| {
        let backend = SqliteBackend::builder().search(true).open(path).await.unwrap();
        let maintenance = backend.maintenance();
        let db = Persistence::builder().layer(AuditLayer::new(key())).backend(backend).build().unwrap();
        (maintenance, db)
    };
    let (maintenance, db) = open(&path).await;
    let cursor = db.on_replica(BeginCapture::WHOLE).await.unwrap().cursor;
    db.thread("t").add(NewMessage::user("plums and damsons").with_id(id("a"))).await.unwrap();
    let images = db.read(ReadImages::new(cursor, 500)).await.unwrap();
    maintenance.rebuild_into(&copy).await.unwrap();
    db.close().await.unwrap();
    let (maintenance, db) = open(&copy).await;
    assert_eq!(verify(&db, &key(), &[]).await.unwrap().flaw, None);
    let copied = db.read(ReadImages::new(cursor, 500)).await.unwrap();
    assert_eq!((copied.images, copied.cursor), (images.images, images.cursor));
    db.thread("t").add(NewMessage::user("later").with_id(id("b"))).await.unwrap();
    let after = db.read(ReadImages::new(images.cursor, 500)).await.unwrap();
    assert!(after.images.len() > 1, "the triggers record rows: {after:?}");
    // The store builds the full-text index again.
    let found = async {
        while db.read(SearchMessages::new("damsons", 10)).await.unwrap().hits.len() != 1 {
            tokio::task::yield_now().await;
        }
    };
    timeout(Duration::from_secs(60), found).await.unwrap();
    assert!(maintenance.verify().await.unwrap().is_sound());
}
