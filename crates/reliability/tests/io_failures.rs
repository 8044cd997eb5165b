//! REL-5: each disk call fails, one after the other, once and permanently.

use std::{
    fs,
    path::{Path, PathBuf},
    thread,
    time::Duration,
};

use rusqlite::Connection;
use tempfile::TempDir;
use throughline_core::{
    Delta, Effect, ErrorKind, MessageId, NewReservation, PersistError, Persistence, Role,
    messages::{Add, Batch, ContentChange, PageFrom, Reserve, UpdateMode, Visibility},
};
use throughline_reliability::{
    Report,
    acks::{AckLog, Call as Asked, Ledger, Outcome, check_store, halves, message, metadata},
    health_when,
    vfs::{self, Call, Faults, Plan},
};
use throughline_sqlite::{Condition, Maintenance, OpenError, SqliteOptions};
use tokio::task::spawn_blocking;

/// More calls than the workload makes.
const MANY: u64 = 2000;

/// The timeout of a call. While the disk stays broken, every failure takes this long.
const LONG_TIMEOUT: Duration = Duration::from_secs(5);
const SHORT_TIMEOUT: Duration = Duration::from_millis(25);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rel_5_store_survives_failed_syncs() {
    fail_each(&[Call::Sync]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rel_5_store_survives_failed_writes() {
    fail_each(&[Call::Write]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rel_5_store_survives_short_writes() {
    fail_each(&[Call::ShortWrite]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rel_5_store_survives_failed_reads() {
    fail_each(&[Call::Read]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rel_5_store_survives_failed_truncations() {
    fail_each(&[Call::Truncate]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rel_5_store_survives_failed_opens() {
    fail_each(&[Call::Open]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rel_5_store_survives_failed_locks_and_shared_memory() {
    fail_each(&[Call::Lock, Call::ShmMap, Call::ShmLock]).await;
}

/// Makes these calls fail, each in turn, while a store is created and in an existing store.
async fn fail_each(calls: &[Call]) {
    let mut report = Report::new("REL-5");
    let there = Scene::new(None);
    let (db, _) = there.open(LONG_TIMEOUT).await.unwrap();
    there.add(&db, "there").await.unwrap();
    db.close().await.unwrap();
    let mut outcomes = [0; 3];
    for &call in calls {
        for origin in [None, Some(&there)] {
            let store = if origin.is_some() { "there" } else { "fresh" };
            for (how, sticky) in [("once", false), ("sticky", true)] {
                let (rounds, fired) = each(call, origin, sticky, &mut outcomes).await;
                let fault = format!("{call:?}, {store}, {how}");
                report.count(format!("rounds[{fault}]"), rounds);
                report.fired(fault, fired);
            }
        }
    }
    for outcome in Outcome::ALL {
        report.count(format!("{outcome:?}"), outcomes[outcome as usize]);
    }
    report.finish();
}

/// Makes the n-th of these calls fail, for every n. If all later calls also fail, the first failed call matters less: then
/// only every n up to 8, and fewer after that. Returns the number of rounds and of failed calls.
async fn each(call: Call, origin: Option<&Scene>, sticky: bool, outcomes: &mut [u64; 3]) -> (u64, u64) {
    let faults = vfs::install();
    let (mut nth, mut rounds, mut fired) = (1, 0, 0);
    loop {
        let plan = Plan::new(call).nth(nth);
        let plan = if sticky { plan.sticky() } else { plan };
        let _named = Named(plan);
        let ledger = Scene::new(origin).run(faults, plan, sticky).await;
        for outcome in Outcome::ALL {
            outcomes[outcome as usize] += ledger.outcomes(outcome);
        }
        rounds += 1;
        fired += faults.fired();
        if faults.fired() == 0 {
            return (rounds, fired);
        }
        nth += if sticky { 1 + nth / 8 } else { 1 };
        assert!(nth < MANY, "{call:?}: the workload never ends");
    }
}

/// Prints the plan of the faults when a test panics.
struct Named(Plan);

impl Drop for Named {
    fn drop(&mut self) {
        if thread::panicking() {
            println!("{:?}", self.0);
        }
    }
}

/// A store, and a directory for its acknowledgement log.
struct Scene {
    store: TempDir,
    acks: TempDir,
    log: AckLog,
}

impl Scene {
    /// Returns a scene for a new store, or for a copy of a closed store.
    fn new(origin: Option<&Self>) -> Self {
        let directory = || tempfile::tempdir().unwrap();
        let (store, acks) = (directory(), directory());
        if let Some(origin) = origin {
            fs::copy(origin.path(), store.path().join("chat.db")).unwrap();
            fs::copy(origin.acks.path().join("1.acks"), acks.path().join("0.acks")).unwrap();
        }
        let log = AckLog::create(acks.path().join("1.acks")).unwrap();
        Self { store, acks, log }
    }

    fn path(&self) -> PathBuf {
        self.store.path().join("chat.db")
    }

    async fn open(&self, timeout: Duration) -> Result<(Persistence, Maintenance), OpenError> {
        let backend = SqliteOptions::new().wait_limit(timeout).open(self.path()).await?;
        let maintenance = backend.maintenance();
        Ok((Persistence::builder().backend(backend).build().unwrap(), maintenance))
    }

    /// Opens the store, runs the workload and closes the store, with a fault on the way. Then checks the store.
    async fn run(self, faults: &Faults, plan: Plan, sticky: bool) -> Ledger {
        faults.plan(plan);
        let timeout = if sticky { SHORT_TIMEOUT } else { LONG_TIMEOUT };
        let opened = match self.open(timeout).await {
            Ok(opened) => opened,
            Err(error) => {
                is_of_the_disk(error.kind(), &error.to_string());
                assert!(faults.fired() > 0, "{error}");
                if sticky {
                    faults.clear();
                }
                self.open(LONG_TIMEOUT).await.expect("it opens after the fault")
            }
        };
        let (db, maintenance) = opened;
        self.work(&db).await;
        let struck = faults.fired() > 0;
        if struck && sticky {
            faults.clear();
            self.writes_again(&db, &maintenance).await;
        } else if struck {
            self.add(&db, "again").await.expect("it accepts the next write");
        }
        if let Err(error) = db.close().await {
            assert!(faults.fired() > 0 && !struck, "{error}");
            is_of_the_disk(error.kind(), &error.to_string());
        }
        drop(maintenance);
        faults.clear();
        self.check().await
    }

    /// Runs a dozen writes in three tasks, with a checkpoint and reads between them.
    async fn work(&self, db: &Persistence) {
        let draft = async {
            let id: MessageId = "draft".parse().unwrap();
            let reservation =
                NewReservation::new(Role::Assistant).with_id(id.clone()).with_metadata(metadata("draft"));
            let reserve = Reserve::new("t".parse().unwrap(), reservation);
            self.ask(Asked::Reserve, &["draft"], db.run(reserve)).await?;
            let (front, back) = halves("draft");
            let append = |text, mode| {
                let change = ContentChange::Append(Delta::text(text));
                db.thread("t").update_content(id.clone(), change, mode)
            };
            self.ask(Asked::Flush, &["draft"], append(front, UpdateMode::Partial)).await?;
            self.ask(Asked::Finish, &["draft"], append(back, UpdateMode::Final)).await
        };
        let batch = async {
            let names = ["one", "two", "three"];
            let batch = names.iter().fold(Batch::new(), |batch, name| {
                batch.with(Add::new("t".parse().unwrap(), message(name).with_id(name.parse().unwrap())))
            });
            self.ask(Asked::Add, &names, db.batch(batch)).await?;
            self.read(db).await;
            // The log compares a batch as a whole, so the deleted message is not part of the batch.
            self.add(db, "four").await?;
            self.ask(Asked::Delete, &["four"], db.thread("t").delete("four".parse().unwrap())).await
        };
        let checkpoint = async {
            self.add(db, "before").await?;
            let path = self.path();
            spawn_blocking(move || checkpoint(&path)).await.unwrap();
            self.add(db, "after").await?;
            self.add(db, "last").await
        };
        // Each task ends at its first failure, which the log records.
        let _ended: (Result<_, _>, Result<_, _>, Result<_, _>) = tokio::join!(draft, batch, checkpoint);
        self.read(db).await;
    }

    async fn add(&self, db: &Persistence, name: &str) -> Result<(), PersistError> {
        let id = name.replace(' ', "-").parse().unwrap();
        self.ask(Asked::Add, &[name], db.thread("t").add(message(name).with_id(id))).await
    }

    /// Makes a call and logs it. Asserts that an error is one that a broken disk can cause.
    async fn ask<T>(
        &self,
        asked: Asked,
        names: &[&str],
        call: impl IntoFuture<Output = Result<T, PersistError>>,
    ) -> Result<(), PersistError> {
        let begun = self.log.begin(asked, "t", names).unwrap();
        let answer = call.await;
        begun.end(Outcome::of(&answer)).unwrap();
        answer.map(drop).inspect_err(|error| {
            is_of_the_disk(error.kind(), &format!("{error:?}"));
            assert_ne!(error.effect(), Effect::Applied, "{error:?}");
        })
    }

    /// Asserts that a read succeeds, or fails because of the disk or of a timeout.
    async fn read(&self, db: &Persistence) {
        let page = db.thread("t").page_showing(PageFrom::End, 100, Visibility::All).await;
        if let Some(error) = page.err().filter(|error| error.kind() != ErrorKind::Overloaded) {
            is_of_the_disk(error.kind(), &error.to_string());
        }
    }

    /// Asserts that the store accepts the next write after the fault, once its health is writable.
    async fn writes_again(&self, db: &Persistence, maintenance: &Maintenance) {
        health_when(maintenance, LONG_TIMEOUT, |health| health.condition == Condition::Writable).await;
        self.add(db, "again").await.expect("it writes again");
    }

    /// Compares the store with the acknowledgement log, without faults.
    async fn check(self) -> Ledger {
        drop(self.log);
        let mut ledger = Ledger::new();
        ledger.read_directory(self.acks.path()).unwrap();
        let path = self.store.path().join("chat.db");
        // These bytes of the file header state the journal mode. No connection has the file open.
        let header = fs::read(&path).unwrap();
        assert_eq!(header[18..20], [2, 2], "the store was used without a WAL");
        let checked = check_store(&path, &mut ledger).await;
        assert_eq!(checked.faults, [""; 0]);
        let found: String = Connection::open(&path)
            .unwrap()
            .query_row("PRAGMA integrity_check", [], |row| row.get(0))
            .unwrap();
        assert_eq!(found, "ok");
        ledger
    }
}

/// Runs a checkpoint on another connection, which can fail too.
fn checkpoint(path: &Path) {
    let checkpointed =
        Connection::open(path).and_then(|db| db.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(())));
    // Only SQLite may fail here.
    assert!(
        checkpointed.as_ref().err().is_none_or(|error| error.sqlite_error().is_some()),
        "{checkpointed:?}"
    );
}

/// Asserts that the error is one of the disk, because no call was invalid.
#[track_caller]
fn is_of_the_disk(kind: ErrorKind, error: &str) {
    assert!(matches!(kind, ErrorKind::Unavailable | ErrorKind::StorageFull), "{kind}: {error}");
}
