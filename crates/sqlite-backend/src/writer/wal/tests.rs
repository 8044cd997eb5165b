//! Checkpoints, the limit of the WAL and the reads that hold its pages.

use std::{
    sync::{
        atomic::{AtomicU32, Ordering::Relaxed},
        mpsc,
    },
    thread,
};

use super::*;
#[cfg(target_os = "linux")]
use crate::file_guard::MaintenanceRead;

/// A file with continuous writes, and a counter of the attempted checkpoints of its WAL.
struct Written {
    _folder: tempfile::TempDir,
    path: PathBuf,
    connection: Connection,
    health_state: HealthState,
    failpoints: Failpoints,
    checkpoints: Arc<AtomicU32>,
    reader_barrier: Arc<ReaderBarrier>,
}

fn written() -> Written {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("f.db");
    let connection = Connection::open(&path).unwrap();
    connection.execute_batch("PRAGMA journal_mode = WAL; CREATE TABLE t (b BLOB NOT NULL)").unwrap();
    connection::configure(&connection, &path).unwrap();
    connection.busy_timeout(Duration::ZERO).unwrap();
    connection.execute_batch("PRAGMA wal_checkpoint(TRUNCATE)").unwrap();
    let (checkpoints, failpoints) = (Arc::<AtomicU32>::default(), Failpoints::none());
    let counted = Arc::clone(&checkpoints);
    failpoints.set(move |_, _| {
        counted.fetch_add(1, Relaxed);
        Ok(())
    });
    Written {
        _folder: folder,
        path,
        connection,
        health_state: HealthState::new(),
        failpoints,
        checkpoints,
        reader_barrier: Arc::default(),
    }
}

impl Written {
    fn wal(&self, limit: u64) -> Wal {
        let guard =
            Arc::new(FileGuard::new(&self.path, Arc::clone(&self.reader_barrier), Failpoints::none()));
        guard.open_files().unwrap();
        Wal::new(&self.path, limit, Arc::clone(&self.reader_barrier), guard)
    }

    /// Commits a few pages, and returns how many the WAL has then.
    fn commit(&self, wal: &mut Wal) -> u32 {
        self.connection.execute("INSERT INTO t VALUES (zeroblob(40000))", []).unwrap();
        let pages = connection::pages_in_wal();
        wal.on_commit(&self.connection, 0, &self.health_state, &self.failpoints).unwrap();
        pages
    }

    fn measure(&self, wal: &mut Wal) {
        wal.measure(&self.connection, &self.health_state, &self.failpoints).unwrap();
    }

    /// Returns a connection that reads from now on without the barrier, as another process does.
    fn reader(&self) -> Connection {
        let reader = Connection::open(&self.path).unwrap();
        reader.execute_batch("BEGIN; SELECT count(*) FROM t").unwrap();
        reader
    }
}

#[test]
fn the_wal_is_checkpointed_after_growing_by_a_quarter_of_its_limit() {
    let written = written();
    // A limit of a thousand pages for each checkpoint, and a little more.
    let mut wal = written.wal(4 * 1000 * PAGE + 3);
    let lengths: Vec<_> = (0..400).map(|_| written.commit(&mut wal)).collect();
    let (most, per_commit) = (lengths.iter().max().unwrap(), lengths[0]);
    assert!((1000..1000 + 2 * per_commit).contains(most), "{lengths:?}");
    let begun_again = lengths.windows(2).filter(|pair| pair[1] < pair[0]).count();
    assert_eq!(begun_again, 4, "{lengths:?}");
    assert_eq!(written.checkpoints.load(Relaxed), 4);
}

#[test]
fn a_checkpoint_that_a_reader_blocks_is_not_retried_at_every_commit() {
    let written = written();
    let mut wal = written.wal(64 << 20);
    let _reader = written.reader();
    while written.commit(&mut wal) < 3 * STEP.1 + 100 {}
    assert_eq!(written.checkpoints.load(Relaxed), 3);
}

#[test]
fn readers_do_not_wait_for_the_checkpoint_after_a_long_read() {
    let written = written();
    let mut wal = written.wal(PAGE);
    wal.barrier_timeout = Duration::ZERO;
    let reader = written.reader();
    let bytes = PAGE * u64::from(STEP.1);
    written.connection.execute("INSERT INTO t VALUES (zeroblob(?1))", [bytes as i64]).unwrap();
    written.measure(&mut wal);
    assert_eq!((written.checkpoints.load(Relaxed), wal.closed_in_vain_at), (1, None));
    // Another reader continues, and holds no pages.
    let _next = written.reader();
    drop(reader);
    written.measure(&mut wal);
    assert_eq!((written.checkpoints.load(Relaxed), wal.closed_in_vain_at), (3, wal.measured));
}

#[test]
fn pages_left_are_unknown_while_another_process_checkpoints() {
    assert_eq!([(-1, -1), (0, 0), (9, 4)].map(left), [None, Some(0), Some(5)]);
}

