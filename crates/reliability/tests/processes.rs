//! Several processes use one file concurrently.

use std::{
    fs,
    path::Path,
    sync::{Arc, Mutex, mpsc},
    time::{Duration, Instant},
};

use rusqlite::Connection;
use tempfile::TempDir;
use throughline_core::{Effect, ErrorKind, NewMessage, Persistence, messages::PageFrom};
use throughline_reliability::{
    Report,
    acks::{Ledger, Outcome, check_store},
    scaled,
    worker::{Interference, Job, Mix, Then, Work, Worker},
};
use throughline_sqlite::{Failpoint, SqliteOptions};

/// How long before its time is over the writer may give a write up: 10 ms before a deadline, and the pause before another
/// attempt that would come too late.
const LAST_WORD: Duration = Duration::from_millis(15);

const WORKER: &str = env!("CARGO_BIN_EXE_worker");

fn directories() -> (TempDir, TempDir) {
    (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap())
}

#[test]
fn rel_9_four_processes_with_sixty_four_writers_each_all_get_their_turn() {
    const PROCESSES: u64 = 4;
    const WRITERS: u64 = 64;
    /// The test checks fairness, not the speed of a busy disk.
    const TIMEOUT: Duration = Duration::from_secs(60);
    let mut report = Report::new("REL-9");
    let operations = scaled(500);
    let (store, acks) = directories();
    let path = store.path().join("chat.db");
    let mut workers: Vec<Worker> = (0..PROCESSES)
        .map(|process| {
            let job = Job::new(&path, acks.path(), process.to_string());
            let operations = Some(operations);
            let deadline = Some(TIMEOUT);
            let job = Job { tasks: WRITERS, operations, mix: Mix::Adds, waits: true, deadline, ..job };
            Worker::start(WORKER, &job).unwrap()
        })
        .collect();
    for worker in &mut workers {
        assert_eq!(worker.line().as_deref(), Some("open"));
    }
    for worker in &mut workers {
        worker.send("go");
    }
    // Microseconds of the whole, the 99th of a hundred calls and the slowest.
    let figures: Vec<Vec<u64>> = workers
        .iter_mut()
        .map(|worker| {
            let line = worker.line().expect("a worker says how long it took");
            assert!(worker.end().unwrap().was_good());
            line.split(' ').map(|figure| figure.parse().unwrap()).collect()
        })
        .collect();
    let most = |column: usize| figures.iter().map(|figures| figures[column]).max().unwrap();
    let first = figures.iter().map(|figures| figures[0]).min().unwrap();
    let ratio = most(0) as f64 / first as f64;
    let count = PROCESSES * WRITERS * operations;
    report.count("operations", count);
    report.count("operations per second", count * 1_000_000 / most(0));
    report.count("last to first", format!("{ratio:.2}"));
    report.count("p99, ms", most(1) / 1000);
    report.count("slowest, ms", most(2) / 1000);
    let mut ledger = Ledger::new();
    ledger.read_directory(acks.path()).unwrap();
    let failed = [Outcome::Refused, Outcome::Unknown].map(|outcome| ledger.outcomes(outcome));
    assert_eq!((ledger.acknowledged(), failed, ledger.unanswered()), (count, [0, 0], 0));
    assert_eq!(messages(&path), i64::try_from(count).unwrap());
    assert_eq!(identity(&path).0, "wal");
    assert!(ratio <= 1.5, "the last process took {ratio:.2} times as long as the first");
    report.finish();
}

const OPENERS: usize = 8;

fn opener_name(number: usize) -> String {
    format!("opener {number}")
}

/// Starts processes that open the stores of their input.
fn openers(acks: &Path) -> Vec<Worker> {
    (0..OPENERS)
        .map(|process| {
            let job = Job { work: Work::Open, ..Job::new("", acks, opener_name(process)) };
            Worker::start(WORKER, &job).unwrap()
        })
        .collect()
}

/// Makes all processes open the store at once, write to it and close it. Returns the longest time of an open.
fn open_at_once(openers: &mut [Worker], path: &Path) -> Duration {
    for opener in &mut *openers {
        opener.send(path.to_str().unwrap());
    }
    let mut slowest = 0;
    for opener in openers {
        let Some(line) = opener.line() else { panic!("an open failed: {:?}", opener.end().unwrap()) };
        let micros: u64 = line.parse().unwrap();
        slowest = slowest.max(micros);
    }
    Duration::from_micros(slowest)
}

/// Returns the journal mode, the schema and the migrations of a store.
fn identity(path: &Path) -> (String, String, Vec<i64>) {
    let connection = Connection::open(path).unwrap();
    let journal = connection.query_row("PRAGMA journal_mode", [], |row| row.get(0)).unwrap();
    let text = |sql| connection.query_row(sql, [], |row| row.get(0)).unwrap();
    let schema = text("SELECT group_concat(sql, ';') FROM (SELECT sql FROM sqlite_schema ORDER BY name)");
    let mut ledger = connection.prepare("SELECT id FROM migrations ORDER BY id").unwrap();
    let ledger = ledger.query_map([], |row| row.get(0)).unwrap().collect::<Result<_, _>>().unwrap();
    let sound: String = text("PRAGMA integrity_check");
    assert_eq!(sound, "ok");
    (journal, schema, ledger)
}

