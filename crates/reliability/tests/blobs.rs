//! Contents in files next to the store: other processes at the worst moments, and `kill -9` between a file and its row, and
//! between a row and the removal of its file.

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
use throughline_core::{NewMessage, Persistence};
use throughline_reliability::{
    Report,
    acks::{Ledger, Outcome, check_store},
    scaled,
    worker::{Interference, Job, Then, Worker},
};
use throughline_sqlite::{Failpoint, Maintenance, SqliteBackend, SqliteOptions};

const WORKER: &str = env!("CARGO_BIN_EXE_worker");

fn blobs(store: &Path) -> Vec<PathBuf> {
    let Ok(folders) = fs::read_dir(store.with_file_name("chat.db-blobs")) else { return Vec::new() };
    let files = folders.flat_map(|folder| fs::read_dir(folder.unwrap().path()).unwrap());
    files.map(|file| file.unwrap().path()).collect()
}

struct Store {
    _directory: TempDir,
    path: PathBuf,
    maintenance: Maintenance,
    db: Persistence,
}

/// Opens a store that calls `then` once, with its path, when it reaches a failpoint after `armed` was set.
async fn store(point: Failpoint, then: impl Fn(&Path) + Send + Sync + 'static) -> (Store, Arc<AtomicBool>) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("chat.db");
    let armed = Arc::<AtomicBool>::default();
    let (fires, at) = (Arc::clone(&armed), path.clone());
    let options = SqliteOptions::new().blobs_above(64).failpoints(move |reached| {
        if reached == point && fires.swap(false, Ordering::SeqCst) {
            then(&at);
        }
        Ok(())
    });
    let backend = options.open(&path).await.unwrap();
    let maintenance = backend.maintenance();
    let db = Persistence::builder().backend(backend).build().unwrap();
    (Store { _directory: directory, path, maintenance, db }, armed)
}

impl Store {
    async fn add(&self, id: &str) {
        let message = NewMessage::user(&"the same words ".repeat(20)).with_id(id.parse().unwrap());
        self.db.thread("t").add(message).await.unwrap();
    }

    async fn delete(&self, id: &str) {
        self.db.thread("t").delete(id.parse().unwrap()).await.unwrap();
    }

    async fn expect_blobs(&self, count: u64) {
        let found = self.maintenance.verify().await.unwrap();
        assert!(found.is_sound(), "{:#?}", found.damaged);
        assert_eq!(found.blobs, count);
    }
}

#[tokio::test]
async fn a_file_that_another_process_removes_before_the_transaction_is_written_again() {
    // The file is there when the transaction begins, and a process that found no row for it removes it.
    let (store, armed) = store(Failpoint::Begun, |path| fs::remove_file(&blobs(path)[0]).unwrap()).await;
    armed.store(true, Ordering::SeqCst);
    store.add("a").await;
    assert!(!armed.load(Ordering::SeqCst));
    store.expect_blobs(1).await;
}

#[tokio::test]
async fn a_file_that_another_process_names_after_the_look_up_is_kept() {
    // Between the look-up and the removal, another process commits a row whose file was there before.
    let (store, armed) = store(Failpoint::Checkpointing, |path| {
        let file = blobs(path).remove(0);
        let length = fs::metadata(&file).unwrap().len();
        let reference = format!("blob:{}:{length}", file.file_name().unwrap().to_str().unwrap());
        let other = Connection::open(path).unwrap();
        let named = other.execute("UPDATE messages SET content = ?1 WHERE message_id = 'b'", [reference]);
        assert_eq!(named.unwrap(), 1);
    })
    .await;
    store.db.thread("t").add(NewMessage::user("short").with_id("b".parse().unwrap())).await.unwrap();
    store.add("a").await;
    store.delete("a").await;
    // The next checkpoint is that before the removal, at the latest that at the end.
    armed.store(true, Ordering::SeqCst);
    store.db.close().await.unwrap();
    assert!(!armed.load(Ordering::SeqCst));
    assert_eq!(blobs(&store.path).len(), 1);
}

