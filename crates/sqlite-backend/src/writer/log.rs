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
    gate::Gate,
    health::{Alarm, Board, WriterStep},
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
const GATE: Duration = Duration::from_millis(50);

/// How many pages may have been held up by who reads, for readers to be made to wait. More were held up by a long read. They
/// are folded first, when it has ended, while the others read: or those would wait for that.
const HELD_UP: i64 = STEP.1 as i64;

/// For how long it cannot be cut before that is an alarm. Reads of this store that come one after the other are not in the
/// way; those of another process may be, for moments or for longer, and a read that is long is anyhow.
const LONG: Duration = Duration::from_secs(3);

/// The log of one file.
#[derive(Debug)]
pub(super) struct Log {
    path: PathBuf,
    limit: u64,
    /// Bytes of writes since it was measured.
    written: u64,
    measured: Option<Instant>,
    /// When something was last committed.
    grew_at: Instant,
    is_folded: bool,
    /// So many pages more, and it is folded.
    step: u32,
    /// The length in pages at which it is folded next.
    fold_at: u32,
    too_long_since: Option<Instant>,
    gate: Arc<Gate>,
    guard: Arc<FileGuard>,
    /// How long it is waited for at most that nobody reads.
    gate_limit: Duration,
    /// When it was closed last, if that was in vain.
    in_vain: Option<Instant>,
}

impl Log {
    pub(super) fn new(path: &Path, limit: u64, gate: Arc<Gate>, guard: Arc<FileGuard>) -> Self {
        let step = u32::try_from(limit / PART / PAGE).unwrap_or(u32::MAX).clamp(STEP.0, STEP.1);
        Self {
            path: path_of(path),
            limit,
            written: 0,
            measured: None,
            grew_at: Instant::now(),
            is_folded: true,
            step,
            fold_at: step,
            too_long_since: None,
            gate,
            guard,
            gate_limit: GATE,
            in_vain: None,
        }
    }

