use std::{
    fs,
    path::{Path, PathBuf},
    sync::{Mutex, MutexGuard, PoisonError},
};

use rusqlite::{Connection, ffi};

use super::*;

/// A SQLite database in exclusive use of the VFS.
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
fn plan_fails_the_chosen_calls() {
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
fn calls_on_another_file_succeed() {
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
fn short_write_leaves_its_first_half() {
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
fn short_read_returns_zeros_for_the_rest() {
    let bench = Bench::new();
    let number = |db: &Connection| db.query_row("SELECT n FROM t", [], |row| row.get::<_, Option<i64>>(0));
    let db = connect(&bench.path);
    insert(&db).unwrap();
    db.close().unwrap();
    // The next read is the page of the table: its row is in the second half.
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
    // None of these calls reads a part of a file, so a short read has no effect.
    for call in Call::ALL.into_iter().filter(|call| *call != Call::ShortRead) {
        bench.faults.plan(Plan::new(call).sticky());
        let everything = || -> rusqlite::Result<()> {
            let db = Connection::open(&bench.path)?;
            db.execute("INSERT INTO t VALUES (1)", [])?;
            db.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))
        };
        let failed = everything().err().and_then(|error| Some(error.sqlite_error()?.extended_code));
        // A WAL that stays when its last connection closes is not an error.
        let expected = (call != Call::Delete).then_some(call.code());
        assert_eq!(failed, expected, "{call:?}");
        assert!(bench.faults.fired() > 0, "{call:?}");
        bench.faults.clear();
    }
    let db = connect(&bench.path);
    assert_eq!(insert(&db), Ok(()));
}

#[test]
fn disk_without_sync_reports_syncs() {
    let bench = Bench::new();
    bench.faults.lie(Lie::NoSync);
    let synced = bench.faults.synced();
    let lied = bench.faults.lied();
    let db = connect(&bench.path);
    insert(&db).unwrap();
    checkpoint(&db);
    assert_eq!(bench.faults.synced(), synced);
    // The WAL header, the commit, and the WAL and the main file at the checkpoint.
    assert_eq!(bench.faults.lied() - lied, 4);
}

#[test]
fn normal_sync_skips_commits_and_syncs_before_a_checkpoint() {
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
    // Fails at the sync of the main file: the WAL was synced before.
    bench.faults.plan(Plan::new(Call::Sync).on(FileKind::Main));
    db.query_row("PRAGMA wal_checkpoint", [], |_| Ok(())).unwrap_err();
    assert_eq!(synced(), 2, "the log");
    checkpoint(&db);
    assert_eq!(synced(), 4, "the log and the main file");
    insert(&db).unwrap();
    assert_eq!(synced(), 5, "the beginning of the log, from which it is written again");
}