#[tokio::test]
async fn a_file_that_another_process_has_written_after_the_look_up_is_kept() {
    let (store, armed) = store(Failpoint::Collecting, |path| {
        let file = blobs(path).remove(0);
        let bytes = fs::read(&file).unwrap();
        let new = file.with_file_name("new");
        fs::write(&new, bytes).unwrap();
        fs::rename(new, file).unwrap();
    })
    .await;
    store.add("a").await;
    armed.store(true, Ordering::SeqCst);
    store.delete("a").await;
    store.db.close().await.unwrap();
    assert!(!armed.load(Ordering::SeqCst));
    assert_eq!(blobs(&store.path).len(), 1, "a snapshot of the time between may name it");
}

#[tokio::test]
async fn store_agrees_with_answers_after_a_kill_between_a_file_and_its_row_or_its_removal() {
    let mut report = Report::new("blobs-kill");
    let mut random = report.random();
    for point in [
        Failpoint::Begun,
        Failpoint::Applying,
        Failpoint::Flushed,
        Failpoint::Committing,
        Failpoint::Committed,
        Failpoint::Answered,
        Failpoint::Checkpointing,
        Failpoint::Collecting,
    ] {
        for run in 0..scaled(5) {
            let directory = || tempfile::tempdir().unwrap();
            let (store, acks, mut ledger) = (directory(), directory(), Ledger::new());
            let path = store.path().join("chat.db");
            let is_maintenance = matches!(point, Failpoint::Checkpointing | Failpoint::Collecting);
            let hit = if is_maintenance { 1 } else { random.u64(1..=20) };
            let job = Job {
                tasks: 8,
                operations: Some(30),
                seed: random.u64(..),
                interference: Some(Interference { point, hit, then: Then::Kill }),
                stays: is_maintenance,
                blobs: true,
                ..Job::new(&path, acks.path(), "1")
            };
            let end = Worker::start(WORKER, &job).unwrap().end().unwrap();
            assert!(end.was_killed(), "it never came to {point:?} in run {run}");
            report.fired(format!("{point:?}"), 1);
            report.fired("files", blobs(&path).len() as u64);
            ledger.read_directory(acks.path()).unwrap();
            let checked = check_store(&path, &mut ledger).await;
            assert_eq!(checked.faults, [""; 0], "at {point:?} in run {run}");
            assert_eq!(ledger.outcomes(Outcome::Unknown), 0, "at {point:?} in run {run}");
        }
    }
    report.finish();
}

#[tokio::test]
async fn stores_of_three_processes_with_shared_files_agree_with_answers_after_kills() {
    let mut report = Report::new("blobs-processes");
    let mut random = report.random();
    let directory = || tempfile::tempdir().unwrap();
    let (store, acks, mut ledger) = (directory(), directory(), Ledger::new());
    let path = store.path().join("chat.db");
    for cycle in 0..scaled(10) {
        let mut workers: Vec<Worker> = (0..3)
            .map(|process| {
                let name = format!("{cycle}.{process}");
                let job =
                    Job { tasks: 8, seed: random.u64(..), blobs: true, ..Job::new(&path, acks.path(), name) };
                Worker::start(WORKER, &job).unwrap()
            })
            .collect();
        for worker in &mut workers {
            assert_eq!(worker.line().as_deref(), Some("open"));
        }
        // The time in which they write; no assertion depends on it.
        std::thread::sleep(std::time::Duration::from_millis(random.u64(50..=400)));
        for worker in &mut workers {
            worker.kill().unwrap();
            report.fired("kill", u64::from(worker.end().unwrap().was_killed()));
        }
        ledger.read_directory(acks.path()).unwrap();
        let checked = check_store(&path, &mut ledger).await;
        assert_eq!(checked.faults, [""; 0], "in cycle {cycle}");
        assert_eq!((ledger.outcomes(Outcome::Refused), ledger.outcomes(Outcome::Unknown)), (0, 0));
    }
    let backend = SqliteBackend::open(&path).await.unwrap();
    let found = backend.maintenance().verify().await.unwrap();
    assert!(found.is_sound() && found.blobs > 0, "{found:?}");
    report.count("acknowledged", ledger.acknowledged());
    report.count("blobs", found.blobs);
    report.count("orphans", found.orphans.len());
    report.fired("acknowledged", ledger.acknowledged());
    report.finish();
}
