//! The files that open, those that are refused, and that refused files are unchanged.

use std::{
    fs,
    path::{Path, PathBuf},
};

use rusqlite::Connection;
use tempfile::TempDir;
use throughline_core::{
    Backend as _, Durability, ErrorKind, IndexedMetadata, NewMessage, PersistError, Persistence, Position,
    messages::PageFrom, replication::BeginCapture,
};
use throughline_sqlite::{OpenError, SqliteBackend, SqliteOptions};

struct File {
    _directory: TempDir,
    path: PathBuf,
}

fn file() -> File {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("chat.db");
    File { _directory: directory, path }
}

async fn open(path: &Path) -> Persistence {
    Persistence::builder().backend(SqliteBackend::open(path).await.unwrap()).build().unwrap()
}

async fn refused(path: &Path) -> OpenError {
    SqliteBackend::open(path).await.map(drop).unwrap_err()
}

/// Creates a store with one message in it, and closes it.
async fn written(path: &Path) {
    let db = open(path).await;
    db.thread("t").add(NewMessage::user("hello").with_id("m".parse().unwrap())).await.unwrap();
    db.close().await.unwrap();
}

async fn ids(db: &Persistence) -> Vec<String> {
    let page = db.thread("t").page(PageFrom::Start, 1000).await.unwrap();
    page.messages.iter().map(|message| message.id.as_str().to_owned()).collect()
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

#[tokio::test]
async fn a_written_message_survives_a_reopening() {
    let file = file();
    written(&file.path).await;
    let db = open(&file.path).await;
    assert_eq!(ids(&db).await, ["m"]);
    let reply = db.thread("t").add(NewMessage::user("again")).reply().await.unwrap();
    assert_eq!(reply.output.message.seq.get(), 2);
    assert_eq!(reply.receipt.position, Some(Position::new(2)));
}

#[tokio::test]
async fn the_pragmas_of_the_file_are_those_that_durability_needs() {
    let file = file();
    written(&file.path).await;
    let connection = Connection::open(&file.path).unwrap();
    let pragma = |name| connection.pragma_query_value(None, name, |row| row.get::<_, i64>(0)).unwrap();
    let mode: String = connection.pragma_query_value(None, "journal_mode", |row| row.get(0)).unwrap();
    assert_eq!((mode.as_str(), pragma("application_id"), pragma("user_version")), ("wal", 0x5468_724c, 5));
    let mut ledger = connection.prepare("SELECT id, name FROM migrations ORDER BY id").unwrap();
    let ledger = ledger.query_map([], |row| Ok((row.get::<_, i64>(0)?, row.get::<_, String>(1)?))).unwrap();
    let ledger: Vec<(i64, String)> = ledger.map(Result::unwrap).collect();
    let names = [
        "initial",
        "search_without_copies",
        "audit_counted_by_the_writer",
        "chunks_deleted_together",
        "vocabularies_of_shards",
    ];
    assert_eq!(ledger, [1, 2, 3, 4, 5].map(|id| (id, names[id as usize - 1].to_owned())));
}

#[tokio::test]
async fn name_and_capabilities_are_reported() {
    let backend = SqliteOptions::new().name("chat").max_content_bytes(1000).temporary().await.unwrap();
    assert_eq!(backend.name(), "chat");
    assert_eq!(
        backend.capabilities().to_string(),
        "survives power loss, several processes, idempotency keys, changes, audit, content up to 1000 bytes, every operation"
    );
    assert_eq!(backend.capabilities().durability, Durability::PowerLoss);
}

#[tokio::test]
async fn a_missing_directory_is_named() {
    let file = file();
    let path = file.path.join("none").join("chat.db");
    let error = refused(&path).await;
    assert!(matches!(&error, OpenError::NoDirectory { directory } if *directory == file.path.join("none")));
    assert_eq!(PersistError::from(error).kind(), ErrorKind::Invalid);
    assert!(!file.path.exists());
}

#[tokio::test]
async fn a_directory_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    assert!(matches!(refused(directory.path()).await, OpenError::Path { fault: "it is not a file", .. }));
}

