//! A process gives the free pages of a store back while others write, and all of them are killed.

use std::path::Path;

use throughline_core::{NewMessage, Persistence, threads::PurgeThread};
use throughline_reliability::{
    Report,
    acks::{Ledger, Outcome, check_store},
    scaled,
    worker::{Job, Work, Worker},
};
use throughline_sqlite::{Maintenance, SqliteBackend};

const WORKER: &str = env!("CARGO_BIN_EXE_worker");

async fn open(path: &Path) -> (Maintenance, Persistence) {
    let backend = SqliteBackend::open(path).await.unwrap();
    (backend.maintenance(), Persistence::builder().backend(backend).build().unwrap())
}

/// Writes and deletes 6 MB, and returns the bytes that are free then.
async fn free_pages(path: &Path, cycle: u64) -> u64 {
    let (maintenance, db) = open(path).await;
    let thread = db.thread(format!("free-{cycle}"));
    let text = "long text ".repeat(10_000);
    for _ in 0..60 {
        thread.add(NewMessage::user(&text)).await.unwrap();
    }
    thread.delete_thread().await.unwrap();
    let purge = || PurgeThread { thread: thread.id().unwrap().clone(), limit: 100 };
    while db.on_thread(purge()).await.unwrap().more {}
    let free = maintenance.storage().await.unwrap().free_bytes;
    db.close().await.unwrap();
    free
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn store_agrees_with_answers_after_a_compaction_among_writers_was_killed() {
    let mut report = Report::new("compact-kill");
    let mut random = report.random();
    let directory = || tempfile::tempdir().unwrap();
    let (store, acks, mut ledger) = (directory(), directory(), Ledger::new());
    let path = store.path().join("chat.db");
    for cycle in 0..scaled(10) {
        let free = free_pages(&path, cycle).await;
        assert!(free > 5 << 20, "{free} bytes are free");
        let job = |process: &str, seed| Job {
            tasks: 8,
            seed,
            ..Job::new(&path, acks.path(), format!("{cycle}.{process}"))
        };
        let mut writers =
            ["1", "2"].map(|process| Worker::start(WORKER, &job(process, random.u64(..))).unwrap());
        for writer in &mut writers {
            assert_eq!(writer.line().as_deref(), Some("open"));
        }
        let compacting = Job { work: Work::Compact, ..job("compact", 0) };
        let mut compactor = Worker::start(WORKER, &compacting).unwrap();
        // It is killed while it takes the next step.
        let steps = random.u64(1..=6);
        for _ in 0..steps {
            let line = compactor.line().expect("it has more steps to go");
            report.fired("steps among writers", u64::from(line != "0"));
        }
        compactor.kill().unwrap();
        assert!(compactor.end().unwrap().was_killed());
        for mut writer in writers {
            writer.kill().unwrap();
            assert!(writer.end().unwrap().was_killed());
        }
        ledger.read_directory(acks.path()).unwrap();
        let checked = check_store(&path, &mut ledger).await;
        assert_eq!(checked.faults, [""; 0], "in cycle {cycle}");
        assert_eq!((ledger.outcomes(Outcome::Refused), ledger.outcomes(Outcome::Unknown)), (0, 0));
    }
    let mut last =
        Worker::start(WORKER, &Job { work: Work::Compact, ..Job::new(&path, acks.path(), "last") }).unwrap();
    let lines: Vec<String> = std::iter::from_fn(|| last.line()).collect();
    assert!(last.end().unwrap().was_good());
    assert_eq!(lines.last().map(String::as_str), Some("held 0"));
    let (maintenance, db) = open(&path).await;
    let storage = maintenance.storage().await.unwrap();
    assert_eq!((storage.free_bytes, storage.held_bytes), (0, 0));
    db.close().await.unwrap();
    assert!(ledger.acknowledged() >= 10 * scaled(10), "{} answers", ledger.acknowledged());
    report.count("acknowledged", ledger.acknowledged());
    report.finish();
}
