//! A store that is opened to be read changes no file, and reads what others write.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    time::SystemTime,
};

use rusqlite::Connection;
use tempfile::TempDir;
use throughline_core::{
    Effect, ErrorKind, Message, NewMessage, NewReservation, Persistence, Position, Role,
    changes::{ChangeScope, ReadChanges},
    messages::{PageFrom, Reserve},
    search::SearchMessages,
    threads::ListThreads,
};
use throughline_sqlite::{Condition, OpenError, SqliteBackend, SqliteOptions, SqliteReader};

/// Each file of a directory: its bytes and the time of its last change.
fn files(directory: &Path) -> BTreeMap<PathBuf, (Vec<u8>, SystemTime)> {
    let entries = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    let state = |path: &PathBuf| (fs::read(path).unwrap(), path.metadata().unwrap().modified().unwrap());
    entries.map(|path| (path.clone(), state(&path))).collect()
}

async fn write(path: &Path) -> Persistence {
    Persistence::builder().backend(SqliteBackend::open(path).await.unwrap()).build().unwrap()
}

async fn read(path: &Path) -> Persistence {
    Persistence::builder().backend(SqliteReader::open(path).await.unwrap()).build().unwrap()
}

async fn add(db: &Persistence, text: &str) {
    db.thread("t").add(NewMessage::user(text)).await.unwrap();
}

async fn texts(db: &Persistence) -> Vec<String> {
    let page = db.thread("t").page(PageFrom::Start, 100).await.unwrap();
    page.messages.iter().map(Message::text).collect()
}

/// A directory with a closed store that has the message `one`.
async fn closed() -> (TempDir, PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("chat.db");
    let db = write(&path).await;
    add(&db, "one").await;
    db.close().await.unwrap();
    (directory, path)
}

#[tokio::test]
async fn a_closed_store_is_read_without_a_change_of_any_file() {
    let (directory, path) = closed().await;
    let before = files(directory.path());
    let reader = read(&path).await;
    assert_eq!(texts(&reader).await, ["one"]);
    let list = reader.threads(ListThreads::new(10)).await.unwrap();
    assert_eq!((list.threads.len(), list.threads[0].messages), (1, 1));
    let read = ReadChanges::new(ChangeScope::Tenant, Default::default(), 10);
    assert_eq!(reader.read(read).await.unwrap().changes.len(), 1);
    // Also while it is open.
    assert_eq!(files(directory.path()), before);
    reader.close().await.unwrap();
    assert_eq!(files(directory.path()), before);
}

#[tokio::test]
async fn every_write_is_refused_as_unsupported() {
    let (directory, path) = closed().await;
    let before = files(directory.path());
    let reader = read(&path).await;
    let thread = reader.thread("t");
    let reserve = Reserve::new("t".parse().unwrap(), NewReservation::new(Role::Assistant));
    for error in [
        thread.add(NewMessage::user("two")).await.unwrap_err(),
        thread.add(NewMessage::user("two")).key("k").await.unwrap_err(),
        reader.run(reserve).await.unwrap_err(),
        thread.clear().await.unwrap_err(),
    ] {
        assert_eq!((error.kind(), error.effect()), (ErrorKind::Unsupported, Effect::NotApplied), "{error}");
    }
    assert_eq!(files(directory.path()), before);
}

#[tokio::test]
async fn a_reader_sees_each_write_of_a_store_that_is_opened_and_closed_meanwhile() {
    let (_directory, path) = closed().await;
    let reader = read(&path).await;
    let mut expected = vec!["one".to_owned()];
    for round in 0..3 {
        assert_eq!(texts(&reader).await, expected, "closed, round {round}");
        let db = write(&path).await;
        for number in 0..3 {
            let text = format!("{round}.{number}");
            add(&db, &text).await;
            expected.push(text);
            assert_eq!(texts(&reader).await, expected, "open, round {round}");
        }
        db.close().await.unwrap();
    }
    assert_eq!(texts(&reader).await, expected);
    // The store that was open last left no reader without its messages.
    let db = write(&path).await;
    assert_eq!(texts(&db).await, expected);
    db.close().await.unwrap();
}

#[tokio::test]
async fn a_store_after_a_crash_is_read_without_a_change_of_any_file() {
    let (_directory, path) = closed().await;
    let db = write(&path).await;
    add(&db, "two").await;
    // A process that is killed leaves the file, the WAL with its acknowledged writes, and the wal-index.
    let crashed = tempfile::tempdir().unwrap();
    for suffix in ["", "-wal", "-shm"] {
        let name = format!("chat.db{suffix}");
        fs::copy(path.with_file_name(&name), crashed.path().join(&name)).unwrap();
    }
    db.close().await.unwrap();
    let before = files(crashed.path());
    let copy = crashed.path().join("chat.db");
    let reader = read(&copy).await;
    assert_eq!(texts(&reader).await, ["one", "two"]);
    reader.close().await.unwrap();
    assert_eq!(files(crashed.path()), before);
    // The reader has left the recovery to the next writer.
    let db = write(&copy).await;
    assert_eq!(texts(&db).await, ["one", "two"]);
    db.close().await.unwrap();
}

