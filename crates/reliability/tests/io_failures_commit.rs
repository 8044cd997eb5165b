//! REL-6: the `fsync` of a commit fails, and the process continues or dies: the store agrees with every answer.

use std::{
    collections::{BTreeMap, BTreeSet},
    env,
    path::{Path, PathBuf},
    process::{self, Command},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tempfile::TempDir;
use throughline_core::{
    Persistence,
    messages::{Add, Batch, PageFrom, Visibility},
};
use throughline_reliability::{
    Report,
    acks::{AckLog, Call as Asked, Ledger, Outcome, check_store, message, name_of},
    health_when, scaled,
    vfs::{self, Call, FileKind, Plan},
};
use throughline_sqlite::{Condition, Failpoint, Maintenance, SqliteOptions};
use tokio::task::JoinSet;

/// How long a call may take in a store whose disk fails for longer, so that the outcome of a commit stays unknown. The writes before and after
/// that failure have to succeed in this time, also on a busy machine.
const TIMEOUT: Duration = Duration::from_millis(500);

/// The longest time until the store accepts writes after the disk works again.
const SOON: Duration = Duration::from_secs(20);

/// The number of rounds with the same store.
const ROUNDS_OF_A_STORE: u64 = 20;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rel_6_store_agrees_with_answers_after_a_failed_commit() {
    let mut report = Report::new("REL-6");
    let mut random = report.random();
    let faults = vfs::install();
    let mut outcomes = OutcomeCounts::default();
    let (mut rounds, mut fired) = (0, 0);
    while rounds < scaled(100) {
        let scene = Scene::new();
        let fence_transaction_count = Arc::<AtomicU64>::default();
        let counted = Arc::clone(&fence_transaction_count);
        let options = SqliteOptions::new().wait_limit(TIMEOUT).failpoints(move |point| {
            counted.fetch_add(u64::from(point == Failpoint::Fencing), Ordering::SeqCst);
            Ok(())
        });
        let (db, maintenance) = open(options, &scene.path()).await;
        let log = Arc::new(scene.log());
        for round in 0..ROUNDS_OF_A_STORE {
            let before = fence_transaction_count.load(Ordering::SeqCst);
            let name = format!("round {round}");
            let times = random.choice([1, 1, 2, 3, u64::MAX]).unwrap();
            faults.plan(Plan::new(Call::Sync).on(FileKind::Wal).times(times));
            let answers = write(&db, &log, &name, random.u64(1..=6)).await;
            faults.clear();
            fired += faults.fired();
            // A checkpoint may have met the failure instead of a commit.
            rounds += u64::from(fence_transaction_count.load(Ordering::SeqCst) > before);
            expect_answers_hold(&db, &answers).await;
            if times > 1 {
                // Failures that last for a second make the store read-only until it has committed again.
                health_when(&maintenance, SOON, |health| health.condition == Condition::Writable).await;
            }
            let after = write(&db, &log, &format!("after {name}"), 1).await;
            assert!(after.values().all(|answer| answer.outcome == Outcome::Applied), "{name}: {after:#?}");
            expect_answers_hold(&db, &answers).await;
        }
        db.close().await.unwrap();
        drop(log);
        outcomes.add(&scene.check().await.0);
    }
    report.count("rounds", rounds);
    outcomes.count(&mut report);
    report.fired("fsync", fired);
    report.finish();
}

/// The variable for the process that dies: how it dies, and the paths of its store and its log.
const DYING: &str = "THROUGHLINE_DYING";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rel_6_store_agrees_with_answers_after_a_failed_commit_and_a_crash() {
    if let Ok(orders) = env::var(DYING) {
        return die(&orders).await;
    }
    let mut report = Report::new("REL-6");
    let mut deaths = BTreeMap::<&str, u64>::new();
    let (mut outcomes, mut unanswered, mut applied_in_doubt) = (OutcomeCounts::default(), 0, 0);
    let rounds = scaled(100);
    for round in 0..rounds {
        let scene = Scene::new();
        let death = DEATHS[round as usize % DEATHS.len()];
        *deaths.entry(death).or_default() += 1;
        let orders = format!("{death}\n{}\n{}", scene.path().display(), scene.acks.path().display());
        let dead = Command::new(env::current_exe().unwrap())
            .args([
                "rel_6_store_agrees_with_answers_after_a_failed_commit_and_a_crash",
                "--exact",
                "--nocapture",
            ])
            .env(DYING, orders)
            .output()
            .unwrap();
        let printed = String::from_utf8_lossy(&dead.stdout);
        assert!(printed.contains(DIES), "{death}: {printed}{}", String::from_utf8_lossy(&dead.stderr));
        let (ledger, messages) = scene.check().await;
        outcomes.add(&ledger);
        unanswered += ledger.unanswered();
        applied_in_doubt += u64::from(messages > BEFORE);
    }
    report.count("rounds", rounds);
    outcomes.count(&mut report);
    report.count("unanswered", unanswered);
    report.count("applied in doubt", applied_in_doubt);
    for (death, times) in deaths {
        report.fired(death, times);
    }
    report.finish();
}

/// When the process dies, and which answer it has by then.
const DEATHS: [&str; 5] = [
    // The outcome is not resolved.
    "before the fence transaction",
    // The outcome is resolved, and the caller has no answer.
    "before the answer",
    // Refused.
    "after the answer",
    // Refused, after the first fence transaction also failed.
    "after a late answer",
    // Unknown.
    IN_DOUBT,
];

/// The death while the disk still fails.
const IN_DOUBT: &str = "in doubt";

/// The number of messages that a process writes before its commit fails.
const BEFORE: u64 = 3;

/// The last line that a process prints.
const DIES: &str = "dies as planned";

async fn die(orders: &str) {
    let orders: Vec<&str> = orders.lines().collect();
    let [death, path, acks] = orders[..] else { panic!("{orders:?}") };
    let faults = vfs::install();
    let at = match death {
        "before the fence transaction" => Some(Failpoint::Fencing),
        "before the answer" => Some(Failpoint::Fenced),
        _ => None,
    };
    let mut options =
        SqliteOptions::new().failpoints(move |point| if Some(point) == at { end() } else { Ok(()) });
    if death == IN_DOUBT {
        options = options.wait_limit(TIMEOUT);
    }
    let (db, _) = open(options, Path::new(path)).await;
    let log = Arc::new(AckLog::create(Path::new(acks).join("1.acks")).unwrap());
    let before = write(&db, &log, "before", 1).await;
    assert!(before.values().all(|answer| answer.outcome == Outcome::Applied), "{before:#?}");
    let plan = Plan::new(Call::Sync).on(FileKind::Wal);
    let (plan, expected) = match death {
        "after a late answer" => (plan.times(2), Outcome::Refused),
        IN_DOUBT => (plan.sticky(), Outcome::Unknown),
        _ => (plan, Outcome::Refused),
    };
    faults.plan(plan);
    let answers = write(&db, &log, "in doubt", 1).await;
    assert!(answers.values().all(|answer| answer.outcome == expected), "{death}: {answers:#?}");
    end();
}

/// Aborts this process: it closes nothing, and no caller gets an answer.
fn end() -> ! {
    println!("{DIES}");
    process::abort();
}

/// The answer for a message.
#[derive(Clone, Debug)]
struct Answer {
    outcome: Outcome,
    /// The text of the error and of its causes, for the message of an assertion.
    #[expect(dead_code, reason = "only printed")]
    error: Option<String>,
}

/// Makes concurrent calls, the first of them a batch. Returns the answer for each message.
async fn write(db: &Persistence, log: &Arc<AckLog>, name: &str, calls: u64) -> BTreeMap<String, Answer> {
    let mut asked = JoinSet::new();
    for call in 0..calls {
        let items = if call == 0 { 3 } else { 1 };
        let names: Vec<String> = (0..items).map(|item| format!("{name}, {call}.{item}")).collect();
        let (db, log) = (db.clone(), Arc::clone(log));
        asked.spawn(async move {
            let begun =
                log.begin(Asked::Add, "t", &names.iter().map(String::as_str).collect::<Vec<_>>()).unwrap();
            let mut adds = names.iter().map(|name| Add::new("t".parse().unwrap(), message(name)));
            let answer = match (adds.next(), adds.len()) {
                (Some(add), 0) => db.run(add).await.map(drop),
                (first, _) => {
                    db.batch(first.into_iter().chain(adds).fold(Batch::new(), Batch::with)).await.map(drop)
                }
            };
            let outcome = Outcome::of(&answer);
            begun.end(outcome).unwrap();
            let error = answer.err().map(|error| format!("{error}, {error:?}"));
            (names, Answer { outcome, error })
        });
    }
    let mut answers = BTreeMap::new();
    while let Some(answer) = asked.join_next().await {
        let (names, answer) = answer.unwrap();
        answers.extend(names.into_iter().map(|name| (name, answer.clone())));
    }
    answers
}

/// Asserts that a read agrees with the answers.
async fn expect_answers_hold(db: &Persistence, answers: &BTreeMap<String, Answer>) {
    let mut there = BTreeSet::new();
    let mut walk = db.thread("t").walk(PageFrom::Start, Visibility::All);
    while let Some(message) = walk.next().await.unwrap() {
        there.extend(name_of(&message));
    }
    for (name, answer) in answers {
        match answer.outcome {
            Outcome::Applied => assert!(there.contains(name), "`{name}` was acknowledged"),
            Outcome::Refused => assert!(!there.contains(name), "`{name}` was refused"),
            Outcome::Unknown => {}
        }
    }
}

async fn open(options: SqliteOptions, path: &Path) -> (Persistence, Maintenance) {
    let backend = options.open(path).await.unwrap();
    let maintenance = backend.maintenance();
    (Persistence::builder().backend(backend).build().unwrap(), maintenance)
}

/// A store, and a directory for its acknowledgement log.
struct Scene {
    store: TempDir,
    acks: TempDir,
}

impl Scene {
    fn new() -> Self {
        let directory = || tempfile::tempdir().unwrap();
        Self { store: directory(), acks: directory() }
    }

    fn path(&self) -> PathBuf {
        self.store.path().join("chat.db")
    }

    fn log(&self) -> AckLog {
        AckLog::create(self.acks.path().join("1.acks")).unwrap()
    }

    /// Compares the store with the acknowledgement log. Returns the log, and the number of messages in the store.
    async fn check(&self) -> (Ledger, u64) {
        let mut ledger = Ledger::new();
        ledger.read_directory(self.acks.path()).unwrap();
        let checked = check_store(&self.path(), &mut ledger).await;
        assert_eq!(checked.faults, [""; 0]);
        (ledger, checked.messages)
    }
}

/// The outcomes of all rounds.
#[derive(Default)]
struct OutcomeCounts([u64; 3]);

impl OutcomeCounts {
    fn add(&mut self, ledger: &Ledger) {
        for outcome in Outcome::ALL {
            self.0[outcome as usize] += ledger.outcomes(outcome);
        }
    }

    fn count(&self, report: &mut Report) {
        for outcome in Outcome::ALL {
            report.count(format!("{outcome:?}"), self.0[outcome as usize]);
        }
    }
}