#[test]
fn the_wal_is_measured_after_a_sixteenth_of_its_limit_was_written() {
    const LIMIT: u64 = 8 * PAGE;
    let written = written();
    let mut wal = written.wal(LIMIT);
    // So that the time never triggers a measurement.
    wal.measured = Instant::now().checked_add(Duration::from_secs(3600));
    for _ in 0..2 {
        written.commit(&mut wal);
        assert!(length(&wal.path) > LIMIT);
        for (bytes, is_truncated) in [(LIMIT / 16 - 1, false), (1, true)] {
            let bytes = usize::try_from(bytes).unwrap();
            wal.on_commit(&written.connection, bytes, &written.health_state, &written.failpoints).unwrap();
            assert_eq!(length(&wal.path) == 0, is_truncated);
        }
        wal.measured = Instant::now().checked_add(Duration::from_secs(3600));
    }
}

#[test]
fn a_wal_that_cannot_be_truncated_raises_an_alarm_after_a_delay() {
    let written = written();
    let mut wal = written.wal(PAGE);
    wal.barrier_timeout = Duration::ZERO;
    written.connection.execute("INSERT INTO t VALUES (zeroblob(40000))", []).unwrap();
    let _reader = written.reader();
    // A tenth of the time is more than a measurement takes, and less than the rest of it.
    for (so_far, alarms) in [(LONG / 10, &[][..]), (LONG, &[Alarm::WalTooLong][..])] {
        wal.too_long_since = Instant::now().checked_sub(so_far);
        written.measure(&mut wal);
        assert_eq!(written.health_state.health().alarms, alarms);
    }
}

#[cfg(target_os = "linux")]
#[test]
fn no_checkpoint_runs_during_a_read_whose_mark_a_second_library_may_have_moved() {
    let written = written();
    let mut wal = written.wal(u64::MAX);
    let checkpoint = |wal: &mut Wal| {
        let Written { connection, health_state, failpoints, .. } = &written;
        wal.checkpoint(connection, "PRAGMA wal_checkpoint(PASSIVE)", health_state, failpoints).unwrap()
    };
    let second_library = || drop(std::fs::File::open(with_suffix(&written.path, "-shm")).unwrap());
    let reading = written.reader_barrier.enter();
    written.commit(&mut wal);
    assert_eq!(checkpoint(&mut wal), Some(0));
    second_library();
    assert_eq!(checkpoint(&mut wal), None);
    drop(reading);
    assert_eq!(checkpoint(&mut wal), Some(0));

    second_library();
    let reading = MaintenanceRead::begin(&written.path);
    assert_eq!(checkpoint(&mut wal), None);
    drop(reading);
    assert_eq!(checkpoint(&mut wal), Some(0));
}

#[cfg(target_os = "linux")]
#[test]
fn new_reads_do_not_wait_again_within_a_second_of_a_read_that_did_not_end() {
    let written = written();
    let mut wal = written.wal(u64::MAX);
    wal.barrier_timeout = Duration::ZERO;
    written.commit(&mut wal);
    drop(std::fs::File::open(with_suffix(&written.path, "-shm")).unwrap());
    assert!(wal.guard.before_begin().is_ok());
    let checkpoint = |wal: &mut Wal| {
        let Written { connection, health_state, failpoints, .. } = &written;
        wal.checkpoint(connection, "PRAGMA wal_checkpoint(PASSIVE)", health_state, failpoints).unwrap()
    };
    let reading = written.reader_barrier.enter();
    assert_eq!(checkpoint(&mut wal), None);
    let closed_at = wal.closed_in_vain_at;
    assert!(closed_at.is_some());
    assert_eq!((checkpoint(&mut wal), wal.closed_in_vain_at), (None, closed_at));
    wal.closed_in_vain_at = closed_at.and_then(|at| at.checked_sub(RETRY_INTERVAL));
    assert_eq!(checkpoint(&mut wal), None);
    assert!(wal.closed_in_vain_at > closed_at);
    drop(reading);
    assert_eq!(checkpoint(&mut wal), Some(0));
}

#[cfg(target_os = "linux")]
#[test]
fn an_idle_writer_tries_a_checkpoint_again_that_a_second_library_prevented() {
    let written = written();
    let mut wal = written.wal(u64::MAX);
    written.commit(&mut wal);
    let on_idle = |wal: &mut Wal| {
        wal.grew_at = wal.grew_at.checked_sub(IDLE).unwrap();
        wal.on_idle(&written.connection, &written.health_state, &written.failpoints).unwrap();
        wal.timeout()
    };
    let second_library = std::fs::File::open(with_suffix(&written.path, "-shm")).unwrap();
    assert_eq!(on_idle(&mut wal), Some(IDLE));
    drop(second_library);
    assert_eq!(on_idle(&mut wal), None);
    assert!(wal.guard.is_checkpointed());
}

