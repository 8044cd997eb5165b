//! Limits the length of the WAL: checkpoints and truncates it.
//!
//! By default SQLite runs a checkpoint inside of a commit that leaves more than a thousand pages in the WAL, and its
//! callers wait for that. Here callers have their answers before the checkpoint. A checkpoint does not shorten the WAL:
//! SQLite restarts it from its beginning once no reader uses its contents. So the writer also checkpoints the WAL when
//! it is idle, and truncates it when it has become long and no reader uses it. If the readers of the store leave no
//! such moment, the writer closes the reader barrier.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

use rusqlite::{Connection, ErrorCode, Row};

use crate::{
    connection,
    error::EngineError,
    failpoint::{Failpoint, Failpoints},
    file_guard::{CheckpointLock, FileGuard},
    file_status,
    health::{Alarm, HealthState, WriterStep},
    reader_barrier::ReaderBarrier,
};

/// A page in the WAL, with its frame header.
const PAGE: u64 = 4096 + 24;

/// The smallest and the largest number of pages by which the WAL grows before a checkpoint, and the fraction of its
/// limit. Every transaction writes some of the same pages, and one checkpoint copies them once for all of them. But the
/// next writes wait for a checkpoint, and for a large one they wait long. In a measurement with checkpoints of a
/// thousand pages, one hundredth of the writes of 64 tasks took more than five times the median.
const STEP: (u32, u32) = (256, 4096);
const PART: u64 = 4;

/// How long the writer must be idle before it checkpoints the WAL.
const IDLE: Duration = Duration::from_millis(100);

/// The interval between two attempts to truncate a WAL that is too long. Also the time for which the writer does not
/// delay readers again after an attempt without success, so that a long read does not make all readers wait repeatedly.
const RETRY_INTERVAL: Duration = Duration::from_secs(1);

/// How long new readers wait at most for the running ones to end.
const BARRIER_TIMEOUT: Duration = Duration::from_millis(50);

/// How many pages readers may keep in the WAL for the writer to close the barrier. More pages are the effect of a long
/// read. When that has ended, the writer first checkpoints them while the other readers run, because otherwise these
/// would wait for the checkpoint.
const MAX_BLOCKED: i64 = STEP.1 as i64;

/// For how long the WAL cannot be truncated before that raises the alarm. Successive reads of this store do not prevent
/// a truncation. Those of another process may do so, for moments or for longer, and a long read always does.
const LONG: Duration = Duration::from_secs(3);

/// The WAL of one file.
#[derive(Debug)]
pub(super) struct Wal {
    path: PathBuf,
    limit: u64,
    /// The bytes of the writes since the last measurement.
    written: u64,
    measured: Option<Instant>,
    /// The time of the last commit, or of the last attempt since then to run a checkpoint.
    grew_at: Instant,
    is_checkpointed: bool,
    /// The number of further pages until the next checkpoint.
    step: u32,
    /// The length in pages at which the next checkpoint runs.
    checkpoint_at: u32,
    too_long_since: Option<Instant>,
    reader_barrier: Arc<ReaderBarrier>,
    guard: Arc<FileGuard>,
    /// The longest wait for running reads.
    barrier_timeout: Duration,
    /// The time of the last measurement for which the barrier was closed without success.
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

    /// Returns how long the writer waits for a write before it calls [`on_idle`](Self::on_idle).
    pub(super) fn timeout(&self) -> Option<Duration> {
        if !self.is_checkpointed {
            Some(IDLE)
        } else if self.too_long_since.is_some() {
            Some(RETRY_INTERVAL)
        } else {
            None
        }
    }

