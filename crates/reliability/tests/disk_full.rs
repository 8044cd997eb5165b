//! REL-10: the disk becomes full, and has space again.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
    time::{Duration, Instant},
};

use throughline_core::{
    Effect, ErrorKind, MessageId, NewMessage, PersistError, Persistence,
    messages::{PageFrom, Visibility},
};
use throughline_reliability::{
    Report,
    mount::{Ballast, Ext4, Tmpfs, free},
    scaled, skipped,
};
use throughline_sqlite::{Maintenance, SqliteOptions};
use tokio::{runtime::Runtime, task::JoinSet};

const MIB: u64 = 1 << 20;

/// The size of the disk, and the space that the ballast leaves to the store.
const DISK: u64 = 48 * MIB;
const SPACE: u64 = 6 * MIB;

/// The number of concurrent tasks, and the most writes of each.
const TASKS: usize = 16;
const MANY: usize = 10_000;

/// The number of consecutive refused writes on the full disk.
const REFUSALS: usize = 20;

const DEADLINE: Duration = Duration::from_secs(2);

/// The longest time until the first write succeeds after space was freed, on a busy machine. The report has the actual time.
const SOON: Duration = Duration::from_secs(10);

#[test]
fn rel_10_store_recovers_from_a_full_tmpfs() {
    match Tmpfs::mount(DISK) {
        Ok(disk) => fills_up("tmpfs", disk.path()),
        Err(why) => skipped("REL-10 on tmpfs", &why.to_string()),
    }
}

#[test]
fn rel_10_store_recovers_from_a_full_ext4() {
    match Ext4::mount(DISK, 4096) {
        Ok(disk) => fills_up("ext4", disk.path()),
        Err(why) => skipped("REL-10 on ext4", &why.to_string()),
    }
}

#[test]
fn rel_10_free_space_floor_refuses_writes_before_the_disk_is_full() {
    match Tmpfs::mount(DISK) {
        Ok(disk) => stays_above_its_floor(disk.path()),
        Err(why) => skipped("REL-10 with a floor", &why.to_string()),
    }
}

fn fills_up(disk: &str, directory: &Path) {
    let mut report = Report::new("REL-10");
    report.count("disk", disk);
    let runtime = Runtime::new().unwrap();
    runtime.block_on(async {
        let path = directory.join("chat.db");
        let (db, maintenance) = open(&path, 0).await;
        let mut answers = Answers { sizes: report.random(), ..Answers::default() };
        let mut worst = Duration::ZERO;
        for _ in 0..scaled(2) {
            let ballast = Ballast::leaving(SPACE, directory);
            fill(&db, &mut answers).await;
            for _ in 0..REFUSALS {
                answers.add(&db, 16 << 10).await;
                reads(&db).await;
            }
            answers.expect_equal_to(&db).await;
            drop(ballast);
            let begun = Instant::now();
            assert!(answers.add(&db, 16 << 10).await, "the first write after there was space");
            worst = worst.max(begun.elapsed());
        }
        assert!(worst < SOON, "{worst:?}");
        let ballast = Ballast::leaving(SPACE, directory);
        fill(&db, &mut answers).await;
        let checked = maintenance.verify().await.unwrap();
        assert!(checked.is_sound(), "{:?}", checked.damaged);
        // The file has no space for the pages of the WAL, so that they stay in the WAL.
        let closed = db.close().await;
        report.count("closed", if closed.is_ok() { "completely" } else { "with the WAL left" });
        if let Err(error) = closed {
            is_a_refusal(&error);
        }
        drop(ballast);
        let (db, maintenance) = open(&path, 0).await;
        answers.expect_equal_to(&db).await;
        assert!(maintenance.verify().await.unwrap().is_sound());
        db.close().await.unwrap();
        answers.count(&mut report);
        report.count("first_write_ms", worst.as_millis());
    });
    report.finish();
}