#[tokio::test]
async fn a_wal_without_its_index_is_refused_and_not_recovered() {
    let (_directory, path) = closed().await;
    let db = write(&path).await;
    add(&db, "two").await;
    let copied = tempfile::tempdir().unwrap();
    for suffix in ["", "-wal"] {
        let name = format!("chat.db{suffix}");
        fs::copy(path.with_file_name(&name), copied.path().join(&name)).unwrap();
    }
    db.close().await.unwrap();
    let before = files(copied.path());
    let error = SqliteReader::open(copied.path().join("chat.db")).await.unwrap_err();
    assert!(matches!(error, OpenError::NoWalIndex { .. }), "{error}");
    assert_eq!(error.kind(), ErrorKind::Unsupported);
    assert_eq!(files(copied.path()), before);
}

#[tokio::test]
async fn a_file_that_is_no_store_of_this_version_is_refused_and_unchanged() {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name);
    fs::write(path("empty.db"), "").unwrap();
    fs::write(path("text.db"), "not a database".repeat(100)).unwrap();
    Connection::open(path("foreign.db")).unwrap().execute_batch("CREATE TABLE t (n)").unwrap();
    let (_kept, newer) = closed().await;
    fs::copy(&newer, path("newer.db")).unwrap();
    Connection::open(path("newer.db")).unwrap().pragma_update(None, "user_version", 1000).unwrap();
    for suffix in ["-wal", "-shm"] {
        drop(fs::remove_file(path(&format!("newer.db{suffix}"))));
    }
    let before = files(directory.path());
    let open = async |name| SqliteReader::open(path(name)).await.unwrap_err();
    let missing = open("missing.db").await;
    assert!(matches!(missing, OpenError::Missing { .. }), "{missing}");
    assert_eq!(missing.kind(), ErrorKind::NotFound);
    for name in ["empty.db", "text.db", "foreign.db"] {
        let error = open(name).await;
        assert!(matches!(error, OpenError::Foreign { .. }), "{name}: {error}");
    }
    let newer = open("newer.db").await;
    assert!(matches!(newer, OpenError::Newer { found: 1000, .. }), "{newer}");
    assert_eq!(files(directory.path()), before);
}

#[tokio::test]
async fn a_file_that_replaces_the_closed_store_is_read_next() {
    let (_directory, path) = closed().await;
    let (_other_directory, other) = closed().await;
    let db = write(&other).await;
    add(&db, "other").await;
    db.close().await.unwrap();
    let reader = read(&path).await;
    assert_eq!(texts(&reader).await, ["one"]);
    fs::rename(&other, &path).unwrap();
    assert_eq!(texts(&reader).await, ["one", "other"]);
}

#[tokio::test]
async fn a_search_needs_an_index_in_the_file() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("chat.db");
    let backend = SqliteOptions::new().search(true).open(&path).await.unwrap();
    let db = Persistence::builder().backend(backend).build().unwrap();
    add(&db, "a train to Lisbon").await;
    while db.search(SearchMessages::new("lisbon", 10)).await.unwrap().hits.is_empty() {
        tokio::task::yield_now().await;
    }
    db.close().await.unwrap();
    let reader = read(&path).await;
    assert_eq!(reader.search(SearchMessages::new("lisbon", 10)).await.unwrap().hits.len(), 1);
    let (_kept, without) = closed().await;
    let error = read(&without).await.search(SearchMessages::new("one", 10)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported);
}

#[tokio::test]
async fn the_name_of_the_file_may_have_reserved_characters_of_uris() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("a?b=1#c %41.db");
    let db = write(&path).await;
    add(&db, "one").await;
    assert_eq!(texts(&read(&path).await).await, ["one"]);
    db.close().await.unwrap();
    assert_eq!(texts(&read(&path).await).await, ["one"]);
}

#[tokio::test]
async fn the_maintenance_of_a_reader_verifies_measures_and_copies_without_a_change_of_any_file() {
    let (directory, path) = closed().await;
    let before = files(directory.path());
    let reader = SqliteReader::open(&path).await.unwrap();
    let maintenance = reader.maintenance();
    let verification = maintenance.verify().await.unwrap();
    assert!(verification.is_sound(), "{:?}", verification.damaged);
    assert_eq!((verification.messages, verification.changes), (1, 1));
    let storage = maintenance.storage().await.unwrap();
    assert_eq!((storage.schema, storage.wal_bytes, storage.position.get()), (5, 0, 1));
    assert_eq!(storage.file_bytes, path.metadata().unwrap().len());
    assert_eq!(storage.oldest_change.map(Position::get), Some(1));
    let tables = maintenance.tables().await.unwrap();
    let all: u64 = tables.iter().map(|table| table.bytes).sum();
    // The file has one page that records where the others are referred to.
    assert_eq!(all + storage.free_bytes + storage.page_bytes, storage.file_bytes, "{tables:?}");
    let health = maintenance.health();
    assert_eq!((health.condition, health.alarms.len()), (Condition::ReadOnly, 0));

    let elsewhere = tempfile::tempdir().unwrap();
    let copy = elsewhere.path().join("copy.db");
    let proven = maintenance.backup_proven(&copy).await.unwrap();
    assert_eq!((proven.position.get(), proven.verification.messages), (1, 1));
    assert!(proven.rows >= 3, "a thread, a message and a change: {}", proven.rows);
    assert_eq!(texts(&read(&copy).await).await, ["one"]);
    let refused = maintenance.backup_proven(&copy).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::AlreadyExists);
    assert_eq!(files(directory.path()), before);
}