#[tokio::test]
async fn another_kind_of_file_is_refused_and_left_alone() {
    for bytes in [b"hello".to_vec(), b"not a database, ".repeat(1000), vec![0xff; 4096]] {
        let file = file();
        fs::write(&file.path, &bytes).unwrap();
        assert!(matches!(refused(&file.path).await, OpenError::Foreign { .. }));
        assert_eq!(fs::read(&file.path).unwrap(), bytes);
    }
}

#[tokio::test]
async fn another_programs_database_is_refused_and_left_alone() {
    for setup in [
        "CREATE TABLE books (text); INSERT INTO books VALUES ('mine')",
        "PRAGMA application_id = 42",
        "PRAGMA user_version = 3",
        "PRAGMA journal_mode = WAL; CREATE TABLE books (text)",
    ] {
        let file = file();
        Connection::open(&file.path).unwrap().execute_batch(setup).unwrap();
        let before = fs::read(&file.path).unwrap();
        let error = refused(&file.path).await;
        assert!(matches!(error, OpenError::Foreign { .. }), "{setup}: {error}");
        assert_eq!(PersistError::from(error).kind(), ErrorKind::Invalid);
        assert_eq!(fs::read(&file.path).unwrap(), before, "{setup}");
    }
}

#[tokio::test]
async fn the_wal_of_another_program_is_left_alone() {
    let (theirs, file) = (file(), file());
    let owner = Connection::open(&theirs.path).unwrap();
    owner.execute_batch("PRAGMA journal_mode = WAL; CREATE TABLE books (text)").unwrap();
    // A crash leaves a WAL that was not checkpointed, without open connections.
    for suffix in ["", "-wal"] {
        fs::copy(with_suffix(&theirs.path, suffix), with_suffix(&file.path, suffix)).unwrap();
    }
    let bytes = || (fs::read(&file.path).unwrap(), fs::read(with_suffix(&file.path, "-wal")).unwrap());
    let before = bytes();
    assert!(!before.1.is_empty());
    assert!(matches!(refused(&file.path).await, OpenError::Foreign { .. }));
    assert_eq!(bytes(), before);
}

/// Changes a store without the backend, and returns the error of the next opening.
async fn tampered(sql: &str) -> OpenError {
    let file = file();
    written(&file.path).await;
    Connection::open(&file.path).unwrap().execute_batch(sql).unwrap();
    let before = fs::read(&file.path).unwrap();
    let error = refused(&file.path).await;
    assert_eq!(fs::read(&file.path).unwrap(), before);
    error
}

#[tokio::test]
async fn a_newer_store_is_refused() {
    let error = tampered("PRAGMA user_version = 6").await;
    assert!(matches!(error, OpenError::Newer { found: 6, known: 5, .. }), "{error}");
    assert_eq!(error.kind(), ErrorKind::Unsupported);
}

/// T3-S11.
#[tokio::test]
async fn a_changed_ledger_is_refused() {
    for (sql, expected, other) in [
        ("UPDATE migrations SET checksum = 'ffff' WHERE id = 1", "`initial` with checksum ffff", "`initial`"),
        ("UPDATE migrations SET name = 'other' WHERE id = 1", "`other`", "`initial`"),
        ("INSERT INTO migrations VALUES (6, 'unknown', 'aaaa')", "`unknown` with checksum aaaa", "nothing"),
        ("DELETE FROM migrations", "nothing", "`initial`"),
    ] {
        let error = tampered(sql).await;
        let OpenError::Ledger { found, expected: ours, .. } = &error else { panic!("{sql}: {error}") };
        assert!(found.starts_with(expected) && ours.starts_with(other), "{sql}: {error}");
        assert_eq!(error.kind(), ErrorKind::Unsupported);
    }
}