fn messages(path: &Path) -> i64 {
    let connection = Connection::open(path).unwrap();
    connection.query_row("SELECT count(*) FROM messages", [], |row| row.get(0)).unwrap()
}

#[test]
fn rel_20_eight_processes_open_a_fresh_file_at_once() {
    let mut report = Report::new("REL-20");
    let (stores, acks) = directories();
    let mut openers = openers(acks.path());
    let mut slowest = Duration::ZERO;
    let mut first = None;
    let rounds = scaled(60);
    for round in 0..rounds {
        let path = stores.path().join(format!("{round}.db"));
        slowest = slowest.max(open_at_once(&mut openers, &path));
        let found = identity(&path);
        assert_eq!(found.0, "wal");
        assert_eq!(&found, first.get_or_insert_with(|| found.clone()));
        assert_eq!(messages(&path), OPENERS as i64);
    }
    assert!(slowest < Duration::from_secs(5), "{slowest:?}");
    report.count("opened", rounds * OPENERS as u64);
    report.count("slowest open, ms", slowest.as_millis());
    report.finish();
}

#[tokio::test]
async fn rel_20_eight_processes_open_a_file_that_has_to_be_recovered() {
    let mut report = Report::new("REL-20 after a crash");
    let mut random = report.random();
    let mut slowest = Duration::ZERO;
    let rounds = scaled(15);
    let outside = tempfile::tempdir().unwrap();
    let mut openers = openers(outside.path());
    for round in 0..rounds {
        let (store, acks) = directories();
        let path = store.path().join("chat.db");
        let point = if round % 2 == 0 { Failpoint::Committing } else { Failpoint::Committed };
        let interference = Some(Interference { point, hit: random.u64(5..50), then: Then::Kill });
        let job = Job { tasks: 8, seed: random.u64(..), interference, ..Job::new(&path, acks.path(), "1") };
        let killed = Worker::start(WORKER, &job).unwrap().end().unwrap().was_killed();
        let log = fs::metadata(store.path().join("chat.db-wal")).map_or(0, |log| log.len());
        report.fired("kill that leaves a log", u64::from(killed && log > 0));
        slowest = slowest.max(open_at_once(&mut openers, &path));
        let mut ledger = Ledger::new();
        ledger.read_directory(acks.path()).unwrap();
        for opener in 0..OPENERS {
            ledger.record("opened", &opener_name(opener));
        }
        assert_eq!(check_store(&path, &mut ledger).await.faults, [""; 0]);
    }
    assert!(slowest < Duration::from_secs(5), "{slowest:?}");
    report.count("opened", rounds * OPENERS as u64);
    report.count("slowest open, ms", slowest.as_millis());
    report.finish();
}

/// Another process writes between the lock of SQLite and the lock of the store: it has committed by then, or holds the lock.
#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn write_restarts_after_another_process_took_its_lock() {
    for holds in [false, true] {
        let (store, acks) = directories();
        let path = store.path().join("chat.db");
        let (send, receive) = mpsc::channel();
        let job = Job { tasks: 1, operations: Some(1), ..Job::new(&path, acks.path(), "other".to_owned()) };
        let armed = Arc::new(Mutex::new(None));
        let options = SqliteOptions::new().wait_limit(Duration::from_secs(30)).failpoints({
            let armed = Arc::clone(&armed);
            move |point| {
                if point == Failpoint::Exchanging
                    && let Some((mut job, send)) = armed.lock().unwrap().take()
                {
                    let send: mpsc::Sender<Worker> = send;
                    let held = Interference { point: Failpoint::Begun, hit: 1, then: Then::Hold };
                    job = Job { interference: holds.then_some(held), ..job };
                    let mut other = Worker::start(WORKER, &job).unwrap();
                    assert_eq!(other.line().as_deref(), Some("open"));
                    if holds {
                        assert_eq!(other.line().as_deref(), Some("held"));
                        send.send(other).unwrap();
                    } else {
                        assert!(other.end().unwrap().was_good());
                    }
                }
                Ok(())
            }
        });
        let backend = options.open(&path).await.unwrap();
        let maintenance = backend.maintenance();
        let db = Persistence::builder().backend(backend).build().unwrap();
        db.thread("t").add(NewMessage::user("before")).await.unwrap();
        *armed.lock().unwrap() = Some((job, send));
        let write = tokio::spawn({
            let db = db.clone();
            async move { db.thread("t").add(NewMessage::user("begun again")).await }
        });
        if holds {
            let mut other = tokio::task::spawn_blocking(move || receive.recv().unwrap()).await.unwrap();
            other.send("go");
            assert!(other.end().unwrap().was_good());
        }
        write.await.unwrap().unwrap();
        let health = maintenance.health();
        assert_eq!((health.failures, health.alarms), (0, vec![]));
        let verification = maintenance.verify().await.unwrap();
        assert!(verification.is_sound(), "{:?}", verification.damaged);
        assert_eq!(verification.messages, 3);
        db.close().await.unwrap();
    }
}

