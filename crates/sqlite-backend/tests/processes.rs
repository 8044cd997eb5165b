//! Several processes with one file.

use std::{
    env,
    process::{Child, Command, Stdio},
    time::Duration,
};

use rusqlite::Connection;
use throughline_core::{Effect, ErrorKind, NewMessage, Persistence, messages::PageFrom};
use throughline_sqlite::{SqliteBackend, SqliteOptions};

const PROCESSES: usize = 8;
const MESSAGES: usize = 20;
const PATH: &str = "THROUGHLINE_TEST_PATH";
const NUMBER: &str = "THROUGHLINE_TEST_NUMBER";

/// The program of each process: opens, writes, closes. Does nothing unless the test below has started it.
#[tokio::test]
async fn one_process() {
    let (Ok(path), Ok(number)) = (env::var(PATH), env::var(NUMBER)) else { return };
    // On a busy machine a process can wait for longer than the default limit: between several that wait, chance decides who takes the lock.
    let options = SqliteOptions::new().wait_limit(Duration::from_secs(120));
    let db = Persistence::builder().backend(options.open(path).await.unwrap()).build().unwrap();
    for n in 0..MESSAGES {
        let message = NewMessage::user("hello").with_id(format!("m{number}-{n}").parse().unwrap());
        db.thread("t").add(message).await.unwrap();
    }
    db.close().await.unwrap();
}

fn start(path: &std::path::Path, number: usize) -> Child {
    Command::new(env::current_exe().unwrap())
        .args(["one_process", "--exact", "--nocapture"])
        .env(PATH, path)
        .env(NUMBER, number.to_string())
        .stdout(Stdio::null())
        .stderr(Stdio::inherit())
        .spawn()
        .unwrap()
}

#[tokio::test]
async fn processes_that_open_a_fresh_file_at_once_all_succeed() {
    for _ in 0..3 {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("chat.db");
        let children: Vec<_> = (0..PROCESSES).map(|number| start(&path, number)).collect();
        for mut child in children {
            assert!(child.wait().unwrap().success());
        }
        let db = Persistence::builder().backend(SqliteBackend::open(&path).await.unwrap()).build().unwrap();
        let page = db.thread("t").page(PageFrom::Start, 1000).await.unwrap();
        let seqs: Vec<u64> = page.messages.iter().map(|message| message.seq.get()).collect();
        assert_eq!(seqs, (1..=(PROCESSES * MESSAGES) as u64).collect::<Vec<_>>());
        let reply = db.thread("t").add(NewMessage::user("last")).reply().await.unwrap();
        assert_eq!(reply.receipt.position.unwrap().get(), (PROCESSES * MESSAGES) as u64 + 1);
        db.close().await.unwrap();
        // Only now: several processes that close at the same moment can each take another one for a remaining user, and
        // SQLite then leaves the WAL for the next opening.
        assert!(!directory.path().join("chat.db-wal").exists());
        let connection = Connection::open(&path).unwrap();
        let checked: String = connection.query_row("PRAGMA integrity_check", [], |row| row.get(0)).unwrap();
        assert_eq!(checked, "ok");
    }
}

#[tokio::test]
async fn a_lock_that_is_held_beyond_the_timeout_is_busy() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("chat.db");
    let options = SqliteOptions::new().wait_limit(Duration::from_millis(200));
    let db = Persistence::builder().backend(options.open(&path).await.unwrap()).build().unwrap();
    let other = Connection::open(&path).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let add = |id: &str| db.thread("t").add(NewMessage::user("hello").with_id(id.parse().unwrap()));
    let error = add("a").await.unwrap_err();
    assert_eq!((error.kind(), error.effect()), (ErrorKind::Busy, Effect::NotApplied));
    assert!(error.is_transient());
    // A read waits for no lock.
    assert_eq!(db.thread("t").page(PageFrom::Start, 10).await.unwrap().messages.len(), 0);
    other.execute_batch("COMMIT").unwrap();
    add("a").await.unwrap();
}

#[tokio::test]
async fn a_write_waits_for_a_lock_that_is_released_in_time() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("chat.db");
    let db = Persistence::builder().backend(SqliteBackend::open(&path).await.unwrap()).build().unwrap();
    let other = Connection::open(&path).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let adding = tokio::spawn({
        let thread = db.thread("t");
        async move { thread.add(NewMessage::user("hello")).await }
    });
    tokio::task::yield_now().await;
    other.execute_batch("COMMIT").unwrap();
    assert_eq!(adding.await.unwrap().unwrap().message.seq.get(), 1);
}

#[tokio::test]
async fn a_write_sees_what_another_process_wrote() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("chat.db");
    let open =
        async || Persistence::builder().backend(SqliteBackend::open(&path).await.unwrap()).build().unwrap();
    let (one, two) = (open().await, open().await);
    for n in 0..10 {
        for (turn, db) in [&one, &two].into_iter().enumerate() {
            let reply = db.thread("t").add(NewMessage::user("hello")).reply().await.unwrap();
            let expected = n * 2 + turn as u64 + 1;
            assert_eq!(reply.output.message.seq.get(), expected);
            assert_eq!(reply.receipt.position.unwrap().get(), expected);
        }
        assert_eq!(
            two.thread("t").page(PageFrom::Start, 100).await.unwrap().messages.len() as u64,
            n * 2 + 2
        );
    }
}
