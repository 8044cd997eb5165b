//! Keeping the log of the file short.
//!
//! By itself SQLite folds what it can into the file within a commit that leaves more than a thousand pages in the log, and
//! its callers wait for that. Here they have their answers first. Folding does not shorten the log: it is written from its
//! beginning again once nobody reads what is in it. So it is also folded when nobody writes, and cut when it has become
//! long and nobody reads; where the readers of the store leave no such moment, they are made to.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

use rusqlite::{Connection, Row};

use crate::{
    connection,
    error::EngineError,
    failpoint::{Failpoint, Failpoints},
    file_guard::FileGuard,
    health::{Alarm, HealthState, WriterStep},
    reader_barrier::ReaderBarrier,
};

/// A page in the log, with its header.
const PAGE: u64 = 4096 + 24;

/// How many pages at least and at most the log grows by before it is folded, and what part of its limit. Some pages are written
/// by every transaction, and are folded once for all of them; but a fold makes those wait who write next, and a
/// long one for long. Folds of a thousand pages each took a hundredth of the writes of 64 tasks beyond five times the median.
const STEP: (u32, u32) = (256, 4096);
const PART: u64 = 4;

/// How long nobody must have written before the log is folded.
const IDLE: Duration = Duration::from_millis(100);

/// How often a log that is too long is tried to be cut; and how long the readers are let alone after they were made to wait
/// for that in vain, so that a long read does not make everybody wait again and again.
const AGAIN: Duration = Duration::from_secs(1);

/// How long readers are made to wait at most until those have ended who read.
const BARRIER_TIMEOUT: Duration = Duration::from_millis(50);

/// How many pages may have been held up by who reads, for readers to be made to wait. More were held up by a long read. They
/// are folded first, when it has ended, while the others read: or those would wait for that.
const MAX_HELD_BACK: i64 = STEP.1 as i64;

/// For how long it cannot be cut before that is an alarm. Reads of this store that come one after the other are not in the
/// way; those of another process may be, for moments or for longer, and a read that is long is anyhow.
const LONG: Duration = Duration::from_secs(3);

/// The log of one file.
#[derive(Debug)]
pub(super) struct Wal {
    path: PathBuf,
    limit: u64,
    /// Bytes of writes since it was measured.
    written: u64,
    measured: Option<Instant>,
    /// When something was last committed.
    grew_at: Instant,
    is_checkpointed: bool,
    /// So many pages more, and it is folded.
    step: u32,
    /// The length in pages at which it is folded next.
    checkpoint_at: u32,
    too_long_since: Option<Instant>,
    reader_barrier: Arc<ReaderBarrier>,
    guard: Arc<FileGuard>,
    /// How long it is waited for at most that nobody reads.
    barrier_timeout: Duration,
    /// When it was closed last, if that was in vain.
    closed_in_vain_at: Option<Instant>,
}

impl Wal {
    pub(super) fn new(
        path: &Path,
        limit: u64,
        reader_barrier: Arc<ReaderBarrier>,
        guard: Arc<FileGuard>,
    ) -> Self {
        let step = u32::try_from(limit / PART / PAGE).unwrap_or(u32::MAX).clamp(STEP.0, STEP.1);
        Self {
            path: path_of(path),
            limit,
            written: 0,
            measured: None,
            grew_at: Instant::now(),
            is_checkpointed: true,
            step,
            checkpoint_at: step,
            too_long_since: None,
            reader_barrier,
            guard,
            barrier_timeout: BARRIER_TIMEOUT,
            closed_in_vain_at: None,
        }
    }

    /// How long the writer waits for a write before [`is_idle`](Self::is_idle) is to be called.
    pub(super) fn timeout(&self) -> Option<Duration> {
        if !self.is_checkpointed {
            Some(IDLE)
        } else if self.too_long_since.is_some() {
            Some(AGAIN)
        } else {
            None
        }
    }

    /// Something was committed, in which the log may have become long enough to be folded, or too long.
    pub(super) fn grew(
        &mut self,
        connection: &Connection,
        bytes: usize,
        health_state: &HealthState,
        failpoints: &Failpoints,
    ) -> Result<(), EngineError> {
        (self.is_checkpointed, self.grew_at) = (false, Instant::now());
        let pages = connection::pages_in_wal();
        if pages < self.step {
            // It was begun again.
            self.checkpoint_at = self.step;
        } else if pages >= self.checkpoint_at {
            // What a reader holds up stays for the next time; to try it at every commit would sync the file each time.
            self.checkpoint_at = pages + self.step;
            self.checkpoint(connection, "PRAGMA wal_checkpoint(PASSIVE)", health_state, failpoints)?;
        }
        self.written += bytes as u64;
        if self.written >= self.limit / 16 || self.is_due() {
            self.measure(connection, health_state, failpoints)?;
        }
        Ok(())
    }

