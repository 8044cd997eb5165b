//! `kill -9` at any point: the store loses no acknowledged write, and has no duplicate and no partial write.

use std::{path::Path, thread, time::Duration};

use tempfile::TempDir;
use throughline_reliability::{
    Report,
    acks::{Checked, Ledger, Outcome, check_store},
    scaled,
    worker::{Interference, Job, Then, Worker},
};
use throughline_sqlite::Failpoint;

const WORKER: &str = env!("CARGO_BIN_EXE_worker");

/// A store, and a directory for the acknowledgement logs of its writers.
struct Scene {
    store: TempDir,
    acks: TempDir,
    ledger: Ledger,
}

impl Scene {
    fn new() -> Self {
        let directory = || tempfile::tempdir().unwrap();
        Self { store: directory(), acks: directory(), ledger: Ledger::new() }
    }

    fn job(&self, process: impl Into<String>) -> Job {
        Job::new(self.store.path().join("chat.db"), self.acks.path(), process)
    }

    async fn check(&mut self) -> Checked {
        self.ledger.read_directory(self.acks.path()).unwrap();
        check_store(&self.store.path().join("chat.db"), &mut self.ledger).await
    }
}

/// The sums over the ledgers of several stores.
#[derive(Default)]
struct Totals {
    acknowledged: u64,
    unanswered: u64,
    messages: u64,
    slowest_open: Duration,
}

impl Totals {
    fn add(&mut self, scene: &Scene, checked: &Checked) {
        self.acknowledged += scene.ledger.acknowledged();
        self.unanswered += scene.ledger.unanswered();
        self.messages += checked.messages;
    }

    fn print(self, report: &mut Report) {
        report.count("acknowledged", self.acknowledged);
        report.count("unanswered", self.unanswered);
        report.count("messages", self.messages);
        report.count("slowest open, ms", self.slowest_open.as_millis());
    }
}

/// The number of kills with the same store.
const CYCLES_OF_A_STORE: u64 = 10;

#[tokio::test]
async fn rel_1_store_agrees_with_answers_after_three_processes_were_killed() {
    let mut report = Report::new("REL-1");
    let mut random = report.random();
    let cycles = scaled(100);
    let mut totals = Totals::default();
    let mut scene = Scene::new();
    for cycle in 0..cycles {
        let mut workers: Vec<(Duration, Worker)> = (0..3)
            .map(|process| {
                let job = Job { seed: random.u64(..), ..scene.job(format!("{cycle}.{process}")) };
                (Duration::from_millis(random.u64(20..=250)), Worker::start(WORKER, &job).unwrap())
            })
            .collect();
        workers.sort_by_key(|(after, _)| *after);
        let mut now = Duration::ZERO;
        for (after, worker) in &mut workers {
            thread::sleep(*after - now);
            now = *after;
            worker.kill().unwrap();
            report.fired("kill", u64::from(worker.end().unwrap().was_killed()));
        }
        let checked = scene.check().await;
        assert_eq!(checked.faults, [""; 0], "in cycle {cycle}");
        assert_eq!(
            (scene.ledger.outcomes(Outcome::Refused), scene.ledger.outcomes(Outcome::Unknown)),
            (0, 0)
        );
        totals.slowest_open = totals.slowest_open.max(checked.opened_in);
        if (cycle + 1) % CYCLES_OF_A_STORE == 0 || cycle + 1 == cycles {
            totals.add(&scene, &checked);
            scene = Scene::new();
        }
    }
    // A process that was killed before its first write has tested nothing.
    assert!(totals.acknowledged >= 10 * cycles, "{} answers in {cycles} cycles", totals.acknowledged);
    report.fired("killed with calls on their way", totals.unanswered);
    report.count("cycles", cycles);
    totals.print(&mut report);
    report.finish();
}

/// Returns a job that passes this failpoint. One of its first commits fails, and the store resolves its outcome.
fn through(point: Failpoint, random: &mut fastrand::Rng, job: Job) -> Job {
    let failing_commit = random.u64(1..=4);
    let job = Job { tasks: 8, operations: Some(30), seed: random.u64(..), failing_commit, ..job };
    let some = random.u64(1..=20);
    let hit = |hit| Some(Interference { point, hit, then: Then::Kill });
    match point {
        // Once in the life of a file, or of a store.
        Failpoint::Opening | Failpoint::Migrating | Failpoint::Closing => Job { interference: hit(1), ..job },
        Failpoint::Checkpointing => Job { stays: true, interference: hit(1), ..job },
        // The contents of deleted messages.
        Failpoint::Collecting => Job { blobs: true, stays: true, interference: hit(1), ..job },
        // After a failed commit, and before any caller has an answer.
        Failpoint::Fencing | Failpoint::Fenced => Job { interference: hit(1), ..job },
        _ => Job { interference: hit(some), ..job },
    }
}

#[tokio::test]
async fn rel_2_store_agrees_with_the_log_after_a_kill_at_each_failpoint() {
    let mut report = Report::new("REL-2");
    let mut random = report.random();
    let mut totals = Totals::default();
    for point in Failpoint::ALL {
        if matches!(point, Failpoint::Exchanging | Failpoint::Exchanged) && !cfg!(target_os = "linux") {
            continue;
        }
        for run in 0..scaled(10) {
            let mut scene = Scene::new();
            let job = through(point, &mut random, scene.job("1"));
            let end = Worker::start(WORKER, &job).unwrap().end().unwrap();
            assert!(end.was_killed(), "it never came to {point:?} in run {run}");
            report.fired(format!("{point:?}"), 1);
            let checked = scene.check().await;
            assert_eq!(checked.faults, [""; 0], "at {point:?} in run {run}");
            assert_eq!(scene.ledger.outcomes(Outcome::Unknown), 0, "at {point:?} in run {run}");
            report.fired("refused by a commit that failed", scene.ledger.outcomes(Outcome::Refused));
            assert!(has_no_log(scene.store.path(), job.blobs), "the check closes the store");
            totals.slowest_open = totals.slowest_open.max(checked.opened_in);
            totals.add(&scene, &checked);
        }
    }
    totals.print(&mut report);
    report.finish();
}

/// Whether the store is its file and its key, and the folder of its blobs if it has one, without a log.
fn has_no_log(store: &Path, blobs: bool) -> bool {
    let mut names: Vec<_> = store.read_dir().unwrap().map(|entry| entry.unwrap().file_name()).collect();
    names.sort();
    if blobs {
        names == ["chat.db", "chat.db-blobs", "chat.db-fingerprints"]
    } else {
        names == ["chat.db", "chat.db-fingerprints"]
    }
}