/// How long this process waits for the lock.
const WAIT_LIMIT: Duration = Duration::from_millis(300);

/// How much later than planned an answer may come on a machine that is busy with other things.
const SLACK: Duration = Duration::from_secs(5);

/// A process that was stopped while it held the write lock of the store.
fn stopped_holder(path: &Path, acks: &Path, process: String) -> Worker {
    let interference = Some(Interference { point: Failpoint::Begun, hit: 1, then: Then::Hold });
    let job = Job { tasks: 1, operations: Some(1), interference, ..Job::new(path, acks, process) };
    let mut holder = Worker::start(WORKER, &job).unwrap();
    assert_eq!(holder.line().as_deref(), Some("open"));
    assert_eq!(holder.line().as_deref(), Some("held"));
    holder.stop().unwrap();
    // Heard when it runs again: then it goes on by itself.
    holder.send("go");
    holder
}

#[tokio::test]
async fn rel_29_calls_time_out_while_a_stopped_process_holds_the_lock() {
    let mut report = Report::new("REL-29");
    let (store, acks) = directories();
    let path = store.path().join("chat.db");
    let backend = SqliteOptions::new().wait_limit(WAIT_LIMIT).open(&path).await.unwrap();
    let db = Persistence::builder().backend(backend).build().unwrap();
    let thread = db.thread("t");
    thread.add(NewMessage::user("before")).await.unwrap();
    let (mut latest_busy, mut latest_progress) = (Duration::ZERO, Duration::ZERO);
    let rounds = scaled(6);
    let mut in_doubt = 0;
    for round in 0..rounds {
        let added = usize::try_from(round).unwrap() + 1;
        let mut holder = stopped_holder(&path, acks.path(), round.to_string());
        report.fired("stopped with the lock", 1);
        let begun = Instant::now();
        let calls = (0..8).map(|_| thread.add(NewMessage::user("too late")).into_future());
        for call in calls.map(tokio::spawn).collect::<Vec<_>>() {
            let error = call.await.unwrap().unwrap_err();
            assert_eq!((error.kind(), error.effect()), (ErrorKind::Busy, Effect::NotApplied));
        }
        let waited = begun.elapsed();
        assert!(waited + LAST_WORD >= WAIT_LIMIT && waited < WAIT_LIMIT + SLACK, "{waited:?}");
        latest_busy = latest_busy.max(waited.saturating_sub(WAIT_LIMIT));

        let begun = Instant::now();
        let error = thread.add(NewMessage::user("too late")).deadline(WAIT_LIMIT / 2).await.unwrap_err();
        // The writer times out slightly earlier, except that on a busy machine the caller can time out first.
        assert!(matches!(error.kind(), ErrorKind::Busy | ErrorKind::Timeout), "{error}");
        assert_ne!(error.effect(), Effect::Applied);
        in_doubt += u64::from(error.effect() == Effect::Unknown);
        let waited = begun.elapsed();
        assert!(waited + LAST_WORD >= WAIT_LIMIT / 2 && waited < WAIT_LIMIT / 2 + SLACK, "{waited:?}");
        // Reading needs no lock.
        assert_eq!(thread.page(PageFrom::Start, 1000).await.unwrap().messages.len(), added);

        let begun = Instant::now();
        if round % 2 == 0 {
            holder.go_on().unwrap();
        } else {
            holder.kill().unwrap();
        }
        // With a deadline of its own: the limit of the store is as short as it is for those who are refused.
        thread.add(NewMessage::user("after")).deadline(SLACK).await.unwrap();
        let waited = begun.elapsed();
        assert!(waited < SLACK, "{waited:?}");
        latest_progress = latest_progress.max(waited);
        let end = holder.end().unwrap();
        assert!(if round % 2 == 0 { end.was_good() } else { end.was_killed() });
    }
    // No refused write was applied later.
    assert_eq!(thread.page(PageFrom::Start, 1000).await.unwrap().messages.len() as u64, rounds + 1);
    db.close().await.unwrap();
    let mut ledger = Ledger::new();
    ledger.read_directory(acks.path()).unwrap();
    assert_eq!(ledger.acknowledged(), rounds.div_ceil(2));
    report.count("rounds", rounds);
    report.count("in doubt at their deadline", in_doubt);
    report.count("latest refusal after its time, ms", latest_busy.as_millis());
    report.count("latest progress, ms", latest_progress.as_millis());
    report.finish();
}
