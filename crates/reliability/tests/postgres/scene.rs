//! Hosts that write to a store and keep acknowledgement logs, and the comparison of the store with the logs.

use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use tempfile::TempDir;
use throughline_core::{Effect, PersistError, Persistence};
use throughline_postgres::{PostgresBackend, PostgresOptions};
use throughline_postgres_cluster::Installation;
use throughline_reliability::{
    acks::{AckLog, Call, Ledger, Outcome, check_messages, message},
    skipped,
};
use tokio::{
    sync::watch,
    task::JoinSet,
    time::{sleep, timeout},
};

/// The number of threads that all writers share.
const THREADS: u64 = 4;

/// The longest duration of any step that must complete.
pub(crate) const TIMEOUT: Duration = Duration::from_secs(60);

/// The pause between two writes of a task: writes continue during the whole test, but the final read stays short.
const PACE: Duration = Duration::from_millis(4);

/// Returns the installed PostgreSQL. If there is none, prints that the test is skipped.
pub(crate) fn installation(test: &str) -> Option<Installation> {
    let found = Installation::find();
    if found.is_none() {
        skipped(test, "PostgreSQL 15 or newer is not installed");
    }
    found
}

/// Returns options with short timeouts.
pub(crate) fn options() -> PostgresOptions {
    PostgresBackend::builder()
        .writers(2)
        .wait_limit(Duration::from_secs(30))
        .answer_limit(Duration::from_secs(2))
}

/// Opens the store as a host.
///
/// # Panics
/// Panics if the store does not open.
pub(crate) async fn open(options: PostgresOptions, url: &str) -> Persistence {
    let opening = timeout(TIMEOUT, options.open(url));
    let backend = opening.await.expect("the store opens in time").expect("the store opens");
    Persistence::builder().backend(backend).build().unwrap()
}

/// The counters of all writers.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    /// The writes that the store applied.
    pub(crate) applied: AtomicU64,
    /// The calls with an unknown outcome. The writer repeats each of them until the outcome is known.
    pub(crate) unknown: AtomicU64,
    /// The writes that the store refused.
    pub(crate) refused: AtomicU64,
    /// The longest time by which a call exceeded its deadline, in milliseconds.
    pub(crate) late: AtomicU64,
}

/// Hosts that write until [`stop`](Self::stop).
pub(crate) struct Hosts {
    logs: TempDir,
    counters: Arc<Counters>,
    applied: watch::Sender<u64>,
    stop: Arc<AtomicBool>,
    tasks: JoinSet<()>,
    names: u64,
}

impl Hosts {
    pub(crate) fn new() -> Self {
        Self {
            logs: tempfile::tempdir().unwrap(),
            counters: Arc::default(),
            applied: watch::Sender::new(0),
            stop: Arc::default(),
            tasks: JoinSet::new(),
            names: 0,
        }
    }

    pub(crate) fn counters(&self) -> &Counters {
        &self.counters
    }

    /// Starts tasks of a host that write, with an optional deadline for each call.
    pub(crate) fn write(&mut self, db: &Persistence, tasks: u64, deadline: Option<Duration>) {
        for _ in 0..tasks {
            let number = self.names;
            self.names += 1;
            let task = Task {
                log: AckLog::create(self.logs.path().join(format!("{number}.acks"))).unwrap(),
                counters: Arc::clone(&self.counters),
                applied: self.applied.clone(),
                stop: Arc::clone(&self.stop),
                db: db.clone(),
                number,
                deadline,
            };
            self.tasks.spawn(task.run());
        }
    }

    /// Waits until `more` further writes were applied. Returns the duration.
    pub(crate) async fn answers(&self, more: u64) -> Duration {
        let begun = Instant::now();
        let mut applied = self.applied.subscribe();
        let wanted = *applied.borrow() + more;
        let waited = timeout(TIMEOUT, applied.wait_for(|applied| *applied >= wanted)).await;
        waited.expect("the store accepts writes again").unwrap();
        begun.elapsed()
    }

    /// Ends the writers after each knows the outcome of its last write.
    pub(crate) async fn stop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        while let Some(ended) = timeout(TIMEOUT, self.tasks.join_next()).await.expect("all writers end") {
            ended.unwrap();
        }
    }

    /// Compares the store with the acknowledgement logs of all writers.
    pub(crate) async fn check(&self, db: &Persistence) -> Checked {
        let mut ledger = read(self.logs.path());
        let (faults, messages) = check_messages(db, &mut ledger).await;
        assert_eq!(ledger.unanswered(), 0);
        Checked { faults, messages, acknowledged: ledger.acknowledged() }
    }
}

/// The result of a check.
pub(crate) struct Checked {
    pub(crate) faults: Vec<String>,
    pub(crate) messages: u64,
    /// The number of calls that the store acknowledged; a repeated call counts each time.
    pub(crate) acknowledged: u64,
}

fn read(logs: &Path) -> Ledger {
    let mut ledger = Ledger::new();
    ledger.read_directory(logs).unwrap();
    ledger
}

struct Task {
    log: AckLog,
    counters: Arc<Counters>,
    applied: watch::Sender<u64>,
    stop: Arc<AtomicBool>,
    db: Persistence,
    number: u64,
    deadline: Option<Duration>,
}

impl Task {
    async fn run(self) {
        let mut n = 0;
        while !self.stop.load(Ordering::SeqCst) {
            let name = format!("{}-{n}", self.number);
            n += 1;
            // The writer repeats a call with an unknown outcome under its idempotency key, until the outcome is known.
            while self.add(&name).await == Outcome::Unknown {}
            sleep(PACE).await;
        }
    }

    async fn add(&self, name: &str) -> Outcome {
        let thread = format!("t{}", self.number % THREADS);
        let begun = self.log.begin(Call::Add, &thread, &[name]).unwrap();
        let asked = Instant::now();
        let adding = self.db.thread(thread).add(message(name).with_id(name.parse().unwrap())).key(name);
        let answer = match self.deadline {
            Some(deadline) => adding.deadline(deadline).await,
            None => adding.await,
        };
        let outcome = Outcome::of(&answer);
        begun.end(outcome).unwrap();
        self.record(outcome, asked.elapsed());
        outcome
    }

    fn record(&self, outcome: Outcome, took: Duration) {
        if let Some(deadline) = self.deadline {
            let late = u64::try_from(took.saturating_sub(deadline).as_millis()).unwrap();
            self.counters.late.fetch_max(late, Ordering::SeqCst);
        }
        let count = match outcome {
            Outcome::Applied => {
                self.applied.send_modify(|applied| *applied += 1);
                &self.counters.applied
            }
            Outcome::Refused => &self.counters.refused,
            Outcome::Unknown => &self.counters.unknown,
        };
        count.fetch_add(1, Ordering::SeqCst);
    }
}

/// Returns the effect of a call, as its caller sees it.
pub(crate) fn effect<T>(answer: &Result<T, PersistError>) -> Effect {
    answer.as_ref().map_or_else(PersistError::effect, |_| Effect::Applied)
}