    /// How long the writer waits for a write before [`is_idle`](Self::is_idle) is to be called.
    pub(super) fn timeout(&self) -> Option<Duration> {
        if !self.is_folded {
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
        board: &Board,
        failpoints: &Failpoints,
    ) -> Result<(), EngineError> {
        (self.is_folded, self.grew_at) = (false, Instant::now());
        let pages = connection::pages_in_log();
        if pages < self.step {
            // It was begun again.
            self.fold_at = self.step;
        } else if pages >= self.fold_at {
            // What a reader holds up stays for the next time; to try it at every commit would sync the file each time.
            self.fold_at = pages + self.step;
            self.checkpoint(connection, "PRAGMA wal_checkpoint(PASSIVE)", board, failpoints)?;
        }
        self.written += bytes as u64;
        if self.written >= self.limit / 16 || self.is_due() {
            self.measure(connection, board, failpoints)?;
        }
        Ok(())
    }

    /// Nobody writes: what the log holds goes into the file.
    pub(super) fn is_idle(
        &mut self,
        connection: &Connection,
        board: &Board,
        failpoints: &Failpoints,
    ) -> Result<(), EngineError> {
        if !self.is_folded {
            if self.grew_at.elapsed() < IDLE {
                // It was looked up for something else.
                return Ok(());
            }
            self.is_folded = true;
            // As far as it goes without waiting for a reader or another writer.
            self.checkpoint(connection, "PRAGMA wal_checkpoint(PASSIVE)", board, failpoints)?;
        } else if !self.is_due() {
            return Ok(());
        }
        self.measure(connection, board, failpoints)
    }

    /// Runs a checkpoint, unless a second SQLite library in the process has the log open.
    ///
    /// # Errors
    /// The log is not what SQLite wrote, and would damage the file, among others.
    fn checkpoint(
        &self,
        connection: &Connection,
        how: &'static str,
        board: &Board,
        failpoints: &Failpoints,
    ) -> Result<Option<i64>, EngineError> {
        failpoints.reach(Failpoint::Checkpointing, connection)?;
        self.fold_own(connection, how, board)
    }

    fn fold_own(
        &self,
        connection: &Connection,
        how: &'static str,
        board: &Board,
    ) -> Result<Option<i64>, EngineError> {
        let Some(_lock) = self.guard.lock_for_checkpoint()? else { return Ok(None) };
        board.begin_step(WriterStep::Checkpoint);
        let folded = fold(connection, how);
        board.end_step();
        Ok(folded?)
    }

    fn is_due(&self) -> bool {
        self.measured.is_none_or(|measured| measured.elapsed() >= AGAIN)
    }

    fn measure(
        &mut self,
        connection: &Connection,
        board: &Board,
        failpoints: &Failpoints,
    ) -> Result<(), EngineError> {
        (self.written, self.measured) = (0, Some(Instant::now()));
        if self.is_long() {
            let held_up = self.checkpoint(connection, CUT, board, failpoints)?;
            let is_due = self.in_vain.is_none_or(|at| at.elapsed() >= AGAIN);
            if is_due && held_up.is_some_and(|pages| pages <= HELD_UP) && self.is_long() {
                self.cut_while_nobody_reads(connection, board, failpoints)?;
            }
        }
        if self.is_long() {
            let since = *self.too_long_since.get_or_insert_with(Instant::now);
            board.set_alarm(Alarm::LogTooLong, since.elapsed() >= LONG);
        } else {
            self.too_long_since = None;
            board.set_alarm(Alarm::LogTooLong, false);
        }
        Ok(())
    }

    fn is_long(&self) -> bool {
        length(&self.path) > self.limit
    }

    /// Cuts the log behind the readers of the store, unless one of them reads for long, or another process does.
    fn cut_while_nobody_reads(
        &mut self,
        connection: &Connection,
        board: &Board,
        failpoints: &Failpoints,
    ) -> Result<(), EngineError> {
        // Before the readers are made to wait.
        failpoints.reach(Failpoint::Checkpointing, connection)?;
        if let Some(_closed) = self.gate.close(self.gate_limit) {
            self.fold_own(connection, CUT, board)?;
        }
        // From the measurement on, or the next one, which comes as long after this one, would find it too early.
        self.in_vain = self.measured.filter(|_| self.is_long());
        Ok(())
    }
}

/// Folds all of the log and makes it empty, if nobody reads any of it.
const CUT: &str = "PRAGMA wal_checkpoint(TRUNCATE)";

/// Where the log of a file is.
pub(crate) fn path_of(path: &Path) -> PathBuf {
    beside(path, "-wal")
}

/// Where SQLite keeps something beside a file.
pub(crate) fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

/// How long a log is; one that is not there has no length.
pub(crate) fn length(log: &Path) -> u64 {
    // Asked of the directory: to open and close the file would drop the locks of SQLite.
    fs::metadata(log).map_or(0, |metadata| metadata.len())
}

/// Folds the log; that others are at work, and that some of it stays for later, is no fault. Says how many pages do; nothing
/// where another process folds it, and that is not known.
pub(super) fn fold(connection: &Connection, how: &'static str) -> rusqlite::Result<Option<i64>> {
    let pages = |row: &Row<'_>| Ok((row.get(1)?, row.get(2)?));
    match connection.prepare_cached(how)?.query_row([], pages) {
        Err(error) if error.sqlite_error_code() == Some(rusqlite::ErrorCode::DatabaseBusy) => Ok(None),
        pages => pages.map(left),
    }
}

/// How many pages stay of those in the log; SQLite says -1 of both when it has not begun.
fn left((in_log, folded): (i64, i64)) -> Option<i64> {
    (in_log >= 0).then_some(in_log - folded)
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
        board: Board,
        failpoints: Failpoints,
        folds: Arc<AtomicU32>,
        gate: Arc<Gate>,
    }

