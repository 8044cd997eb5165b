//! Hosts that write to a store and keep a log of it, and the check of what the store holds in the end.

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

/// How many threads of the store all writers share.
const THREADS: u64 = 4;

/// The longest that anything may take that has to come.
pub(crate) const TIMEOUT: Duration = Duration::from_secs(60);

/// Between two writes of a task: the store is to be written to all the time, and read in the end.
const PACE: Duration = Duration::from_millis(4);

/// Where the servers are; nothing, and a notice, where PostgreSQL is not installed.
pub(crate) fn installation(what: &str) -> Option<Installation> {
    let found = Installation::find();
    if found.is_none() {
        skipped(what, "PostgreSQL 15 or newer is not installed");
    }
    found
}

/// Settings under which nothing takes long that need not.
pub(crate) fn options() -> PostgresOptions {
    PostgresBackend::builder()
        .writers(2)
        .wait_limit(Duration::from_secs(30))
        .answer_limit(Duration::from_secs(2))
}

/// A host that has opened the store.
///
/// # Panics
/// When it does not open.
pub(crate) async fn open(options: PostgresOptions, url: &str) -> Persistence {
    let opening = timeout(TIMEOUT, options.open(url));
    let backend = opening.await.expect("the store opens in time").expect("the store opens");
    Persistence::builder().backend(backend).build().unwrap()
}

/// What the writers tell of themselves.
#[derive(Debug, Default)]
pub(crate) struct Told {
    /// Answers that a write was applied.
    pub(crate) applied: AtomicU64,
    /// Answers that nobody knows; each write is repeated until somebody does.
    pub(crate) unknown: AtomicU64,
    /// Answers that nothing was applied.
    pub(crate) refused: AtomicU64,
    /// The longest that a call with a deadline took beyond it, in milliseconds.
    pub(crate) late: AtomicU64,
}

/// Hosts that write, until they are told to stop.
pub(crate) struct Hosts {
    logs: TempDir,
    told: Arc<Told>,
    applied: watch::Sender<u64>,
    stop: Arc<AtomicBool>,
    tasks: JoinSet<()>,
    names: u64,
}

impl Hosts {
    pub(crate) fn new() -> Self {
        Self {
            logs: tempfile::tempdir().unwrap(),
            told: Arc::default(),
            applied: watch::Sender::new(0),
            stop: Arc::default(),
            tasks: JoinSet::new(),
            names: 0,
        }
    }

    pub(crate) fn told(&self) -> &Told {
        &self.told
    }

    /// Has a host write with so many tasks, each call with this deadline, where there is one.
    pub(crate) fn write(&mut self, db: &Persistence, tasks: u64, deadline: Option<Duration>) {
        for _ in 0..tasks {
            let number = self.names;
            self.names += 1;
            let task = Task {
                log: AckLog::create(self.logs.path().join(format!("{number}.acks"))).unwrap(),
                told: Arc::clone(&self.told),
                applied: self.applied.clone(),
                stop: Arc::clone(&self.stop),
                db: db.clone(),
                number,
                deadline,
            };
            self.tasks.spawn(task.run());
        }
    }

    /// Waits until so many more writes were answered as applied, and says how long that took.
    pub(crate) async fn answers(&self, more: u64) -> Duration {
        let begun = Instant::now();
        let mut applied = self.applied.subscribe();
        let wanted = *applied.borrow() + more;
        let waited = timeout(TIMEOUT, applied.wait_for(|applied| *applied >= wanted)).await;
        waited.expect("the store takes writes again").unwrap();
        begun.elapsed()
    }

    /// Ends the writers, once each knows what became of its last write.
    pub(crate) async fn stop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        while let Some(ended) = timeout(TIMEOUT, self.tasks.join_next()).await.expect("all writers end") {
            ended.unwrap();
        }
    }

    /// Holds the store against what all of them were answered.
    pub(crate) async fn check(&self, db: &Persistence) -> Checked {
        let mut ledger = read(self.logs.path());
        let (faults, messages) = check_messages(db, &mut ledger).await;
        assert_eq!(ledger.unanswered(), 0);
        Checked { faults, messages, acknowledged: ledger.acknowledged() }
    }
}

/// What a check found.
pub(crate) struct Checked {
    pub(crate) faults: Vec<String>,
    pub(crate) messages: u64,
    /// How many calls were answered as applied; a call that was repeated counts each time.
    pub(crate) acknowledged: u64,
}

fn read(logs: &Path) -> Ledger {
    let mut ledger = Ledger::new();
    ledger.read_directory(logs).unwrap();
    ledger
}

struct Task {
    log: AckLog,
    told: Arc<Told>,
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
            // One that nobody knows of is made again under its key, until somebody does: that is what the key is for.
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
        self.tell(outcome, asked.elapsed());
        outcome
    }

    fn tell(&self, outcome: Outcome, took: Duration) {
        if let Some(deadline) = self.deadline {
            let late = u64::try_from(took.saturating_sub(deadline).as_millis()).unwrap();
            self.told.late.fetch_max(late, Ordering::SeqCst);
        }
        let count = match outcome {
            Outcome::Applied => {
                self.applied.send_modify(|applied| *applied += 1);
                &self.told.applied
            }
            Outcome::Refused => &self.told.refused,
            Outcome::Unknown => &self.told.unknown,
        };
        count.fetch_add(1, Ordering::SeqCst);
    }
}

/// What became of a call, as its caller is told.
pub(crate) fn effect<T>(answer: &Result<T, PersistError>) -> Effect {
    answer.as_ref().map_or_else(PersistError::effect, |_| Effect::Applied)
}