#[cfg(target_os = "linux")]
#[test]
fn reads_without_a_gap_do_not_prevent_a_checkpoint_after_a_second_library_was_there() {
    let written = written();
    let mut wal = written.wal(u64::MAX);
    written.commit(&mut wal);
    drop(std::fs::File::open(with_suffix(&written.path, "-shm")).unwrap());
    assert!(wal.guard.before_begin().is_ok() && wal.guard.may_have_moved_marks());
    wal.barrier_timeout = Duration::from_secs(60);
    let (Written { connection, health_state, failpoints, .. }, readers) = (&written, &written.reader_barrier);
    let reading = readers.enter();
    thread::scope(|scope| {
        scope.spawn(move || {
            while !readers.is_closed() {
                thread::yield_now();
            }
            drop(reading);
        });
        let left = wal.checkpoint(connection, "PRAGMA wal_checkpoint(PASSIVE)", health_state, failpoints);
        assert_eq!(left.unwrap(), Some(0));
    });
    assert!(!readers.is_closed());
}

#[test]
fn the_checkpoint_step_is_bounded_for_short_and_long_limits() {
    let guard = Arc::new(FileGuard::new(Path::new("f.db"), Arc::default(), Failpoints::none()));
    let step = |limit| Wal::new(Path::new("f.db"), limit, Arc::default(), Arc::clone(&guard)).step;
    assert_eq!([1 << 20, 16 << 20, 64 << 20, u64::MAX].map(step), [256, 1018, 4072, 4096]);
}

/// Reads in rotation: each read ends when the next one has begun, or when the writer closes the barrier.
fn read_by_turns(
    path: &Path,
    reader_barrier: &ReaderBarrier,
    turns: &mpsc::Receiver<u32>,
    begun: &AtomicU32,
) {
    let reader = Connection::open(path).unwrap();
    for turn in turns {
        let _inside = reader_barrier.enter();
        reader.execute_batch("BEGIN; SELECT count(*) FROM t").unwrap();
        begun.store(turn, Relaxed);
        while begun.load(Relaxed) == turn && !reader_barrier.is_closed() {
            thread::yield_now();
        }
        reader.execute_batch("ROLLBACK").unwrap();
    }
}

#[test]
fn the_wal_is_truncated_although_reads_overlap_continuously() {
    const LIMIT: u64 = 100 * PAGE;
    let (written, begun) = (written(), AtomicU32::new(0));
    let mut wal = written.wal(LIMIT);
    // The readers end as soon as they see that the writer closes the barrier, however long that takes on a busy
    // machine.
    wal.barrier_timeout = Duration::from_secs(3600);
    let lengths: Vec<_> = thread::scope(|scope| {
        let readers = [(); 2].map(|()| {
            let (turn, turns) = mpsc::channel();
            let (path, reader_barrier, begun) = (&written.path, &written.reader_barrier, &begun);
            scope.spawn(move || read_by_turns(path, reader_barrier, &turns, begun));
            turn
        });
        let lengths = (1..100).map(|turn| {
            readers[turn as usize % 2].send(turn).unwrap();
            while begun.load(Relaxed) != turn {
                thread::yield_now();
            }
            written.commit(&mut wal);
            written.measure(&mut wal);
            length(&wal.path)
        });
        let lengths = lengths.collect();
        // There is no further turn, and this value ends the last read.
        begun.store(0, Relaxed);
        lengths
    });
    assert!(lengths.iter().all(|length| *length <= LIMIT), "{lengths:?}");
    // The WAL was also truncated repeatedly, without a pause after each truncation.
    assert!(lengths.windows(2).filter(|pair| pair[1] < pair[0]).count() >= 5, "{lengths:?}");
}

#[test]
fn readers_are_not_delayed_again_for_a_while_after_a_failed_truncation() {
    let written = written();
    let mut wal = written.wal(PAGE);
    wal.barrier_timeout = Duration::ZERO;
    let checkpoints = |wal: &mut Wal| {
        let before = written.checkpoints.load(Relaxed);
        written.measure(wal);
        written.checkpoints.load(Relaxed) - before
    };
    // First a reader of another process that has begun before the barrier closes, and then a reader of the store
    // that does not end.
    for is_of_the_store in [false, true] {
        let reading = is_of_the_store.then(|| written.reader_barrier.enter());
        // The reader reads these pages in the WAL.
        written.connection.execute("INSERT INTO t VALUES (zeroblob(40000))", []).unwrap();
        let reader = written.reader();
        (wal.closed_in_vain_at, wal.too_long_since) = (None, None);
        assert_eq!([checkpoints(&mut wal), checkpoints(&mut wal), checkpoints(&mut wal)], [2, 1, 1]);
        assert!(wal.too_long_since.is_some() && !written.reader_barrier.is_closed());
        wal.closed_in_vain_at = wal.closed_in_vain_at.and_then(|at| at.checked_sub(RETRY_INTERVAL));
        assert_eq!([checkpoints(&mut wal), checkpoints(&mut wal)], [2, 1]);
        drop((reader, reading));
    }
    written.measure(&mut wal);
    assert_eq!(length(&wal.path), 0);
}