    fn written() -> Written {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("f.db");
        let connection = Connection::open(&path).unwrap();
        connection.execute_batch("PRAGMA journal_mode = WAL; CREATE TABLE t (b BLOB NOT NULL)").unwrap();
        connection::configure(&connection, &path).unwrap();
        connection.busy_timeout(Duration::ZERO).unwrap();
        connection.execute_batch("PRAGMA wal_checkpoint(TRUNCATE)").unwrap();
        let (folds, failpoints) = (Arc::<AtomicU32>::default(), Failpoints::none());
        let counted = Arc::clone(&folds);
        failpoints.set(move |_, _| {
            counted.fetch_add(1, Relaxed);
            Ok(())
        });
        Written {
            _folder: folder,
            path,
            connection,
            board: Board::new(),
            failpoints,
            folds,
            gate: Arc::default(),
        }
    }

    impl Written {
        fn log(&self, limit: u64) -> Log {
            let guard = Arc::new(FileGuard::new(&self.path, Failpoints::none()));
            Log::new(&self.path, limit, Arc::clone(&self.gate), guard)
        }

        /// Commits a few pages, and says how many the log has then.
        fn commit(&self, log: &mut Log) -> u32 {
            self.connection.execute("INSERT INTO t VALUES (zeroblob(40000))", []).unwrap();
            let pages = connection::pages_in_log();
            log.grew(&self.connection, 0, &self.board, &self.failpoints).unwrap();
            pages
        }

        fn measure(&self, log: &mut Log) {
            log.measure(&self.connection, &self.board, &self.failpoints).unwrap();
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
        let mut log = written.log(4 * 1000 * PAGE + 3);
        let lengths: Vec<_> = (0..400).map(|_| written.commit(&mut log)).collect();
        let (most, per_commit) = (lengths.iter().max().unwrap(), lengths[0]);
        assert!((1000..1000 + 2 * per_commit).contains(most), "{lengths:?}");
        let begun_again = lengths.windows(2).filter(|pair| pair[1] < pair[0]).count();
        assert_eq!(begun_again, 4, "{lengths:?}");
        assert_eq!(written.folds.load(Relaxed), 4);
    }

    #[test]
    fn what_a_reader_holds_up_is_not_tried_again_at_every_commit() {
        let written = written();
        let mut log = written.log(64 << 20);
        let _reader = written.reader();
        while written.commit(&mut log) < 3 * STEP.1 + 100 {}
        assert_eq!(written.folds.load(Relaxed), 3);
    }

    #[test]
    fn readers_do_not_wait_until_what_a_long_read_held_up_is_folded() {
        let written = written();
        let mut log = written.log(PAGE);
        log.gate_limit = Duration::ZERO;
        let reader = written.reader();
        let bytes = PAGE * u64::from(STEP.1);
        written.connection.execute("INSERT INTO t VALUES (zeroblob(?1))", [bytes as i64]).unwrap();
        written.measure(&mut log);
        assert_eq!((written.folds.load(Relaxed), log.in_vain), (1, None));
        // Another one reads on, and has held nothing up.
        let _next = written.reader();
        drop(reader);
        written.measure(&mut log);
        assert_eq!((written.folds.load(Relaxed), log.in_vain), (3, log.measured));
    }

    #[test]
    fn nothing_is_known_of_a_log_that_somebody_else_folds() {
        assert_eq!([(-1, -1), (0, 0), (9, 4)].map(left), [None, Some(0), Some(5)]);
    }

    #[test]
    fn it_is_measured_whenever_a_sixteenth_of_its_limit_was_written() {
        const LIMIT: u64 = 8 * PAGE;
        let written = written();
        let mut log = written.log(LIMIT);
        // So that it is for nothing else.
        log.measured = Instant::now().checked_add(Duration::from_secs(3600));
        for _ in 0..2 {
            written.commit(&mut log);
            assert!(length(&log.path) > LIMIT);
            for (bytes, is_cut) in [(LIMIT / 16 - 1, false), (1, true)] {
                let bytes = usize::try_from(bytes).unwrap();
                log.grew(&written.connection, bytes, &written.board, &written.failpoints).unwrap();
                assert_eq!(length(&log.path) == 0, is_cut);
            }
            log.measured = Instant::now().checked_add(Duration::from_secs(3600));
        }
    }