    /// Nobody writes: what the log holds goes into the file.
    pub(super) fn is_idle(
        &mut self,
        connection: &Connection,
        health_state: &HealthState,
        failpoints: &Failpoints,
    ) -> Result<(), EngineError> {
        if !self.is_checkpointed {
            if self.grew_at.elapsed() < IDLE {
                // It was looked up for something else.
                return Ok(());
            }
            self.is_checkpointed = true;
            // As far as it goes without waiting for a reader or another writer.
            self.checkpoint(connection, "PRAGMA wal_checkpoint(PASSIVE)", health_state, failpoints)?;
        } else if !self.is_due() {
            return Ok(());
        }
        self.measure(connection, health_state, failpoints)
    }

    /// Runs a checkpoint, unless a second SQLite library in the process has the log open.
    ///
    /// # Errors
    /// The log is not what SQLite wrote, and would damage the file, among others.
    fn checkpoint(
        &self,
        connection: &Connection,
        how: &'static str,
        health_state: &HealthState,
        failpoints: &Failpoints,
    ) -> Result<Option<i64>, EngineError> {
        failpoints.reach(Failpoint::Checkpointing, connection)?;
        self.checkpoint_locked(connection, how, health_state)
    }

    fn checkpoint_locked(
        &self,
        connection: &Connection,
        how: &'static str,
        health_state: &HealthState,
    ) -> Result<Option<i64>, EngineError> {
        let Some(_lock) = self.guard.lock_for_checkpoint()? else { return Ok(None) };
        health_state.begin_step(WriterStep::Checkpoint);
        let result = run_checkpoint(connection, how);
        health_state.end_step();
        Ok(result?)
    }

    fn is_due(&self) -> bool {
        self.measured.is_none_or(|measured| measured.elapsed() >= AGAIN)
    }

    fn measure(
        &mut self,
        connection: &Connection,
        health_state: &HealthState,
        failpoints: &Failpoints,
    ) -> Result<(), EngineError> {
        (self.written, self.measured) = (0, Some(Instant::now()));
        if self.is_long() {
            let held_up = self.checkpoint(connection, TRUNCATE, health_state, failpoints)?;
            let is_due = self.closed_in_vain_at.is_none_or(|at| at.elapsed() >= AGAIN);
            if is_due && held_up.is_some_and(|pages| pages <= MAX_HELD_BACK) && self.is_long() {
                self.truncate_behind_barrier(connection, health_state, failpoints)?;
            }
        }
        if self.is_long() {
            let since = *self.too_long_since.get_or_insert_with(Instant::now);
            health_state.set_alarm(Alarm::LogTooLong, since.elapsed() >= LONG);
        } else {
            self.too_long_since = None;
            health_state.set_alarm(Alarm::LogTooLong, false);
        }
        Ok(())
    }

    fn is_long(&self) -> bool {
        length(&self.path) > self.limit
    }

    /// Cuts the log behind the readers of the store, unless one of them reads for long, or another process does.
    fn truncate_behind_barrier(
        &mut self,
        connection: &Connection,
        health_state: &HealthState,
        failpoints: &Failpoints,
    ) -> Result<(), EngineError> {
        // Before the readers are made to wait.
        failpoints.reach(Failpoint::Checkpointing, connection)?;
        if let Some(_closed) = self.reader_barrier.close(self.barrier_timeout) {
            self.checkpoint_locked(connection, TRUNCATE, health_state)?;
        }
        // From the measurement on, or the next one, which comes as long after this one, would find it too early.
        self.closed_in_vain_at = self.measured.filter(|_| self.is_long());
        Ok(())
    }
}

/// Folds all of the log and makes it empty, if nobody reads any of it.
const TRUNCATE: &str = "PRAGMA wal_checkpoint(TRUNCATE)";

/// Where the log of a file is.
pub(crate) fn path_of(path: &Path) -> PathBuf {
    with_suffix(path, "-wal")
}

/// Where SQLite keeps something beside a file.
pub(crate) fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

