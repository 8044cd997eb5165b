//! A store gives free pages back to the file system while it is in use.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use rusqlite::Connection;
use tempfile::TempDir;
use throughline_core::{ErrorKind, NewMessage, Persistence, messages::PageFrom};
use throughline_sqlite::{Compaction, Maintenance, SqliteBackend, SqliteReader};

/// The page size of SQLite.
const PAGE: u64 = 4096;

struct Store {
    directory: TempDir,
    path: PathBuf,
    maintenance: Maintenance,
    db: Persistence,
}

async fn open(path: &Path) -> (Maintenance, Persistence) {
    let backend = SqliteBackend::open(path).await.unwrap();
    (backend.maintenance(), Persistence::builder().backend(backend).build().unwrap())
}

/// Returns a store of about 12 MB, of which deleted messages left all but one part in sixteen.
async fn mostly_deleted() -> Store {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("chat.db");
    let (maintenance, db) = open(&path).await;
    let text = "a long message ".repeat(2700);
    for number in 0..16 {
        let thread = db.thread(format!("t{number}"));
        for _ in 0..18 {
            thread.add(NewMessage::user(&text)).await.unwrap();
        }
    }
    for number in 1..16 {
        db.thread(format!("t{number}")).delete_thread().await.unwrap();
        loop {
            let purge = throughline_core::threads::PurgeThread {
                thread: format!("t{number}").parse().unwrap(),
                limit: 100,
            };
            if !db.on_thread(purge).await.unwrap().more {
                break;
            }
        }
    }
    Store { directory, path, maintenance, db }
}

impl Store {
    fn length(&self) -> u64 {
        fs::metadata(&self.path).unwrap().len()
    }

    async fn expect_sound(&self) {
        let found = self.maintenance.verify().await.unwrap();
        assert!(found.is_sound(), "{:#?}", found.damaged);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_file_shrinks_to_its_live_size_while_a_task_writes() {
    let store = mostly_deleted().await;
    let stop = Arc::new(AtomicBool::new(false));
    let writing = tokio::spawn({
        let (db, stop) = (store.db.clone(), Arc::clone(&stop));
        async move {
            let mut written = 0_u64;
            while !stop.load(Ordering::Relaxed) {
                db.thread("writer").add(NewMessage::user(&format!("{written}"))).await.unwrap();
                written += 1;
            }
            written
        }
    });
    let before = store.maintenance.storage().await.unwrap();
    assert!(before.free_bytes > 8 << 20 && before.compacts_in_place, "{before:?}");
    let mut steps: Vec<Compaction> = Vec::new();
    let done = store.maintenance.compact(|so_far| steps.push(so_far.clone())).await.unwrap();
    stop.store(true, Ordering::Relaxed);
    let written = writing.await.unwrap();

    assert_eq!((done.free_bytes, done.held_bytes), (before.free_bytes, 0), "{done:?}");
    assert!(done.file_bytes.1 < 4 << 20, "{done:?}");
    let returned: Vec<u64> = steps.iter().map(|step| step.returned_bytes).collect();
    assert!(returned.is_sorted() && returned[0] == 0, "{returned:?}");
    let largest = returned.windows(2).map(|pair| pair[1] - pair[0]).max().unwrap();
    assert!(largest <= (256 + 8) * PAGE, "a step is bounded: {returned:?}");
    assert!(written > 0);
    let page = store.db.thread("writer").page(PageFrom::End, 1).await.unwrap();
    assert_eq!(page.messages[0].text(), (written - 1).to_string());
    assert_eq!(page.messages[0].seq.get(), written);
    store.expect_sound().await;

    // A copy of the rows is hardly smaller.
    let copy = store.directory.path().join("copy.db");
    let copied = store.maintenance.rebuild_into(&copy).await.unwrap();
    store.db.close().await.unwrap();
    assert!(store.length() <= copied.bytes + 128 * PAGE, "{} and {}", store.length(), copied.bytes);
    let (maintenance, db) = open(&copy).await;
    assert!(maintenance.storage().await.unwrap().compacts_in_place, "the copy records references too");
    db.close().await.unwrap();
}

#[tokio::test]
async fn the_bytes_that_a_reader_holds_are_reported_and_given_back_after_it() {
    let store = mostly_deleted().await;
    let reader = Connection::open(&store.path).unwrap();
    reader.execute_batch("BEGIN; SELECT count(*) FROM messages").unwrap();
    store.db.thread("t").add(NewMessage::user("after the reader has begun")).await.unwrap();
    let length = store.length();
    let held = store.maintenance.compact(|_| {}).await.unwrap();
    assert_eq!((held.file_bytes, held.returned_bytes), ((length, length), held.free_bytes));
    // With the pages that recorded where those were referred to.
    assert!((held.free_bytes..held.free_bytes + 8 * PAGE).contains(&held.held_bytes), "{held:?}");
    drop(reader);
    let given = store.maintenance.compact(|_| {}).await.unwrap();
    assert_eq!((given.free_bytes, given.returned_bytes, given.held_bytes), (0, 0, 0));
    assert_eq!(given.file_bytes, (length, store.length()));
    assert!(given.file_bytes.1 + held.held_bytes <= length, "{given:?}");
    store.expect_sound().await;
}

#[tokio::test]
async fn a_dropped_compaction_stops_and_another_one_completes_it() {
    let store = mostly_deleted().await;
    let (one_step, mut steps) = (tokio::sync::Notify::new(), 0);
    let compaction = store.maintenance.compact(|_| {
        steps += 1;
        if steps == 3 {
            one_step.notify_one();
        }
    });
    tokio::select! {
        biased;
        () = one_step.notified() => {}
        done = compaction => panic!("it takes more than two steps: {done:?}"),
    }
    store.expect_sound().await;
    let left = store.maintenance.storage().await.unwrap().free_bytes;
    assert!(left > 4 << 20, "{left}");
    let done = store.maintenance.compact(|_| {}).await.unwrap();
    assert_eq!(store.maintenance.storage().await.unwrap().free_bytes, 0, "{done:?}");
    store.expect_sound().await;
}

#[tokio::test]
async fn a_reader_and_a_file_without_references_are_refused() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("chat.db");
    // As an earlier version created it.
    Connection::open(&path).unwrap().execute_batch("PRAGMA journal_mode = wal").unwrap();
    let (maintenance, db) = open(&path).await;
    db.thread("t").add(NewMessage::user("one")).await.unwrap();
    assert!(!maintenance.storage().await.unwrap().compacts_in_place);
    let refused = maintenance.compact(|_| panic!("a step")).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Unsupported);
    let detail = "the file cannot be compacted in place: an earlier version created the file; copy its rows with `rebuild_into`";
    assert!(refused.to_string().starts_with(detail), "{refused}");
    db.close().await.unwrap();
    let closed = maintenance.compact(|_| {}).await.unwrap_err();
    assert_eq!(closed.kind(), ErrorKind::Unsupported);
    let reader = SqliteReader::open(&path).await.unwrap().maintenance();
    let refused = reader.compact(|_| panic!("a step")).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Unsupported);
    let detail = "the file cannot be compacted in place: the store was opened to be read";
    assert!(refused.to_string().starts_with(detail), "{refused}");
}
