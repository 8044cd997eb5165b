//! The exchange of the writer lock, and the files that a guard accepts.

use std::{os::unix::fs::FileExt as _, sync::atomic::AtomicU32};

use tempfile::TempDir;

use super::*;

/// A connection that has begun a transaction.
struct Begun {
    _directory: TempDir,
    path: PathBuf,
    connection: Connection,
    failpoints: Failpoints,
    guard: Arc<FileGuard>,
    before: BeforeBegin,
    /// The number of rollbacks of SQLite.
    rolled_back: Arc<AtomicU32>,
}

fn begun() -> Begun {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("f.db");
    let connection = Connection::open(&path).unwrap();
    connection.execute_batch("PRAGMA journal_mode = WAL; CREATE TABLE t (b BLOB)").unwrap();
    let failpoints = Failpoints::none();
    let guard = Arc::new(FileGuard::of_open_file(&path, failpoints.clone()));
    let rolled_back = Arc::<AtomicU32>::default();
    let count = Arc::clone(&rolled_back);
    connection
        .rollback_hook(Some(move || {
            count.fetch_add(1, Ordering::SeqCst);
        }))
        .unwrap();
    let before = guard.before_begin().unwrap();
    connection.execute_batch("BEGIN IMMEDIATE").unwrap();
    Begun { _directory: directory, path, connection, failpoints, guard, before, rolled_back }
}

fn index_of(path: &Path) -> File {
    File::options().read(true).write(true).open(with_suffix(path, "-shm")).unwrap()
}

/// Changes the header as a commit of a second library does.
fn count_a_commit(index: &File) {
    // The commit counter, in both copies of the header.
    for at in [8, 48 + 8] {
        index.write_all_at(&[0xa5; 4], at).unwrap();
    }
}

impl Begun {
    fn exchange(&self) -> Result<WriteLock, EngineError> {
        self.guard.exchange(&self.connection, &self.before, None)
    }

    /// Begins another transaction after the first one has ended.
    fn begin_again(&mut self) {
        self.before = self.guard.before_begin().unwrap();
        self.connection.execute_batch("BEGIN IMMEDIATE").unwrap();
    }

    /// Runs `act` with the wal-index at a point of the exchange.
    fn at(&self, at: Failpoint, act: impl Fn(File) + Send + Sync + 'static) {
        let path = self.path.clone();
        self.failpoints.set(move |point, _| {
            if point == at {
                act(index_of(&path));
            }
            Ok(())
        });
    }

    fn expect_ended_without_a_rollback(&self) {
        assert!(self.connection.is_autocommit());
        assert_eq!(self.rolled_back.load(Ordering::SeqCst), 0);
    }

    fn index(&self) -> Vec<u8> {
        std::fs::read(with_suffix(&self.path, "-shm")).unwrap()
    }
}

#[test]
fn no_transaction_begins_while_a_second_library_has_the_index_open() {
    let begun = begun();
    let second = index_of(&begun.path);
    assert!(matches!(begun.guard.before_begin(), Err(EngineError::SecondLibrary)));
    drop(second);
    assert!(begun.guard.before_begin().is_ok());
}

#[test]
fn an_exchanged_lock_is_held_until_it_is_dropped() {
    let begun = begun();
    let lock = begun.exchange().unwrap();
    assert!(begun.guard.is_locked() && !begun.connection.is_autocommit());
    assert_eq!(begun.guard.is_written_elsewhere(), Some(true), "another store of the process waits for it");
    begun.connection.execute_batch("COMMIT").unwrap();
    drop(lock);
    assert!(!begun.guard.is_locked());
    assert_eq!(begun.guard.is_written_elsewhere(), Some(false));
}

#[test]
fn a_transaction_on_a_replaced_wal_is_ended_and_its_lock_released() {
    let begun = begun();
    File::options().write(true).open(with_suffix(&begun.path, "-wal")).unwrap().set_len(0).unwrap();
    assert!(matches!(begun.exchange(), Err(EngineError::WalReplaced { .. })));
    begun.expect_ended_without_a_rollback();
    assert!(!begun.guard.is_locked());
}

fn expect_outdated(begun: &Begun) {
    assert!(matches!(begun.exchange(), Err(EngineError::Outdated)));
    begun.expect_ended_without_a_rollback();
    assert!(!begun.guard.is_locked());
}

#[test]
fn a_transaction_that_began_before_another_commit_is_ended_and_its_lock_released() {
    for at in [Failpoint::Exchanging, Failpoint::Exchanged] {
        let begun = begun();
        begun.at(at, |index| count_a_commit(&index));
        expect_outdated(&begun);
    }
}

