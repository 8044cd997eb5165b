use std::{
    fs,
    path::{Path, PathBuf},
    sync::{Mutex, MutexGuard, PoisonError},
};

use rusqlite::{Connection, ffi};

use super::*;

/// A store of SQLite's own, alone with the file system.
struct Bench {
    faults: &'static Faults,
    path: PathBuf,
    _directory: tempfile::TempDir,
    _alone: MutexGuard<'static, ()>,
}

impl Bench {
    fn new() -> Self {
        static ALONE: Mutex<()> = Mutex::new(());

        let alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
        let faults = install();
        faults.clear();
        faults.lie(Lie::None);
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("chat.db");
        let db = connect(&path);
        db.execute_batch("PRAGMA journal_mode = WAL; CREATE TABLE t (n)").unwrap();
        db.close().unwrap();
        Self { faults, path, _directory: directory, _alone: alone }
    }

    fn log(&self) -> Vec<u8> {
        let mut log = self.path.clone().into_os_string();
        log.push("-wal");
        fs::read(log).unwrap()
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        self.faults.clear();
        self.faults.lie(Lie::None);
    }
}

fn connect(path: &Path) -> Connection {
    let db = Connection::open(path).unwrap();
    db.execute_batch("PRAGMA synchronous = FULL; PRAGMA wal_autocheckpoint = 0").unwrap();
    db
}

fn insert(db: &Connection) -> Result<(), i32> {
    let code = |error: rusqlite::Error| error.sqlite_error().unwrap().extended_code;
    db.execute("INSERT INTO t VALUES (1)", []).map(drop).map_err(code)
}

fn rows(db: &Connection) -> i64 {
    db.query_row("SELECT count(*) FROM t", [], |row| row.get(0)).unwrap()
}

fn checkpoint(db: &Connection) {
    let is_busy: bool = db.query_row("PRAGMA wal_checkpoint", [], |row| row.get(0)).unwrap();
    assert!(!is_busy);
}

#[test]
fn a_plan_strikes_where_it_says() {
    let bench = Bench::new();
    let db = connect(&bench.path);
    insert(&db).unwrap();
    bench.faults.plan(Plan::new(Call::Sync).on(FileKind::Wal).nth(2).times(2));
    assert_eq!(insert(&db), Ok(()));
    assert_eq!(insert(&db), Err(ffi::SQLITE_IOERR_FSYNC));
    assert_eq!(insert(&db), Err(ffi::SQLITE_IOERR_FSYNC));
    assert_eq!(insert(&db), Ok(()));
    assert_eq!((bench.faults.fired(), bench.faults.calls(Call::Sync), rows(&db)), (2, 4, 3));
    bench.faults.plan(Plan::new(Call::Write).sticky().code(ffi::SQLITE_FULL));
    assert_eq!((insert(&db), insert(&db)), (Err(ffi::SQLITE_FULL), Err(ffi::SQLITE_FULL)));
    bench.faults.clear();
    assert_eq!(insert(&db), Ok(()));
    assert_eq!((bench.faults.fired(), rows(&db)), (2, 4));
}

#[test]
fn a_call_on_another_file_goes_on() {
    let bench = Bench::new();
    let db = connect(&bench.path);
    bench.faults.plan(Plan::new(Call::Write).on(FileKind::Main).sticky());
    insert(&db).unwrap();
    assert_eq!(bench.faults.fired(), 0);
    assert!(bench.faults.calls_on(Call::Write, FileKind::Wal) > 0);
    assert_eq!(bench.faults.calls_on(Call::Write, FileKind::Main), 0);
    db.query_row("PRAGMA wal_checkpoint", [], |_| Ok(())).unwrap_err();
    assert_eq!(bench.faults.fired(), 1);
}

#[test]
fn a_short_write_leaves_its_first_half() {
    let bench = Bench::new();
    let db = connect(&bench.path);
    insert(&db).unwrap();
    let before = bench.log().len();
    let written = bench.faults.bytes_written();
    // The second write of a frame is its page.
    bench.faults.plan(Plan::new(Call::ShortWrite).on(FileKind::Wal).nth(2));
    insert(&db).unwrap_err();
    assert_eq!(bench.log().len() - before, 24 + 2048);
    assert_eq!(bench.faults.bytes_written() - written, 24 + 2048);
    assert_eq!(rows(&db), 1);
}

#[test]
fn a_short_read_is_zeros_where_the_rest_was() {
    let bench = Bench::new();
    let number = |db: &Connection| db.query_row("SELECT n FROM t", [], |row| row.get::<_, Option<i64>>(0));
    let db = connect(&bench.path);
    insert(&db).unwrap();
    db.close().unwrap();
    // The next page that is read is that of the table: its row is in the second half.
    let db = connect(&bench.path);
    db.prepare("SELECT n FROM t").unwrap();
    bench.faults.plan(Plan::new(Call::ShortRead).on(FileKind::Main));
    assert_eq!((number(&db).unwrap(), bench.faults.fired()), (None, 1));
    db.close().unwrap();
    assert_eq!(number(&connect(&bench.path)).unwrap(), Some(1));
}

#[test]
fn each_call_can_fail() {
    let bench = Bench::new();
    // Nothing of these reads a part of a file, so that a short read is none.
    for call in Call::ALL.into_iter().filter(|call| *call != Call::ShortRead) {
        bench.faults.plan(Plan::new(call).sticky());
        let everything = || -> rusqlite::Result<()> {
            let db = Connection::open(&bench.path)?;
            db.execute("INSERT INTO t VALUES (1)", [])?;
            db.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))
        };
        let failed = everything().err().and_then(|error| Some(error.sqlite_error()?.extended_code));
        // That a log stays when its last connection is closed is no failure.
        let expected = (call != Call::Delete).then_some(call.code());
        assert_eq!(failed, expected, "{call:?}");
        assert!(bench.faults.fired() > 0, "{call:?}");
        bench.faults.clear();
    }
    let db = connect(&bench.path);
    assert_eq!(insert(&db), Ok(()));
}

#[test]
fn a_disk_without_sync_says_that_it_has() {
    let bench = Bench::new();
    bench.faults.lie(Lie::NoSync);
    let synced = bench.faults.synced();
    let lied = bench.faults.lied();
    let db = connect(&bench.path);
    insert(&db).unwrap();
    checkpoint(&db);
    assert_eq!(bench.faults.synced(), synced);
    // The beginning of the log, the commit, the log and the main file at the checkpoint.
    assert_eq!(bench.faults.lied() - lied, 4);
}

#[test]
fn a_normal_sync_skips_commits_and_makes_up_for_them_before_a_checkpoint() {
    let bench = Bench::new();
    bench.faults.lie(Lie::NormalSync);
    let db = connect(&bench.path);
    let before = bench.faults.synced();
    let synced = || bench.faults.synced() - before;
    insert(&db).unwrap();
    assert_eq!(synced(), 1, "the beginning of the log");
    insert(&db).unwrap();
    insert(&db).unwrap();
    assert_eq!(synced(), 1, "nothing for a commit");
    // It fails where the first page would be written: the log was brought to the disk before.
    bench.faults.plan(Plan::new(Call::Sync).on(FileKind::Main));
    db.query_row("PRAGMA wal_checkpoint", [], |_| Ok(())).unwrap_err();
    assert_eq!(synced(), 2, "the log");
    checkpoint(&db);
    assert_eq!(synced(), 4, "the log and the main file");
    insert(&db).unwrap();
    assert_eq!(synced(), 5, "the beginning of the log, from which it is written again");
}