#[tokio::test]
async fn a_store_with_a_foreign_trigger_is_refused() {
    // The second has the name of a trigger of ours, and other SQL.
    for (name, sql) in [
        ("spy", "CREATE TRIGGER spy AFTER INSERT ON messages BEGIN DELETE FROM labels; END"),
        (
            "capture_messages_insert",
            "CREATE TRIGGER capture_messages_insert AFTER INSERT ON messages BEGIN DELETE FROM labels; END",
        ),
    ] {
        let error = tampered(sql).await;
        let OpenError::Trigger { name: found, table, .. } = &error else { panic!("{sql}: {error}") };
        assert_eq!(
            (found.as_str(), table.as_str(), error.kind()),
            (name, "messages", ErrorKind::Unsupported)
        );
    }
}

#[tokio::test]
async fn a_store_with_a_running_capture_opens() {
    let file = file();
    let db = open(&file.path).await;
    db.on_replica(BeginCapture::WHOLE).await.unwrap();
    db.close().await.unwrap();
    open(&file.path).await.close().await.unwrap();
}

/// T3-S11: the repair that a host declares.
#[tokio::test]
async fn a_changed_ledger_is_rewritten_if_the_tables_match_the_migrations() {
    for sql in [
        "UPDATE migrations SET checksum = 'ffff'",
        "UPDATE migrations SET name = 'other'",
        "UPDATE migrations SET id = 14 WHERE id = 1",
        "INSERT INTO migrations VALUES (6, 'unknown', 'aaaa')",
        "DELETE FROM migrations",
        "PRAGMA user_version = 0",
    ] {
        let file = file();
        written(&file.path).await;
        let raw = Connection::open(&file.path).unwrap();
        let state = || -> (Vec<(i64, String, String)>, i64) {
            let mut ledger = raw.prepare("SELECT id, name, checksum FROM migrations").unwrap();
            let rows = ledger.query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?))).unwrap();
            let version = raw.pragma_query_value(None, "user_version", |row| row.get(0)).unwrap();
            (rows.map(Result::unwrap).collect(), version)
        };
        let before = state();
        raw.execute_batch(sql).unwrap();
        assert!(matches!(refused(&file.path).await, OpenError::Ledger { .. }), "{sql}");
        drop(SqliteOptions::new().repair_ledger(true).open(&file.path).await.unwrap());
        assert_eq!(state(), before, "{sql}");
        let db = open(&file.path).await;
        assert!(db.thread("t").get("m".parse().unwrap()).await.unwrap().is_some(), "{sql}");
    }
}

#[tokio::test]
async fn a_ledger_is_not_repaired_over_foreign_tables() {
    let change = "INSERT INTO migrations VALUES (6, 'unknown', 'aaaa'); ";
    for sql in
        ["CREATE TABLE more (x)", "DROP INDEX messages_open", "ALTER TABLE messages ADD COLUMN more TEXT"]
    {
        let file = file();
        written(&file.path).await;
        Connection::open(&file.path).unwrap().execute_batch(&format!("{change}{sql}")).unwrap();
        let before = fs::read(&file.path).unwrap();
        let error = SqliteOptions::new().repair_ledger(true).open(&file.path).await.map(drop).unwrap_err();
        assert!(matches!(error, OpenError::Ledger { id: 6, .. }), "{sql}: {error}");
        assert_eq!(fs::read(&file.path).unwrap(), before, "{sql}");
    }
    let file = file();
    written(&file.path).await;
    Connection::open(&file.path).unwrap().execute_batch("PRAGMA user_version = 6").unwrap();
    let error = SqliteOptions::new().repair_ledger(true).open(&file.path).await.map(drop).unwrap_err();
    assert!(matches!(error, OpenError::Newer { found: 6, known: 5, .. }), "{error}");
}