/// SQLite compared its copy of the header in `BEGIN`. The second library has closed the file.
#[test]
fn a_transaction_is_ended_if_a_second_library_committed_before_the_exchange() {
    let begun = begun();
    count_a_commit(&index_of(&begun.path));
    expect_outdated(&begun);
}

#[test]
fn a_transaction_is_ended_if_the_files_were_opened_after_its_begin() {
    let mut begun = begun();
    begun.connection.execute_batch("COMMIT").unwrap();
    *begun.guard.files() = None;
    begun.begin_again();
    expect_outdated(&begun);
    begun.begin_again();
    drop(begun.exchange().unwrap());
}

/// The other writer has restarted the WAL and committed fewer frames than the connection knows. It appends the next
/// ones at the moment when the transaction ends.
#[test]
fn a_transaction_whose_lock_another_writer_took_is_ended_and_leaves_that_lock_and_the_index() {
    let mut begun = begun();
    begun.connection.execute_batch("INSERT INTO t VALUES (zeroblob(50000)); COMMIT").unwrap();
    begun.begin_again();
    let other = Arc::new(Mutex::new(None));
    let taken = Arc::clone(&other);
    begun.at(Failpoint::Exchanging, move |index| {
        lock::exclude(&index, lock::WRITER).unwrap();
        // The last committed frame, in both copies of the header.
        for at in [16, 48 + 16] {
            index.write_all_at(&2_u32.to_ne_bytes(), at).unwrap();
        }
        let mut bytes = vec![0; usize::try_from(index.metadata().unwrap().len()).unwrap()];
        index.read_exact_at(&mut bytes, 0).unwrap();
        *taken.lock().unwrap() = Some((index, bytes));
    });
    assert!(matches!(begun.exchange(), Err(EngineError::Overtaken)));
    begun.expect_ended_without_a_rollback();
    assert!(begun.guard.is_locked());
    assert_eq!(begun.guard.is_written_elsewhere(), Some(true));
    let (_index, bytes) = other.lock().unwrap().take().unwrap();
    assert!(begun.index() == bytes, "the index has the frames of the other writer");
    drop(_index);
    assert!(!begun.guard.is_locked());
}

#[test]
fn a_connection_that_lost_the_lock_reads_the_commits_of_the_other_writer() {
    let mut begun = begun();
    let rows = |begun: &Begun| {
        let count: i64 = begun.connection.query_row("SELECT count(*) FROM t", [], |row| row.get(0)).unwrap();
        count
    };
    assert_eq!(rows(&begun), 0);
    let other = Arc::new(Mutex::new(None));
    let taken = Arc::clone(&other);
    begun.at(Failpoint::Exchanging, move |index| {
        lock::exclude(&index, lock::WRITER).unwrap();
        *taken.lock().unwrap() = Some(index);
    });
    assert!(matches!(begun.exchange(), Err(EngineError::Overtaken)));
    drop(other.lock().unwrap().take());
    begun.failpoints.set(|_, _| Ok(()));
    Connection::open(&begun.path).unwrap().execute("INSERT INTO t VALUES (1)", []).unwrap();
    begun.begin_again();
    let _lock = begun.exchange().unwrap();
    assert_eq!(rows(&begun), 1);
    begun.connection.execute_batch("INSERT INTO t VALUES (2); COMMIT").unwrap();
    assert_eq!(rows(&begun), 2);
}

/// A second library removed them, and other connections of this process keep them open.
#[test]
fn files_that_sqlite_does_not_have_open_are_refused() {
    for suffix in ["-wal", "-shm"] {
        let begun = begun();
        *begun.guard.files() = None;
        let file = with_suffix(&begun.path, suffix);
        let moved = with_suffix(&begun.path, "-moved");
        std::fs::rename(&file, &moved).unwrap();
        std::fs::write(&file, "").unwrap();
        assert!(matches!(begun.guard.open_files(), Err(EngineError::Removed)), "{suffix}");
        assert!(matches!(begun.exchange(), Err(EngineError::Removed)), "{suffix}");
        begun.expect_ended_without_a_rollback();
        std::fs::rename(&moved, &file).unwrap();
        begun.guard.open_files().unwrap();
    }
}

#[test]
fn locks_that_the_file_system_refused_are_retried_after_a_second() {
    let begun = begun();
    *begun.guard.files() = None;
    // However slow the test is, the refusal stays younger than a second.
    let refused_at = Instant::now();
    *begun.guard.refused.lock().unwrap() = refused_at.checked_add(100 * RETRY_INTERVAL);
    drop(begun.exchange().unwrap());
    assert!(begun.guard.files().is_none());
    assert_eq!(begun.guard.is_written_elsewhere(), None);
    *begun.guard.refused.lock().unwrap() = refused_at.checked_sub(RETRY_INTERVAL);
    drop(begun.exchange().unwrap());
    assert!(begun.guard.files().is_some());
}
