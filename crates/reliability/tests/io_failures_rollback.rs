//! REL-7: SQLite rolls back a transaction of many writes by itself, and commits nothing of it.

use std::{
    collections::BTreeMap,
    ops::Range,
    path::Path,
    sync::{Arc, Condvar, Mutex},
    time::Duration,
};

use rusqlite::ffi;
use throughline_core::{
    Content, Delta, Effect, ErrorKind, MessageId, MessageState, NewMessage, NewReservation, PersistError,
    Persistence, Revision, Role,
    messages::{Add, Batch, ContentChange, Delete, PageFrom, Reserve, UpdateMode, Visibility},
};
use throughline_reliability::{
    Report, scaled,
    vfs::{self, Call, FileKind, Plan},
};
use throughline_sqlite::{Failpoint, Maintenance, SqliteOptions};
use tokio::task::{JoinSet, yield_now};

/// The number of writes in the transaction.
const WRITES: u64 = 50;

/// The bytes of the first write: more than SQLite keeps of a transaction in memory, so that SQLite writes to the WAL in the
/// middle of a statement, and for every page of the later writes.
const FIRST_BYTES: usize = 9 << 20;

/// The bytes of each other write.
const BYTES: usize = 20 << 10;

/// The number of times that the test yields, so that all other tasks run until they wait.
const YIELDS: usize = 1000;

#[tokio::test]
async fn rel_7_rolled_back_transaction_leaves_nothing() {
    let mut report = Report::new("REL-7");
    let mut random = report.random();
    let faults = vfs::install();
    let mut refusals = 0;
    for round in 0..scaled(6) {
        let (call, code) = [
            (Call::Write, ffi::SQLITE_FULL),
            (Call::Write, ffi::SQLITE_IOERR_WRITE),
            (Call::ShortWrite, ffi::SQLITE_FULL),
        ][round as usize % 3];
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("chat.db");
        let stage = Arc::new(Stage::default());
        let (db, _) = open(&path, &stage).await;
        prepare(&db).await;
        let before = snapshot(&db).await;

        // The disk fails in the k-th write or soon after it. In every other round, that is the last write.
        let kth = if round % 2 == 0 { WRITES } else { random.u64(2..WRITES) };
        let plan = Plan::new(call).on(FileKind::Wal).nth(random.u64(1..5)).code(code);
        let answers = together(&db, &stage, 0..WRITES, Some((kth, plan))).await;
        assert_eq!(faults.fired(), 1);
        report.fired(format!("{call:?} with {code}"), faults.fired());
        let taken = stage.transactions()[0].taken;
        assert!(taken >= kth, "it fails after {taken} writes");
        // Writes that the failed transaction had not taken are in the next transaction.
        let mut transactions = vec![Transaction { taken, is_committed: false }];
        transactions
            .extend((taken < WRITES).then_some(Transaction { taken: WRITES - taken, is_committed: true }));
        assert_eq!(stage.transactions(), transactions);
        let refused: Vec<u64> = (0..WRITES).filter(|number| answers[number].is_err()).collect();
        assert_eq!(refused, (0..taken).collect::<Vec<_>>());
        for error in answers.into_values().filter_map(Result::err) {
            let kind = if code == ffi::SQLITE_FULL { ErrorKind::StorageFull } else { ErrorKind::Unavailable };
            assert_eq!((error.kind(), error.effect()), (kind, Effect::NotApplied), "{error:?}");
        }
        refusals += taken;
        let after = snapshot(&db).await;
        for number in &refused {
            assert_eq!(of(&after, *number), of(&before, *number), "write {number} was refused");
        }

        // The next transaction succeeds, and the repeated writes find nothing of the failed transaction.
        let answers = together(&db, &stage, 0..taken, None).await;
        assert!(answers.values().all(Result::is_ok), "{answers:?}");
        assert_eq!(stage.transactions(), [Transaction { taken, is_committed: true }]);
        let after = snapshot(&db).await;
        db.close().await.unwrap();
        let (db, maintenance) = open(&path, &stage).await;
        assert_eq!(snapshot(&db).await, after);
        assert!(maintenance.verify().await.unwrap().is_sound());
        db.close().await.unwrap();
    }
    report.count("refused", refusals);
    report.finish();
}

/// Controls the writer, and records its transactions.
#[derive(Default)]
struct Stage {
    /// Whether the writer waits before it takes a write.
    is_held: Mutex<bool>,
    released: Condvar,
    /// The number of a write in its transaction, and the fault that the writer plans when it applies that write.
    armed: Mutex<Option<(u64, Plan)>>,
    transactions: Mutex<Vec<Transaction>>,
}

/// The number of writes in a transaction, and whether it was committed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Transaction {
    taken: u64,
    is_committed: bool,
}

impl Stage {
    fn hold(&self, armed: Option<(u64, Plan)>) {
        *self.is_held.lock().unwrap() = true;
        *self.armed.lock().unwrap() = armed;
        self.transactions.lock().unwrap().clear();
    }