#[tokio::test]
async fn a_file_that_stays_locked_is_busy() {
    let file = file();
    let owner = Connection::open(&file.path).unwrap();
    owner.execute_batch("BEGIN EXCLUSIVE").unwrap();
    let options = SqliteOptions::new().wait_limit(std::time::Duration::from_millis(200));
    let error = options.open(&file.path).await.map(drop).unwrap_err();
    assert!(matches!(error, OpenError::Busy { .. }), "{error}");
    let reason = "by another process, or by another connection of this one";
    assert!(error.to_string().ends_with(reason), "{error}");
    assert!(PersistError::from(error).is_transient());
    owner.execute_batch("COMMIT").unwrap();
    written(&file.path).await;
}

#[cfg(unix)]
#[tokio::test]
async fn every_file_is_private_to_its_owner() {
    use std::os::unix::fs::PermissionsExt as _;

    let file = file();
    let db = open(&file.path).await;
    db.thread("t").add(NewMessage::user("hello")).await.unwrap();
    for suffix in ["", "-wal", "-shm"] {
        let mode = fs::metadata(with_suffix(&file.path, suffix)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{suffix}");
    }
}

#[tokio::test]
async fn a_closed_store_leaves_its_file_and_key_and_refuses_calls() {
    let file = file();
    let db = open(&file.path).await;
    db.thread("t").add(NewMessage::user("hello")).await.unwrap();
    assert_eq!(db.thread("t").page(PageFrom::Start, 10).await.unwrap().messages.len(), 1);
    db.close().await.unwrap();
    let mut left: Vec<_> =
        fs::read_dir(file.path.parent().unwrap()).unwrap().map(|entry| entry.unwrap().path()).collect();
    left.sort();
    assert_eq!(left, [file.path.clone(), with_suffix(&file.path, "-fingerprints")]);
    let error = db.thread("t").add(NewMessage::user("late")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
}

#[tokio::test]
async fn a_dropped_store_keeps_answered_writes() {
    let file = file();
    let db = open(&file.path).await;
    let adding: Vec<_> = (0..50)
        .map(|n| {
            let thread = db.thread("t");
            tokio::spawn(async move {
                thread.add(NewMessage::user("hello").with_id(format!("m{n}").parse().unwrap())).await
            })
        })
        .collect();
    let mut answered = Vec::new();
    for add in adding {
        answered.push(add.await.unwrap().unwrap().message.id.as_str().to_owned());
    }
    drop(db);
    let mut found = ids(&open(&file.path).await).await;
    answered.sort();
    found.sort();
    assert_eq!(found, answered);
    assert_eq!(found.len(), 50);
}

#[tokio::test]
async fn threads_that_open_a_fresh_file_at_once_all_succeed() {
    for _ in 0..5 {
        let file = file();
        let opening: Vec<_> = (0..8)
            .map(|n| {
                let path = file.path.clone();
                tokio::spawn(async move {
                    let db = open(&path).await;
                    db.thread("t")
                        .add(NewMessage::user("hello").with_id(format!("m{n}").parse().unwrap()))
                        .await
                })
            })
            .collect();
        for opened in opening {
            opened.await.unwrap().unwrap();
        }
        assert_eq!(ids(&open(&file.path).await).await.len(), 8);
    }
}

#[tokio::test]
async fn an_opening_that_is_refused_under_the_write_lock_leaves_no_wal() {
    let File { _directory: directory, path } = file();
    let open = |prefix| {
        let names = (0..9).map(move |n| format!("{prefix}{n}"));
        SqliteOptions::new().index_metadata(IndexedMetadata::new(names).unwrap()).open(&path)
    };
    open("a").await.unwrap().close().await.unwrap();
    let error = open("b").await.unwrap_err();
    assert!(matches!(error, OpenError::Setting { name: "indexed_metadata", .. }), "{error}");
    let names = directory.path().read_dir().unwrap().map(|entry| entry.unwrap().file_name());
    let mut names: Vec<_> = names.collect();
    names.sort();
    assert_eq!(names, ["chat.db", "chat.db-fingerprints"]);
}