/// With a floor, the store refuses a write before the disk fails, so that no write ends half done.
fn stays_above_its_floor(directory: &Path) {
    const FLOOR: u64 = 16 * MIB;

    let mut report = Report::new("REL-10");
    report.count("floor", FLOOR);
    let runtime = Runtime::new().unwrap();
    runtime.block_on(async {
        let path = directory.join("chat.db");
        let (db, maintenance) = open(&path, FLOOR).await;
        let mut answers = Answers { sizes: report.random(), ..Answers::default() };
        assert!(answers.add(&db, 100).await, "above the floor");
        let ballast = Ballast::leaving(FLOOR + 4 * MIB, directory);
        fill(&db, &mut answers).await;
        let left = free(directory);
        assert!(left > FLOOR / 4, "{left} bytes are left");
        report.count("left", left);
        for _ in 0..REFUSALS {
            assert!(!answers.add(&db, 100).await, "below the floor");
            reads(&db).await;
        }
        let more = Ballast::leaving(MIB / 2, directory);
        assert!(!answers.add(&db, 100).await, "below the floor");
        let refused = SqliteOptions::new().free_space_floor(FLOOR).open(directory.join("other.db")).await;
        assert_eq!(refused.unwrap_err().kind(), ErrorKind::StorageFull);
        drop((ballast, more));
        let begun = Instant::now();
        assert!(answers.add(&db, 100).await, "the first write after there was space");
        let took = begun.elapsed();
        assert!(took < SOON, "{took:?}");
        assert!(maintenance.verify().await.unwrap().is_sound());
        answers.expect_equal_to(&db).await;
        db.close().await.unwrap();
        answers.count(&mut report);
        report.count("first_write_ms", took.as_millis());
    });
    report.finish();
}

async fn open(path: &Path, floor: u64) -> (Persistence, Maintenance) {
    let backend = SqliteOptions::new().free_space_floor(floor).open(path).await.unwrap();
    let maintenance = backend.maintenance();
    (Persistence::builder().backend(backend).build().unwrap(), maintenance)
}

/// Writes from many concurrent tasks, each until the store refuses a write.
async fn fill(db: &Persistence, answers: &mut Answers) {
    let mut tasks = JoinSet::new();
    for _ in 0..TASKS {
        let (db, mut mine) = (db.clone(), answers.split());
        tasks.spawn(async move {
            for _ in 0..MANY {
                let size = mine.sizes.usize(1..16 << 10);
                if !mine.add(&db, size).await {
                    return mine;
                }
            }
            panic!("there was space for {MANY} messages of each task");
        });
    }
    while let Some(done) = tasks.join_next().await {
        answers.join(done.unwrap());
    }
}

async fn reads(db: &Persistence) {
    let page = db.thread("t").page(PageFrom::End, 5).await.unwrap();
    assert!(!page.messages.is_empty());
}

/// The answers to all writes.
#[derive(Default)]
struct Answers {
    sizes: fastrand::Rng,
    acknowledged: BTreeMap<MessageId, String>,
    refused: BTreeSet<MessageId>,
    slowest_refusal: Duration,
}

impl Answers {
    /// Writes one message. Returns whether it was acknowledged, and asserts that another answer is a correct refusal.
    async fn add(&mut self, db: &Persistence, bytes: usize) -> bool {
        let id: MessageId = format!("m{}", self.sizes.u64(..)).parse().unwrap();
        let text = id.as_str().chars().cycle().take(bytes).collect::<String>();
        let begun = Instant::now();
        let add = db.thread("t").add(NewMessage::user(&text).with_id(id.clone())).deadline(DEADLINE);
        match add.await {
            Ok(added) => {
                self.acknowledged.insert(id, added.message.content.as_json().to_owned());
                true
            }
            Err(error) => {
                is_a_refusal(&error);
                let took = begun.elapsed();
                assert!(took < DEADLINE, "refused after {took:?}: {error}");
                self.slowest_refusal = self.slowest_refusal.max(took);
                self.refused.insert(id);
                false
            }
        }
    }

    /// Asserts that the store returns exactly the acknowledged messages.
    async fn expect_equal_to(&self, db: &Persistence) {
        let mut found = BTreeMap::new();
        let mut walk = db.thread("t").walk(PageFrom::Start, Visibility::Final);
        while let Some(message) = walk.next().await.unwrap() {
            let content = message.content.as_json().to_owned();
            assert!(!self.refused.contains(&message.id), "{} was refused", message.id);
            assert_eq!(found.insert(message.id, content), None, "a message is there twice");
        }
        assert!(found == self.acknowledged, "{} of {} are there", found.len(), self.acknowledged.len());
    }

    fn split(&mut self) -> Self {
        Self { sizes: self.sizes.fork(), ..Self::default() }
    }

    fn join(&mut self, other: Self) {
        self.acknowledged.extend(other.acknowledged);
        self.refused.extend(other.refused);
        self.slowest_refusal = self.slowest_refusal.max(other.slowest_refusal);
    }

    fn count(&self, report: &mut Report) {
        report.count("acknowledged", self.acknowledged.len());
        report.count("slowest_refusal_ms", self.slowest_refusal.as_millis());
        report.fired("the disk was full", self.refused.len() as u64);
    }
}

#[track_caller]
fn is_a_refusal(error: &PersistError) {
    assert_eq!((error.kind(), error.effect()), (ErrorKind::StorageFull, Effect::NotApplied), "{error:?}");
}