    /// Handles a commit, after which the WAL may be long enough for a checkpoint, or too long.
    pub(super) fn on_commit(
        &mut self,
        connection: &Connection,
        bytes: usize,
        health_state: &HealthState,
        failpoints: &Failpoints,
    ) -> Result<(), EngineError> {
        (self.is_checkpointed, self.grew_at) = (false, Instant::now());
        let pages = connection::pages_in_wal();
        if pages < self.step {
            // SQLite has restarted the WAL.
            self.checkpoint_at = self.step;
        } else if pages >= self.checkpoint_at {
            // Pages that a reader holds stay until the next checkpoint; an attempt at every commit would sync the file
            // each time.
            self.checkpoint_at = pages + self.step;
            self.checkpoint(connection, "PRAGMA wal_checkpoint(PASSIVE)", health_state, failpoints)?;
        }
        self.written += bytes as u64;
        if self.written >= self.limit / 16 || self.is_due() {
            self.measure(connection, health_state, failpoints)?;
        }
        Ok(())
    }

    /// Handles an idle writer: checkpoints the WAL into the file.
    pub(super) fn on_idle(
        &mut self,
        connection: &Connection,
        health_state: &HealthState,
        failpoints: &Failpoints,
    ) -> Result<(), EngineError> {
        if !self.is_checkpointed {
            if self.grew_at.elapsed() < IDLE {
                // The writer woke up for another reason.
                return Ok(());
            }
            // As far as possible without waiting for a reader or another writer. `None`: none can run at the moment.
            let left =
                self.checkpoint(connection, "PRAGMA wal_checkpoint(PASSIVE)", health_state, failpoints)?;
            (self.is_checkpointed, self.grew_at) = (left.is_some(), Instant::now());
        } else if !self.is_due() {
            return Ok(());
        }
        self.measure(connection, health_state, failpoints)
    }

    /// Runs a checkpoint, unless a second SQLite library in the process has the WAL open.
    ///
    /// # Errors
    /// Among others: SQLite did not write the contents of the WAL, and a checkpoint would damage the file.
    fn checkpoint(
        &mut self,
        connection: &Connection,
        how: &'static str,
        health_state: &HealthState,
        failpoints: &Failpoints,
    ) -> Result<Option<i64>, EngineError> {
        failpoints.reach(Failpoint::Checkpointing, connection)?;
        let reader_barrier = Arc::clone(&self.reader_barrier);
        // There may be no moment without a read otherwise.
        let closed = if self.guard.may_have_moved_marks() && self.may_close_barrier() {
            let closed = reader_barrier.close(self.barrier_timeout);
            self.closed_in_vain_at = closed.is_none().then(Instant::now);
            closed
        } else {
            None
        };
        let Some(lock) = self.guard.lock_for_checkpoint()? else { return Ok(None) };
        drop(closed);
        self.run_locked(connection, how, health_state, lock)
    }

    fn run_locked(
        &self,
        connection: &Connection,
        how: &'static str,
        health_state: &HealthState,
        _lock: CheckpointLock,
    ) -> Result<Option<i64>, EngineError> {
        health_state.begin_step(WriterStep::Checkpoint);
        let result = run_checkpoint(connection, &self.guard, how);
        health_state.end_step();
        Ok(result?)
    }

    /// Returns whether new reads may have to wait: not within a second of a time when that was in vain.
    fn may_close_barrier(&self) -> bool {
        self.closed_in_vain_at.is_none_or(|at| at.elapsed() >= RETRY_INTERVAL)
    }

    fn is_due(&self) -> bool {
        self.measured.is_none_or(|measured| measured.elapsed() >= RETRY_INTERVAL)
    }

    fn measure(
        &mut self,
        connection: &Connection,
        health_state: &HealthState,
        failpoints: &Failpoints,
    ) -> Result<(), EngineError> {
        (self.written, self.measured) = (0, Some(Instant::now()));
        if self.is_long() {
            let blocked = self.checkpoint(connection, TRUNCATE, health_state, failpoints)?;
            if self.may_close_barrier() && blocked.is_some_and(|pages| pages <= MAX_BLOCKED) && self.is_long()
            {
                self.truncate_behind_barrier(connection, health_state, failpoints)?;
            }
        }
        if self.is_long() {
            let since = *self.too_long_since.get_or_insert_with(Instant::now);
            health_state.set_alarm(Alarm::WalTooLong, since.elapsed() >= LONG);
        } else {
            self.too_long_since = None;
            health_state.set_alarm(Alarm::WalTooLong, false);
        }
        Ok(())
    }

