//! REL-5: every call on the disk fails, one after the other, once and for good.

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
    vfs::{self, Call, Faults, Plan},
};
use throughline_sqlite::{Condition, Maintenance, OpenError, SqliteOptions};
use tokio::{task::spawn_blocking, time::timeout};

/// More calls than the work makes.
const MANY: u64 = 2000;

/// How long a call is retried. While the disk stays broken, every failure costs this.
const PATIENT: Duration = Duration::from_secs(5);
const IMPATIENT: Duration = Duration::from_millis(25);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rel_5_a_sync_fails() {
    sweep(&[Call::Sync]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rel_5_a_write_fails() {
    sweep(&[Call::Write]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rel_5_a_write_is_cut_short() {
    sweep(&[Call::ShortWrite]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rel_5_a_read_fails() {
    sweep(&[Call::Read]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rel_5_a_truncation_fails() {
    sweep(&[Call::Truncate]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rel_5_a_file_is_not_opened() {
    sweep(&[Call::Open]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rel_5_a_lock_or_the_index_of_the_log_fails() {
    sweep(&[Call::Lock, Call::ShmMap, Call::ShmLock]).await;
}

/// Has these calls fail: in a store that is made, and in one that was there.
async fn sweep(calls: &[Call]) {
    let mut report = Report::new("REL-5");
    let there = Scene::new(None);
    let (db, _) = there.open(PATIENT).await.unwrap();
    there.add(&db, "there").await.unwrap();
    db.close().await.unwrap();
    let mut told = [0; 3];
    for &call in calls {
        for origin in [None, Some(&there)] {
            let store = if origin.is_some() { "there" } else { "fresh" };
            for (how, sticky) in [("once", false), ("sticky", true)] {
                let (rounds, fired) = each(call, origin, sticky, &mut told).await;
                let what = format!("{call:?}, {store}, {how}");
                report.count(format!("rounds[{what}]"), rounds);
                report.fired(what, fired);
            }
        }
    }
    for outcome in Outcome::ALL {
        report.count(format!("{outcome:?}"), told[outcome as usize]);
    }
    report.finish();
}

/// Has the n-th of these calls fail for every n that there is. Where all after it fail as well, less depends on which was
/// the first: every n up to 8, and then fewer and fewer. Answers how many rounds it were, and how many calls failed.
async fn each(call: Call, origin: Option<&Scene>, sticky: bool, told: &mut [u64; 3]) -> (u64, u64) {
    let faults = vfs::install();
    let (mut nth, mut rounds, mut fired) = (1, 0, 0);
    loop {
        let plan = Plan::new(call).nth(nth);
        let plan = if sticky { plan.sticky() } else { plan };
        let _named = Named(plan);
        let ledger = Scene::new(origin).run(faults, plan, sticky).await;
        for outcome in Outcome::ALL {
            told[outcome as usize] += ledger.outcomes(outcome);
        }
        rounds += 1;
        fired += faults.fired();
        if faults.fired() == 0 {
            return (rounds, fired);
        }
        nth += if sticky { 1 + nth / 8 } else { 1 };
        assert!(nth < MANY, "{call:?}: the work never comes to its end");
    }
}

/// Says which failure it was when something is not as it has to be.
struct Named(Plan);

impl Drop for Named {
    fn drop(&mut self) {
        if thread::panicking() {
            println!("{:?}", self.0);
        }
    }
}

/// A store, and elsewhere what it was asked and has answered.
struct Scene {
    store: TempDir,
    acks: TempDir,
    log: AckLog,
}

impl Scene {
    /// Of a store that is not there yet, or of a copy of one that is closed.
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

    /// Opens the store, works, and closes it, with a failure on the way; checks what is there afterwards.
    async fn run(self, faults: &Faults, plan: Plan, sticky: bool) -> Ledger {
        faults.plan(plan);
        let timeout = if sticky { IMPATIENT } else { PATIENT };
        let opened = match self.open(timeout).await {
            Ok(opened) => opened,
            Err(error) => {
                is_of_the_disk(error.kind(), &error.to_string());
                assert!(faults.fired() > 0, "{error}");
                if sticky {
                    faults.clear();
                }
                self.open(PATIENT).await.expect("it opens when the failure is over")
            }
        };
        let (db, maintenance) = opened;
        self.work(&db).await;
        let struck = faults.fired() > 0;
        if struck && sticky {
            faults.clear();
            self.writes_again(&db, &maintenance).await;
        } else if struck {
            self.add(&db, "again").await.expect("it writes again, at once");
        }
        if let Err(error) = db.close().await {
            assert!(faults.fired() > 0 && !struck, "{error}");
            is_of_the_disk(error.kind(), &error.to_string());
        }
        drop(maintenance);
        faults.clear();
        self.check().await
    }

    /// A dozen writes from three tasks, with a checkpoint and reads between them.
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
            // A batch is compared as a whole: what is deleted was added by itself.
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
        // Each ends at its first failure; what it was is in the log.
        let _ended: (Result<_, _>, Result<_, _>, Result<_, _>) = tokio::join!(draft, batch, checkpoint);
        self.read(db).await;
    }

    async fn add(&self, db: &Persistence, name: &str) -> Result<(), PersistError> {
        let id = name.replace(' ', "-").parse().unwrap();
        self.ask(Asked::Add, &[name], db.thread("t").add(message(name).with_id(id))).await
    }

    /// Makes a call with its line in the log. An error is one that such a disk may lead to.
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

    /// What is read is read well, or the disk is to blame: also for a reader that is not there in time.
    async fn read(&self, db: &Persistence) {
        let page = db.thread("t").page_showing(PageFrom::End, 100, Visibility::All).await;
        if let Some(error) = page.err().filter(|error| error.kind() != ErrorKind::Overloaded) {
            is_of_the_disk(error.kind(), &error.to_string());
        }
    }

    /// The failure is over: the next write is taken, unless the store has said before that it takes none.
    async fn writes_again(&self, db: &Persistence, maintenance: &Maintenance) {
        let mut health = maintenance.health();
        while health.condition != Condition::Writable {
            health =
                timeout(PATIENT, maintenance.health_other_than(&health)).await.expect("it is writable again");
        }
        self.add(db, "again").await.expect("it writes again");
    }

    /// Holds what is there, without failures, against what was answered.
    async fn check(self) -> Ledger {
        drop(self.log);
        let mut ledger = Ledger::new();
        ledger.read_directory(self.acks.path()).unwrap();
        let path = self.store.path().join("chat.db");
        // Where the header of a file says whether it has a log. Nobody has it open.
        let header = fs::read(&path).unwrap();
        assert_eq!(header[18..20], [2, 2], "the store was used without a log");
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

/// Folds the log into the file from a connection of its own, which may fail like any other.
fn checkpoint(path: &Path) {
    let folded =
        Connection::open(path).and_then(|db| db.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(())));
    // SQLite may fail here; nothing else may.
    assert!(folded.as_ref().err().is_none_or(|error| error.sqlite_error().is_some()), "{folded:?}");
}

/// Who asked nothing wrong is told nothing else.
#[track_caller]
fn is_of_the_disk(kind: ErrorKind, error: &str) {
    assert!(matches!(kind, ErrorKind::Unavailable | ErrorKind::StorageFull), "{kind}: {error}");
}