    fn release(&self) {
        *self.is_held.lock().unwrap() = false;
        self.released.notify_all();
    }

    fn transactions(&self) -> Vec<Transaction> {
        self.transactions.lock().unwrap().clone()
    }

    fn reach(&self, point: Failpoint) -> Result<(), i32> {
        if point == Failpoint::Begun {
            let held = self.is_held.lock().unwrap();
            drop(self.released.wait_while(held, |held| *held).unwrap());
            self.transactions.lock().unwrap().push(Transaction { taken: 0, is_committed: false });
        }
        let mut transactions = self.transactions.lock().unwrap();
        let Some(transaction) = transactions.last_mut() else { return Ok(()) };
        transaction.taken += u64::from(point == Failpoint::Applying);
        transaction.is_committed |= point == Failpoint::Committed;
        if let Some((_, plan)) = self.armed.lock().unwrap().take_if(|(kth, _)| *kth == transaction.taken) {
            vfs::install().plan(plan);
        }
        Ok(())
    }
}

async fn open(path: &Path, stage: &Arc<Stage>) -> (Persistence, Maintenance) {
    let stage = Arc::clone(stage);
    let backend = SqliteOptions::new()
        .batch_operations(WRITES as usize)
        .batch_bytes(1 << 30)
        .batch_time(Duration::from_secs(60))
        .failpoints(move |point| stage.reach(point))
        .open(path)
        .await
        .unwrap();
    let maintenance = backend.maintenance();
    (Persistence::builder().backend(backend).build().unwrap(), maintenance)
}

fn id(kind: &str, number: u64) -> MessageId {
    format!("{kind}-{number}").parse().unwrap()
}

/// Writes what the writes change and delete.
async fn prepare(db: &Persistence) {
    for number in 0..WRITES {
        let reservation = NewReservation::new(Role::Assistant).with_id(id("open", number));
        db.run(Reserve::new("t".parse().unwrap(), reservation)).await.unwrap();
        let message = NewMessage::user("short").with_id(id("old", number));
        db.thread("t").add(message).await.unwrap();
    }
}

/// The writes of one transaction: of every kind.
async fn write(db: Persistence, number: u64) -> Result<(), PersistError> {
    let (thread, text) = (db.thread("t"), "x".repeat(if number == 0 { FIRST_BYTES } else { BYTES }));
    match number % 5 {
        0 => thread.add(NewMessage::user(&text).with_id(id("new", number))).await.map(drop),
        1 => {
            let half = &text[..BYTES / 2];
            let add = |kind| Add::new("t".parse().unwrap(), NewMessage::user(half).with_id(id(kind, number)));
            db.batch(Batch::new().with(add("first")).with(add("second"))).await.map(drop)
        }
        2 => {
            let change = ContentChange::Append(Delta::text(text));
            thread.update_content(id("open", number), change, UpdateMode::Partial).await.map(drop)
        }
        3 => thread.edit(id("old", number), Content::text(&text)).await.map(drop),
        _ => {
            let delete = Delete::new("t".parse().unwrap(), id("old", number));
            let add = Add::new("t".parse().unwrap(), NewMessage::user(&text).with_id(id("new", number)));
            db.batch(Batch::new().with(delete).with(add)).await.map(drop)
        }
    }
}

/// Makes these writes wait in the queue before the writer takes the first one, so that their order is fixed. Returns their
/// answers.
async fn together(
    db: &Persistence,
    stage: &Stage,
    numbers: Range<u64>,
    armed: Option<(u64, Plan)>,
) -> BTreeMap<u64, Result<(), PersistError>> {
    stage.hold(armed);
    let mut writes = JoinSet::new();
    for number in numbers {
        let db = db.clone();
        writes.spawn(async move { (number, write(db, number).await) });
    }
    // All tasks share one thread, so every task has run until it waits by then.
    for _ in 0..YIELDS {
        yield_now().await;
    }
    stage.release();
    writes.join_all().await.into_iter().collect()
}

/// All messages of a store.
type Snapshot = BTreeMap<MessageId, (MessageState, Revision, usize)>;

/// Returns the part of a snapshot that belongs to one write.
fn of(snapshot: &Snapshot, number: u64) -> Snapshot {
    let ending = format!("-{number}");
    let mut part = snapshot.clone();
    part.retain(|id, _| id.as_str().ends_with(&ending));
    part
}

async fn snapshot(db: &Persistence) -> Snapshot {
    let mut messages = BTreeMap::new();
    let mut walk = db.thread("t").walk(PageFrom::Start, Visibility::All);
    while let Some(message) = walk.next().await.unwrap() {
        let shown = (message.state, message.revision, message.content.byte_len());
        assert_eq!(messages.insert(message.id, shown), None, "a message is there twice");
    }
    messages
}