    #[test]
    fn one_that_cannot_be_cut_is_an_alarm_only_after_a_while() {
        let written = written();
        let mut log = written.log(PAGE);
        log.gate_limit = Duration::ZERO;
        written.connection.execute("INSERT INTO t VALUES (zeroblob(40000))", []).unwrap();
        let _reader = written.reader();
        // A tenth of the time is more than a measurement takes, and less than the rest of it.
        for (so_far, alarms) in [(LONG / 10, &[][..]), (LONG, &[Alarm::LogTooLong][..])] {
            log.too_long_since = Instant::now().checked_sub(so_far);
            written.measure(&mut log);
            assert_eq!(written.board.health().alarms, alarms);
        }
    }

    #[test]
    fn a_short_limit_is_no_fold_for_every_commit_and_a_long_one_no_long_fold() {
        let guard = Arc::new(FileGuard::new(Path::new("f.db"), Failpoints::none()));
        let step = |limit| Log::new(Path::new("f.db"), limit, Arc::default(), Arc::clone(&guard)).step;
        assert_eq!([1 << 20, 16 << 20, 64 << 20, u64::MAX].map(step), [256, 1018, 4072, 4096]);
    }

    /// Takes its turns to read: the first one ends when the second has begun, and each of them when the gate is being closed.
    fn read_by_turns(path: &Path, gate: &Gate, turns: &mpsc::Receiver<u32>, begun: &AtomicU32) {
        let reader = Connection::open(path).unwrap();
        for turn in turns {
            let _inside = gate.enter();
            reader.execute_batch("BEGIN; SELECT count(*) FROM t").unwrap();
            begun.store(turn, Relaxed);
            while begun.load(Relaxed) == turn && !gate.is_closed() {
                thread::yield_now();
            }
            reader.execute_batch("ROLLBACK").unwrap();
        }
    }

    #[test]
    fn it_is_cut_although_there_is_always_somebody_who_reads() {
        const LIMIT: u64 = 100 * PAGE;
        let (written, begun) = (written(), AtomicU32::new(0));
        let mut log = written.log(LIMIT);
        // Those who read end as soon as they see that the gate is being closed, however long that takes a busy machine.
        log.gate_limit = Duration::from_secs(3600);
        let lengths: Vec<_> = thread::scope(|scope| {
            let readers = [(); 2].map(|()| {
                let (turn, turns) = mpsc::channel();
                let (path, gate, begun) = (&written.path, &written.gate, &begun);
                scope.spawn(move || read_by_turns(path, gate, &turns, begun));
                turn
            });
            let lengths = (1..100).map(|turn| {
                readers[turn as usize % 2].send(turn).unwrap();
                while begun.load(Relaxed) != turn {
                    thread::yield_now();
                }
                written.commit(&mut log);
                written.measure(&mut log);
                length(&log.path)
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
        let mut log = written.log(PAGE);
        log.gate_limit = Duration::ZERO;
        let folds = |log: &mut Log| {
            let before = written.folds.load(Relaxed);
            written.measure(log);
            written.folds.load(Relaxed) - before
        };
        // One of another process, who has begun when the gate is closed, and one of the store, who does not leave.
        for is_of_the_store in [false, true] {
            let inside = is_of_the_store.then(|| written.gate.enter());
            // What stands in the log is what the reader reads there.
            written.connection.execute("INSERT INTO t VALUES (zeroblob(40000))", []).unwrap();
            let reader = written.reader();
            (log.in_vain, log.too_long_since) = (None, None);
            assert_eq!([folds(&mut log), folds(&mut log), folds(&mut log)], [2, 1, 1]);
            assert!(log.too_long_since.is_some() && !written.gate.is_closed());
            log.in_vain = log.in_vain.and_then(|at| at.checked_sub(AGAIN));
            assert_eq!([folds(&mut log), folds(&mut log)], [2, 1]);
            drop((reader, inside));
        }
        written.measure(&mut log);
        assert_eq!(length(&log.path), 0);
    }
}