/// How long a log is; one that is not there has no length.
pub(crate) fn length(wal: &Path) -> u64 {
    // Asked of the directory: to open and close the file would drop the locks of SQLite.
    fs::metadata(wal).map_or(0, |metadata| metadata.len())
}

/// Folds the log; that others are at work, and that some of it stays for later, is no fault. Says how many pages do; nothing
/// where another process folds it, and that is not known.
pub(super) fn run_checkpoint(connection: &Connection, how: &'static str) -> rusqlite::Result<Option<i64>> {
    let pages = |row: &Row<'_>| Ok((row.get(1)?, row.get(2)?));
    match connection.prepare_cached(how)?.query_row([], pages) {
        Err(error) if error.sqlite_error_code() == Some(rusqlite::ErrorCode::DatabaseBusy) => Ok(None),
        pages => pages.map(left),
    }
}

/// How many pages stay of those in the log; SQLite says -1 of both when it has not begun.
fn left((in_wal, checkpointed): (i64, i64)) -> Option<i64> {
    (in_wal >= 0).then_some(in_wal - checkpointed)
}

#[cfg(test)]
mod tests {
    use std::{
        sync::{
            atomic::{AtomicU32, Ordering::Relaxed},
            mpsc,
        },
        thread,
    };

    use super::*;

