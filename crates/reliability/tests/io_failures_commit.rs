//! REL-6: the `fsync` of a commit fails, and the process goes on or is gone: what the store holds is what was told.

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
    scaled,
    vfs::{self, Call, FileKind, Plan},
};
use throughline_sqlite::{Failpoint, SqliteOptions};
use tokio::task::JoinSet;

/// How long a commit is asked after: a disk that is broken for longer leaves it unknown.
const TIMEOUT: Duration = Duration::from_millis(50);

/// So often another store is begun.
const ROUNDS_OF_A_STORE: u64 = 20;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rel_6_a_commit_fails_and_the_process_goes_on() {
    let mut report = Report::new("REL-6");
    let mut random = report.random();
    let faults = vfs::install();
    let mut told = Told::default();
    let (mut rounds, mut fired) = (0, 0);
    while rounds < scaled(100) {
        let scene = Scene::new();
        let fences = Arc::<AtomicU64>::default();
        let counted = Arc::clone(&fences);
        let options = options().failpoints(move |point| {
            counted.fetch_add(u64::from(point == Failpoint::Fencing), Ordering::SeqCst);
            Ok(())
        });
        let db = open(options, &scene.path()).await;
        let log = Arc::new(scene.log());
        for round in 0..ROUNDS_OF_A_STORE {
            let before = fences.load(Ordering::SeqCst);
            let name = format!("round {round}");
            let times = random.choice([1, 1, 2, 3, u64::MAX]).unwrap();
            faults.plan(Plan::new(Call::Sync).on(FileKind::Wal).times(times));
            let answers = write(&db, &log, &name, random.u64(1..=6)).await;
            faults.clear();
            fired += faults.fired();
            // What was folded meanwhile may have met the failure instead of a commit.
            rounds += u64::from(fences.load(Ordering::SeqCst) > before);
            is_as_told(&db, &answers).await;
            let after = write(&db, &log, &format!("after {name}"), 1).await;
            assert!(after.values().all(|outcome| *outcome == Outcome::Applied), "{name}: {after:?}");
            is_as_told(&db, &answers).await;
        }
        db.close().await.unwrap();
        drop(log);
        told.add(&scene.check().await.0);
    }
    report.count("rounds", rounds);
    told.count(&mut report);
    report.fired("fsync", fired);
    report.finish();
}

/// Set for the process that is to die: where its store and its log are, and how it ends.
const DYING: &str = "THROUGHLINE_DYING";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rel_6_a_commit_fails_and_the_process_is_gone() {
    if let Ok(orders) = env::var(DYING) {
        return die(&orders).await;
    }
    let mut report = Report::new("REL-6");
    let mut deaths = BTreeMap::<&str, u64>::new();
    let (mut told, mut unanswered, mut came_true) = (Told::default(), 0, 0);
    let rounds = scaled(100);
    for round in 0..rounds {
        let scene = Scene::new();
        let death = DEATHS[round as usize % DEATHS.len()];
        *deaths.entry(death).or_default() += 1;
        let orders = format!("{death}\n{}\n{}", scene.path().display(), scene.acks.path().display());
        let dead = Command::new(env::current_exe().unwrap())
            .args(["rel_6_a_commit_fails_and_the_process_is_gone", "--exact", "--nocapture"])
            .env(DYING, orders)
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&dead.stdout);
        assert!(said.contains(DIES), "{death}: {said}{}", String::from_utf8_lossy(&dead.stderr));
        let (ledger, messages) = scene.check().await;
        told.add(&ledger);
        unanswered += ledger.unanswered();
        came_true += u64::from(messages > BEFORE);
    }
    report.count("rounds", rounds);
    told.count(&mut report);
    report.count("unanswered", unanswered);
    report.count("came true in doubt", came_true);
    for (death, times) in deaths {
        report.fired(death, times);
    }
    report.finish();
}

/// When the process ends, and what it was told until then.
const DEATHS: [&str; 5] = [
    // Nobody knows anything.
    "before it is looked into",
    // It was found out, and nobody was told.
    "before it is told",
    // Refused.
    "once it is told",
    // Refused after the first attempt to find out had failed as well.
    "once it is told late",
    // Unknown.
    "in doubt",
];

/// How many messages a process has written before its commit fails.
const BEFORE: u64 = 3;

/// What a process says last.
const DIES: &str = "dies as it was told to";

async fn die(orders: &str) {
    let orders: Vec<&str> = orders.lines().collect();
    let [death, path, acks] = orders[..] else { panic!("{orders:?}") };
    let faults = vfs::install();
    let at = match death {
        "before it is looked into" => Some(Failpoint::Fencing),
        "before it is told" => Some(Failpoint::Fenced),
        _ => None,
    };
    let options = options().failpoints(move |point| if Some(point) == at { end() } else { Ok(()) });
    let db = open(options, Path::new(path)).await;
    let log = Arc::new(AckLog::create(Path::new(acks).join("1.acks")).unwrap());
    let before = write(&db, &log, "before", 1).await;
    assert!(before.values().all(|outcome| *outcome == Outcome::Applied), "{before:?}");
    let plan = Plan::new(Call::Sync).on(FileKind::Wal);
    let (plan, expected) = match death {
        "once it is told late" => (plan.times(2), Outcome::Refused),
        "in doubt" => (plan.sticky(), Outcome::Unknown),
        _ => (plan, Outcome::Refused),
    };
    faults.plan(plan);
    let answers = write(&db, &log, "in doubt", 1).await;
    assert!(answers.values().all(|outcome| *outcome == expected), "{death}: {answers:?}");
    end();
}

/// Ends this process at once: nothing is closed, and nobody is told.
fn end() -> ! {
    println!("{DIES}");
    process::abort();
}

/// Makes so many calls at once, the first of them a batch; says what was told of each message.
async fn write(db: &Persistence, log: &Arc<AckLog>, name: &str, calls: u64) -> BTreeMap<String, Outcome> {
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
            (names, outcome)
        });
    }
    let mut answers = BTreeMap::new();
    while let Some(answer) = asked.join_next().await {
        let (names, outcome) = answer.unwrap();
        answers.extend(names.into_iter().map(|name| (name, outcome)));
    }
    answers
}

/// Who reads now sees what was told.
async fn is_as_told(db: &Persistence, answers: &BTreeMap<String, Outcome>) {
    let mut there = BTreeSet::new();
    let mut walk = db.thread("t").walk(PageFrom::Start, Visibility::All);
    while let Some(message) = walk.next().await.unwrap() {
        there.extend(name_of(&message));
    }
    for (name, outcome) in answers {
        match outcome {
            Outcome::Applied => assert!(there.contains(name), "`{name}` was acknowledged"),
            Outcome::Refused => assert!(!there.contains(name), "`{name}` was refused"),
            Outcome::Unknown => {}
        }
    }
}

fn options() -> SqliteOptions {
    SqliteOptions::new().wait_limit(TIMEOUT)
}

async fn open(options: SqliteOptions, path: &Path) -> Persistence {
    Persistence::builder().backend(options.open(path).await.unwrap()).build().unwrap()
}

/// A store, and elsewhere what it was asked and has answered.
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

    /// Holds what is there against what was answered; says how many messages there are.
    async fn check(&self) -> (Ledger, u64) {
        let mut ledger = Ledger::new();
        ledger.read_directory(self.acks.path()).unwrap();
        let checked = check_store(&self.path(), &mut ledger).await;
        assert_eq!(checked.faults, [""; 0]);
        (ledger, checked.messages)
    }
}

/// What was told in all rounds.
#[derive(Default)]
struct Told([u64; 3]);

impl Told {
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