    /// Checkpoints the WAL and truncates it, so that the file ends at its last page. A reader of the store delays that for
    /// [`BARRIER_TIMEOUT`] at most; a longer read, or one of another process, prevents it.
    ///
    /// Returns whether the file has every page that was committed. Then no snapshot, of any process, is older.
    pub(super) fn shrink(
        &mut self,
        connection: &Connection,
        health_state: &HealthState,
        failpoints: &Failpoints,
    ) -> Result<bool, EngineError> {
        let mut left = self.checkpoint(connection, TRUNCATE, health_state, failpoints)?;
        if length(&self.path) > 0 {
            left = self.truncate_behind_barrier(connection, health_state, failpoints)?.or(left);
        }
        Ok(left == Some(0))
    }

    fn is_long(&self) -> bool {
        length(&self.path) > self.limit
    }

    /// Closes the reader barrier and truncates the WAL, unless a reader of the store or of another process runs for too
    /// long. Returns how many pages stay; `None` if that is unknown.
    fn truncate_behind_barrier(
        &mut self,
        connection: &Connection,
        health_state: &HealthState,
        failpoints: &Failpoints,
    ) -> Result<Option<i64>, EngineError> {
        // Before the readers have to wait.
        failpoints.reach(Failpoint::Checkpointing, connection)?;
        let left = match self.reader_barrier.close(self.barrier_timeout) {
            Some(_closed) => match self.guard.lock_for_checkpoint()? {
                Some(lock) => self.run_locked(connection, TRUNCATE, health_state, lock)?,
                None => None,
            },
            None => None,
        };
        // The time of this measurement: from a later one the next measurement would come too early.
        self.closed_in_vain_at = self.measured.filter(|_| self.is_long());
        Ok(left)
    }
}

/// Checkpoints the complete WAL and truncates it, if no reader uses it.
pub(super) const TRUNCATE: &str = "PRAGMA wal_checkpoint(TRUNCATE)";

/// Returns the path of the WAL of a file.
pub(crate) fn path_of(path: &Path) -> PathBuf {
    with_suffix(path, "-wal")
}

/// Returns the path with a suffix, such as that of the WAL.
pub(crate) fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

/// Returns the length of a WAL; a missing one has the length 0.
pub(crate) fn length(wal: &Path) -> u64 {
    file_status::length_at(wal).unwrap_or(0)
}

/// Runs a checkpoint. Other connections that are busy, and pages that stay in the WAL, are no error. Returns how many
/// pages stay; `None` if another process runs a checkpoint, so that the number is unknown.
pub(super) fn run_checkpoint(
    connection: &Connection,
    guard: &FileGuard,
    how: &'static str,
) -> rusqlite::Result<Option<i64>> {
    let pages = |row: &Row<'_>| Ok((row.get(1)?, row.get(2)?));
    let result = connection.prepare_cached(how)?.query_row([], pages);
    match result.as_ref().err().and_then(rusqlite::Error::sqlite_error_code) {
        Some(ErrorCode::DatabaseBusy) => return Ok(None),
        Some(ErrorCode::SystemIoFailure) => {
            guard.sync_failed();
            if guard.has_lost_copies() {
                // Otherwise SQLite runs a checkpoint when it closes the last connection, and deletes the WAL.
                connection::keep_wal_on_close(connection);
            }
        }
        _ => {}
    }
    result.map(left)
}

/// Returns how many pages of the WAL are not checkpointed; SQLite reports -1 for both numbers if it has not begun.
fn left((in_wal, checkpointed): (i64, i64)) -> Option<i64> {
    (in_wal >= 0).then_some(in_wal - checkpointed)
}

#[cfg(test)]
mod tests;