    /// A file that is written to without a pause, and how often its log was tried to be folded.
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
            let guard = Arc::new(FileGuard::new(&self.path, Failpoints::none()));
            Wal::new(&self.path, limit, Arc::clone(&self.reader_barrier), guard)
        }

        /// Commits a few pages, and says how many the log has then.
        fn commit(&self, wal: &mut Wal) -> u32 {
            self.connection.execute("INSERT INTO t VALUES (zeroblob(40000))", []).unwrap();
            let pages = connection::pages_in_wal();
            wal.grew(&self.connection, 0, &self.health_state, &self.failpoints).unwrap();
            pages
        }

        fn measure(&self, wal: &mut Wal) {
            wal.measure(&self.connection, &self.health_state, &self.failpoints).unwrap();
        }

        /// Somebody who reads from now on, beside the gate as another process does.
        fn reader(&self) -> Connection {
            let reader = Connection::open(&self.path).unwrap();
            reader.execute_batch("BEGIN; SELECT count(*) FROM t").unwrap();
            reader
        }
    }

    #[test]
    fn it_is_folded_each_time_that_it_has_grown_by_a_quarter_of_its_limit() {
        let written = written();
        // Of a thousand pages, and a little more.
        let mut wal = written.wal(4 * 1000 * PAGE + 3);
        let lengths: Vec<_> = (0..400).map(|_| written.commit(&mut wal)).collect();
        let (most, per_commit) = (lengths.iter().max().unwrap(), lengths[0]);
        assert!((1000..1000 + 2 * per_commit).contains(most), "{lengths:?}");
        let begun_again = lengths.windows(2).filter(|pair| pair[1] < pair[0]).count();
        assert_eq!(begun_again, 4, "{lengths:?}");
        assert_eq!(written.checkpoints.load(Relaxed), 4);
    }

    #[test]
    fn what_a_reader_holds_up_is_not_tried_again_at_every_commit() {
        let written = written();
        let mut wal = written.wal(64 << 20);
        let _reader = written.reader();
        while written.commit(&mut wal) < 3 * STEP.1 + 100 {}
        assert_eq!(written.checkpoints.load(Relaxed), 3);
    }

    #[test]
    fn readers_do_not_wait_until_what_a_long_read_held_up_is_folded() {
        let written = written();
        let mut wal = written.wal(PAGE);
        wal.barrier_timeout = Duration::ZERO;
        let reader = written.reader();
        let bytes = PAGE * u64::from(STEP.1);
        written.connection.execute("INSERT INTO t VALUES (zeroblob(?1))", [bytes as i64]).unwrap();
        written.measure(&mut wal);
        assert_eq!((written.checkpoints.load(Relaxed), wal.closed_in_vain_at), (1, None));
        // Another one reads on, and has held nothing up.
        let _next = written.reader();
        drop(reader);
        written.measure(&mut wal);
        assert_eq!((written.checkpoints.load(Relaxed), wal.closed_in_vain_at), (3, wal.measured));
    }

    #[test]
    fn nothing_is_known_of_a_log_that_somebody_else_folds() {
        assert_eq!([(-1, -1), (0, 0), (9, 4)].map(left), [None, Some(0), Some(5)]);
    }

    #[test]
    fn it_is_measured_whenever_a_sixteenth_of_its_limit_was_written() {
        const LIMIT: u64 = 8 * PAGE;
        let written = written();
        let mut wal = written.wal(LIMIT);
        // So that it is for nothing else.
        wal.measured = Instant::now().checked_add(Duration::from_secs(3600));
        for _ in 0..2 {
            written.commit(&mut wal);
            assert!(length(&wal.path) > LIMIT);
            for (bytes, is_truncated) in [(LIMIT / 16 - 1, false), (1, true)] {
                let bytes = usize::try_from(bytes).unwrap();
                wal.grew(&written.connection, bytes, &written.health_state, &written.failpoints).unwrap();
                assert_eq!(length(&wal.path) == 0, is_truncated);
            }
            wal.measured = Instant::now().checked_add(Duration::from_secs(3600));
        }
    }

    #[test]
    fn one_that_cannot_be_cut_is_an_alarm_only_after_a_while() {
        let written = written();
        let mut wal = written.wal(PAGE);
        wal.barrier_timeout = Duration::ZERO;
        written.connection.execute("INSERT INTO t VALUES (zeroblob(40000))", []).unwrap();
        let _reader = written.reader();
        // A tenth of the time is more than a measurement takes, and less than the rest of it.
        for (so_far, alarms) in [(LONG / 10, &[][..]), (LONG, &[Alarm::LogTooLong][..])] {
            wal.too_long_since = Instant::now().checked_sub(so_far);
            written.measure(&mut wal);
            assert_eq!(written.health_state.health().alarms, alarms);
        }
    }

    #[test]
    fn a_short_limit_is_no_fold_for_every_commit_and_a_long_one_no_long_fold() {
        let guard = Arc::new(FileGuard::new(Path::new("f.db"), Failpoints::none()));
        let step = |limit| Wal::new(Path::new("f.db"), limit, Arc::default(), Arc::clone(&guard)).step;
        assert_eq!([1 << 20, 16 << 20, 64 << 20, u64::MAX].map(step), [256, 1018, 4072, 4096]);
    }

    /// Takes its turns to read: the first one ends when the second has begun, and each of them when the gate is being closed.
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
    fn it_is_cut_although_there_is_always_somebody_who_reads() {
        const LIMIT: u64 = 100 * PAGE;
        let (written, begun) = (written(), AtomicU32::new(0));
        let mut wal = written.wal(LIMIT);
        // Those who read end as soon as they see that the gate is being closed, however long that takes a busy machine.
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
            // Nobody has the next turn, and the last one ends for it.
            begun.store(0, Relaxed);
            lengths
        });
        assert!(lengths.iter().all(|length| *length <= LIMIT), "{lengths:?}");
        // And again, without a pause after it was cut.
        assert!(lengths.windows(2).filter(|pair| pair[1] < pair[0]).count() >= 5, "{lengths:?}");
    }

    #[test]
    fn readers_who_were_made_to_wait_in_vain_are_let_alone_for_a_while() {
        let written = written();
        let mut wal = written.wal(PAGE);
        wal.barrier_timeout = Duration::ZERO;
        let checkpoints = |wal: &mut Wal| {
            let before = written.checkpoints.load(Relaxed);
            written.measure(wal);
            written.checkpoints.load(Relaxed) - before
        };
        // One of another process, who has begun when the gate is closed, and one of the store, who does not leave.
        for is_of_the_store in [false, true] {
            let reading = is_of_the_store.then(|| written.reader_barrier.enter());
            // What stands in the log is what the reader reads there.
            written.connection.execute("INSERT INTO t VALUES (zeroblob(40000))", []).unwrap();
            let reader = written.reader();
            (wal.closed_in_vain_at, wal.too_long_since) = (None, None);
            assert_eq!([checkpoints(&mut wal), checkpoints(&mut wal), checkpoints(&mut wal)], [2, 1, 1]);
            assert!(wal.too_long_since.is_some() && !written.reader_barrier.is_closed());
            wal.closed_in_vain_at = wal.closed_in_vain_at.and_then(|at| at.checked_sub(AGAIN));
            assert_eq!([checkpoints(&mut wal), checkpoints(&mut wal)], [2, 1]);
            drop((reader, reading));
        }
        written.measure(&mut wal);
        assert_eq!(length(&wal.path), 0);
    }
}
