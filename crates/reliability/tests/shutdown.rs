//! A store ends while calls run, and later opens with every acknowledged write.

use std::{
    ffi::OsString,
    fs,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use rusqlite::Connection;
use tempfile::TempDir;
use throughline_core::{Effect, ErrorKind, NewMessage, Persistence};
use throughline_reliability::{
    Report,
    acks::{AckLog, Call, Ledger, Outcome, check_store, message},
    scaled,
    worker::{Job, Worker},
};
use throughline_sqlite::{Condition, Maintenance, OpenError, SqliteBackend};
use tokio::{runtime::Runtime, sync::Notify, task::JoinSet};

const WORKER: &str = env!("CARGO_BIN_EXE_worker");
const TASKS: u64 = 64;

fn directories() -> (TempDir, TempDir, PathBuf) {
    let (store, acks) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let path = store.path().join("chat.db");
    (store, acks, path)
}

fn names(directory: &Path) -> Vec<OsString> {
    directory.read_dir().unwrap().map(|entry| entry.unwrap().file_name()).collect()
}

/// Waits until the writer of a store that was dropped has applied what it had admitted, and ended. Its log may be left:
/// a reader that ends after it cannot fold it.
fn wait_for_the_writer(store: &Maintenance) {
    let begun = Instant::now();
    while store.health().condition != Condition::Closed {
        assert!(begun.elapsed() < Duration::from_secs(60), "the writer goes on");
        thread::sleep(Duration::from_millis(1));
    }
}

/// Tasks that write to one store until they are refused.
struct Load {
    db: Persistence,
    maintenance: Maintenance,
    tasks: JoinSet<()>,
    answered: Arc<AtomicU64>,
    enough: Arc<Notify>,
}

impl Load {
    /// The number of answers that [`enough`](Self::enough) waits for.
    async fn start(path: &Path, log: AckLog, answers: u64) -> Self {
        let backend = SqliteBackend::open(path).await.unwrap();
        let maintenance = backend.maintenance();
        let db = Persistence::builder().backend(backend).build().unwrap();
        let (answered, enough) = (Arc::new(AtomicU64::new(0)), Arc::new(Notify::new()));
        let log = Arc::new(log);
        let mut tasks = JoinSet::new();
        for task in 0..TASKS {
            let (db, log) = (db.clone(), Arc::clone(&log));
            let (answered, enough) = (Arc::clone(&answered), Arc::clone(&enough));
            tasks.spawn(async move {
                for n in 0.. {
                    let name = format!("{task}-{n}");
                    let begun = log.begin(Call::Add, "t", &[&name]).unwrap();
                    let answer = db.thread("t").add(message(&name)).await;
                    begun.end(Outcome::of(&answer)).unwrap();
                    if answered.fetch_add(1, Ordering::SeqCst) + 1 == answers {
                        enough.notify_one();
                    }
                    if let Err(error) = answer {
                        let said = (error.kind(), error.effect());
                        assert_eq!(said, (ErrorKind::Unavailable, Effect::NotApplied), "{error}");
                        break;
                    }
                }
            });
        }
        Self { db, maintenance, tasks, answered, enough }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rel_38_close_under_load_answers_every_call() {
    let mut report = Report::new("REL-38 closing");
    let mut random = report.random();
    let mut totals = [0, 0];
    let mut slowest = Duration::ZERO;
    for _ in 0..scaled(5) {
        let (store, acks, path) = directories();
        let log = AckLog::create(acks.path().join("1.acks")).unwrap();
        let mut load = Load::start(&path, log, random.u64(1..2000)).await;
        load.enough.notified().await;
        load.db.close().await.unwrap();
        // The store has removed its WAL before the next open.
        assert_eq!(names(store.path()), ["chat.db", "chat.db-fingerprints"]);
        while let Some(ended) = load.tasks.join_next().await {
            ended.unwrap();
        }
        let mut ledger = Ledger::new();
        ledger.read_directory(acks.path()).unwrap();
        let checked = check_store(&path, &mut ledger).await;
        assert_eq!(checked.faults, [""; 0]);
        assert_eq!((ledger.unanswered(), ledger.outcomes(Outcome::Unknown)), (0, 0));
        assert_eq!(ledger.outcomes(Outcome::Refused), TASKS);
        assert_eq!(checked.messages, ledger.acknowledged());
        assert_eq!(load.answered.load(Ordering::SeqCst), ledger.acknowledged() + TASKS);
        totals[0] += ledger.acknowledged();
        totals[1] += ledger.outcomes(Outcome::Refused);
        slowest = slowest.max(checked.opened_in);
    }
    report.count("acknowledged", totals[0]);
    report.fired("refused by the closing", totals[1]);
    report.count("slowest open, ms", slowest.as_millis());
    report.finish();
}

#[test]
fn rel_38_drop_under_load_loses_no_acknowledged_write() {
    let mut report = Report::new("REL-38 dropping");
    let mut random = report.random();
    let mut unanswered = 0;
    for _ in 0..scaled(5) {
        let (_store, acks, path) = directories();
        let log = AckLog::create(acks.path().join("1.acks")).unwrap();
        let runtime = Runtime::new().unwrap();
        let load = runtime.block_on(async {
            let load = Load::start(&path, log, random.u64(1..2000)).await;
            load.enough.notified().await;
            load
        });
        // The test waits for no task. A task ends at its next await point.
        drop(load.db);
        drop(runtime);
        drop(load.tasks);
        wait_for_the_writer(&load.maintenance);
        let mut ledger = Ledger::new();
        ledger.read_directory(acks.path()).unwrap();
        let checked = Runtime::new().unwrap().block_on(check_store(&path, &mut ledger));
        assert_eq!(checked.faults, [""; 0]);
        assert!(checked.messages >= ledger.acknowledged());
        unanswered += ledger.unanswered();
    }
    report.fired("left without an answer", unanswered);
    report.finish();
}

#[tokio::test]
async fn rel_38_end_of_the_process_loses_no_acknowledged_write() {
    let mut report = Report::new("REL-38 ending");
    let mut random = report.random();
    for round in 0..scaled(10) {
        let (_store, acks, path) = directories();
        let job = Job { seed: random.u64(..), ..Job::new(&path, acks.path(), "1") };
        let leaves = round % 2 == 0;
        let operations = leaves.then_some(20);
        let mut worker = Worker::start(WORKER, &Job { leaves, operations, ..job }).unwrap();
        assert_eq!(worker.line().as_deref(), Some("open"));
        if leaves {
            assert!(worker.end().unwrap().was_good());
            report.fired("ended without closing", 1);
        } else {
            thread::sleep(Duration::from_millis(random.u64(1..=100)));
            worker.terminate().unwrap();
            let end = worker.end().unwrap();
            report.fired("asked to end", u64::from(!end.was_good() && !end.was_killed()));
        }
        let mut ledger = Ledger::new();
        ledger.read_directory(acks.path()).unwrap();
        assert_eq!(check_store(&path, &mut ledger).await.faults, [""; 0]);
        assert!(!leaves || ledger.unanswered() == 0);
    }
    report.finish();
}

#[tokio::test]
async fn rel_38_a_file_of_a_later_version_is_refused_and_left_alone() {
    let (store, _acks, path) = directories();
    let db = Persistence::builder().backend(SqliteBackend::open(&path).await.unwrap()).build().unwrap();
    db.thread("t").add(NewMessage::user("hello")).await.unwrap();
    db.close().await.unwrap();
    let connection = Connection::open(&path).unwrap();
    let known: i64 = connection.pragma_query_value(None, "user_version", |row| row.get(0)).unwrap();
    connection.pragma_update(None, "user_version", known + 1).unwrap();
    connection.close().unwrap();
    // This process has no SQLite connection open, so that reading the bytes releases no lock.
    let before = fs::read(&path).unwrap();
    for _ in 0..3 {
        let error = SqliteBackend::open(&path).await.unwrap_err();
        let OpenError::Newer { found, known: ours, .. } = error else { panic!("{error}") };
        assert_eq!((found, ours), (known + 1, known));
    }
    assert!(fs::read(&path).unwrap() == before, "the file was changed");
    let log = fs::metadata(store.path().join("chat.db-wal")).map_or(0, |log| log.len());
    assert_eq!(log, 0);
    Report::new("REL-38 a later version").finish();
}
