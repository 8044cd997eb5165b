//! The worker of the writer thread: it serves the queue, and maintains the file while the queue is empty.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    path::Path,
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use rusqlite::Connection;
use throughline_core::{PersistError, Result, changes::CommitNotifier};

use super::{
    PROBE_INTERVAL,
    begin::{READERS_TIMEOUT, begin_own},
    commit_watch::CommitWatch,
    failure_tracker::FailureTracker,
    file_identity::FileIdentity,
    lock_yield::LockYield,
    lost::checkpoint_into_file,
    progress::Progress,
    space::Space,
    stuck_lock::StuckLock,
    transaction::execute,
    wal::{TRUNCATE, Wal, run_checkpoint},
};
use crate::{
    SqliteOptions,
    blob::{BlobFolder, BlobRef, BlobWriter, Collector},
    cache::PageCacheReserve,
    connection,
    error::{EngineError, Phase},
    failpoint::{Failpoint, Failpoints},
    file_guard::{self, FileGuard},
    fork_barrier,
    health::{Alarm, Condition, HealthState, WriterStep},
    metadata_index::MetadataWork,
    obsolete_chunks::Deletion,
    open::{OpenError, Opened},
    pause,
    queue::{Queue, Woken},
    reader_barrier::ReaderBarrier,
    rows::ThreadCache,
    search::Index,
};

/// For how long a store that is closing continues to update the full-text index, and to remove obsolete chunks and blobs.
const WORK_AT_THE_END: Duration = Duration::from_secs(1);

/// The interval at which an idle writer checks whether a second SQLite library has closed the file.
const SECOND_LIBRARY: Duration = Duration::from_millis(250);

/// The bounds of one transaction, and the limits of a write.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    pub(super) operations: usize,
    pub(super) bytes: usize,
    pub(super) time: Duration,
    pub(super) wait: Duration,
    pub(super) max_content_bytes: u64,
    /// The number of changes to keep.
    pub(super) changes: i64,
    /// The number of positions in a segment of the order.
    pub(super) segment: i64,
    /// The longest content that stays in its row.
    pub(super) blobs_above: Option<u64>,
    pub(super) free_space_floor: u64,
}

impl Limits {
    /// Returns the blobs of the store at this path.
    pub(super) fn blobs(self, path: &Path) -> BlobWriter {
        BlobWriter::new(BlobFolder::of_store(path), self.blobs_above, self.free_space_floor)
    }
}

pub(super) struct Worker {
    pub(super) path: Arc<Path>,
    pub(super) queue: Arc<Queue>,
    pub(super) health_state: Arc<HealthState>,
    pub(super) limits: Limits,
    /// `None` after a failure, until the writer opens it again.
    pub(super) connection: Option<Connection>,
    pub(super) page_cache_reserve: PageCacheReserve,
    pub(super) threads: ThreadCache,
    pub(super) file_identity: FileIdentity,
    pub(super) guard: Arc<FileGuard>,
    /// The result of the last check.
    pub(super) has_second_library: bool,
    pub(super) reader_barrier: Arc<ReaderBarrier>,
    pub(super) stuck_lock: StuckLock,
    pub(super) lock_yield: LockYield,
    /// The name of this writer in the file.
    pub(super) id: i64,
    pub(super) wal: Wal,
    pub(super) space: Space,
    pub(super) failure_tracker: FailureTracker,
    pub(super) failpoints: Failpoints,
    pub(super) commits: CommitWatch,
    pub(super) index: Index,
    pub(super) metadata: MetadataWork,
    pub(super) obsolete_chunks: Deletion,
    /// `None` during a transaction.
    pub(super) blobs: Option<BlobWriter>,
    pub(super) unnamed_blobs: Collector,
}

/// Marks the store as closed when it is dropped, even if closing panicked.
struct Closed(Arc<HealthState>);

impl Drop for Closed {
    fn drop(&mut self) {
        // The last step was closing, or the one that panicked.
        self.0.end_step();
        self.0.set_alarm(Alarm::WriterWaits, false);
        self.0.set_condition(Condition::Closed);
    }
}

impl Worker {
    pub(super) fn new(
        options: &SqliteOptions,
        path: Arc<Path>,
        queue: Arc<Queue>,
        health_state: Arc<HealthState>,
        opened: Opened,
        commits: CommitNotifier,
        reader_barrier: Arc<ReaderBarrier>,
    ) -> Self {
        let Opened { connection, guard, file_identity } = opened;
        let unnamed_blobs = Collector::new(BlobFolder::of_store(&path), options.blobs_above.is_some());
        Self {
            queue,
            health_state,
            limits: Limits {
                operations: options.batch_operations,
                bytes: options.batch_bytes,
                time: options.batch_time,
                wait: options.wait_limit,
                max_content_bytes: options.max_content_bytes,
                changes: i64::try_from(options.changes_kept).unwrap_or(i64::MAX),
                segment: i64::from(options.segment_positions.max(1)),
                blobs_above: options.blobs_above,
                free_space_floor: options.free_space_floor,
            },
            connection: Some(connection),
            page_cache_reserve: PageCacheReserve::default(),
            threads: ThreadCache::default(),
            file_identity,
            id: fastrand::i64(1..),
            wal: Wal::new(&path, options.wal_limit, Arc::clone(&reader_barrier), Arc::clone(&guard)),
            guard,
            has_second_library: false,
            reader_barrier,
            stuck_lock: StuckLock::default(),
            lock_yield: LockYield::default(),
            space: Space::new(&path, options.free_space_floor),
            failure_tracker: FailureTracker::default(),
            failpoints: options.failpoints.clone(),
            commits: CommitWatch::new(commits),
            index: Index::new(options.search, options.tokenizer),
            metadata: MetadataWork::new(),
            obsolete_chunks: Deletion::new(),
            blobs: None,
            unnamed_blobs,
            path,
        }
    }

    /// Works until the queue is closed and empty, and then closes the file.
    pub(super) fn work(mut self) -> Result<()> {
        // A panic drops the current writes, which answers them, and the connection, which rolls back.
        while catch_unwind(AssertUnwindSafe(|| self.serve())).is_err() {
            let _inside = fork_barrier::enter();
            self.health_state.end_step();
            self.connection = None;
            self.failure_tracker.record_failure(&self.health_state, "the writer panicked");
        }
        let _inside = fork_barrier::enter();
        let _closed = Closed(Arc::clone(&self.health_state));
        if self.should_reopen() {
            // The index and the last checkpoint need a connection.
            self.reopen();
        }
        // Recently deleted text should not stay in the index.
        let begun = Instant::now();
        while self.index.is_behind() && self.connection.is_some() && begun.elapsed() < WORK_AT_THE_END {
            self.yield_lock(Instant::now());
            if !self.continue_index() {
                // Another process may release the lock in time.
                thread::sleep(pause::for_the_lock());
            }
        }
        while self.obsolete_chunks.is_left() && self.can_remove_chunks() && begun.elapsed() < WORK_AT_THE_END
        {
            self.yield_lock(Instant::now());
            if !self.continue_chunk_removal() {
                thread::sleep(pause::for_the_lock());
            }
        }
        self.collect_blobs();
        // A process that never runs for long would not come to the end of a search otherwise.
        while (self.unnamed_blobs.is_searching() || self.unnamed_blobs.has_candidates())
            && self.connection.is_some()
            && begun.elapsed() < WORK_AT_THE_END
        {
            self.collect_blobs();
        }
        self.finish()
    }

    fn serve(&mut self) {
        let mut took_one = false;
        loop {
            // Without a connection there is no WAL to maintain.
            let wal = match (&self.connection, self.file_identity.lost) {
                (Some(_), None) => self.wal.timeout(),
                _ => None,
            };
            let is_kept = self.index.is_kept();
            let commits = self.connection.as_ref().and_then(|_| self.commits.timeout(is_kept));
            let index = self.connection.as_ref().and_then(|_| self.index.timeout());
            let metadata = self.connection.as_ref().and_then(|_| self.metadata.timeout());
            let chunks = if self.can_remove_chunks() { self.obsolete_chunks.timeout() } else { None };
            let second = self.has_second_library.then_some(SECOND_LIBRARY);
            let should_reopen = self.should_reopen().then_some(PROBE_INTERVAL);
            let blobs = self.connection.as_ref().and_then(|_| self.unnamed_blobs.timeout());
            let idle = [
                wal,
                self.space.timeout(),
                self.probes(),
                commits,
                index,
                metadata,
                chunks,
                second,
                should_reopen,
                blobs,
            ]
            .into_iter()
            .flatten()
            .min();
            let idle_since = Instant::now();
            let woken = self.queue.wait(took_one, idle);
            self.yield_lock(idle_since);
            let _inside = fork_barrier::enter();
            match woken {
                Woken::ForWrites => {
                    took_one = self.serve_writes() == 1;
                    if self.index.is_due() {
                        self.continue_index();
                    }
                    if self.metadata.is_due() {
                        self.continue_metadata_index();
                    }
                    if self.obsolete_chunks.is_due() {
                        self.continue_chunk_removal();
                    }
                    if self.unnamed_blobs.is_due() {
                        self.collect_blobs();
                    }
                }
                Woken::Idle => self.maintain_file(),
                Woken::Closed => return,
            }
        }
    }

    fn probes(&self) -> Option<Duration> {
        self.health_state.is_read_only().then_some(PROBE_INTERVAL)
    }

    /// Returns whether the connection was dropped and the writer opens another one without waiting for a write. It
    /// needs a connection to maintain the index and the WAL and to detect commits of other processes. A read-only store
    /// is [probed](Self::probe) instead.
    fn should_reopen(&self) -> bool {
        self.connection.is_none() && self.file_identity.lost.is_none() && !self.health_state.is_read_only()
    }

    fn reopen(&mut self) {
        self.health_state.begin_step(WriterStep::Open);
        let reopened = connection::reopen(&self.path);
        self.health_state.end_step();
        let reopened = reopened.and_then(|connection| match self.file_identity.expect_file() {
            Ok(()) => Ok(connection),
            Err(error) => {
                // A normal close would delete the WAL of the file that is at the path now.
                connection::keep_wal_on_close(&connection);
                Err(OpenError::sqlite(&self.path, error))
            }
        });
        match reopened {
            Ok(connection) => self.set_connection(connection),
            Err(error) => {
                if let Some(engine) = error.engine() {
                    self.failed(engine);
                } else {
                    self.failure_tracker.record_failure(&self.health_state, error);
                }
            }
        }
    }

    /// Sets a new connection, and resets the state that belonged to the previous one.
    pub(super) fn set_connection(&mut self, connection: Connection) {
        self.file_identity.reopened();
        self.commits.reopened();
        self.connection = Some(connection);
    }

    /// Applies the waiting writes. Returns how many they were.
    fn serve_writes(&mut self) -> usize {
        if self.health_state.is_read_only() {
            self.refuse_all(&self.health_state.refusal());
            return 0;
        }
        if let Err(error) = self.space.check(&self.health_state) {
            self.refuse_all(&error);
            return 0;
        }
        self.begin().map_or(0, |lock| self.transact(lock))
    }

    /// Answers every waiting write with an error.
    pub(super) fn refuse_all(&mut self, error: &PersistError) {
        for pending in self.queue.take_all() {
            self.unnamed_blobs.add(pending.blobs().iter().map(BlobRef::hash));
            pending.answer(Err(error.clone()));
        }
    }

    /// Does the maintenance of an idle writer.
    pub(super) fn maintain_file(&mut self) {
        if self.health_state.is_read_only() {
            self.probe();
        }
        // Only writes report that there is no space; this check detects that there is space again.
        drop(self.space.check(&self.health_state));
        self.check_second_library();
        if self.should_reopen() {
            self.reopen();
        }
        if self.index.timeout().is_some() {
            self.continue_index();
        }
        if self.metadata.timeout().is_some() {
            self.continue_metadata_index();
        }
        if self.obsolete_chunks.is_ready() {
            self.continue_chunk_removal();
        }
        if let Some(connection) = &self.connection {
            match self.commits.poll(connection, self.index.is_kept()) {
                Ok(true) => self.index.committed(),
                Ok(false) => {}
                Err(error) => {
                    self.connection = None;
                    self.failed(&EngineError::from(error).caused(&self.path));
                }
            }
        }
        if let Some(connection) = &self.connection
            && self.file_identity.lost.is_none()
            && let Err(error) = self.wal.on_idle(connection, &self.health_state, &self.failpoints)
        {
            self.connection = None;
            self.failed(&error.caused(&self.path));
        }
        self.collect_blobs();
    }

    /// Checks whether a second SQLite library still has the file open.
    fn check_second_library(&mut self) {
        if self.has_second_library {
            self.set_second_library(self.guard.still_has_second_library());
        }
    }

    pub(super) fn set_second_library(&mut self, is_there: bool) {
        self.has_second_library = is_there;
        self.health_state.set_alarm(Alarm::SecondLibrary, is_there);
    }

    /// Updates the full-text index with some of the committed changes. Returns whether it could.
    fn continue_index(&mut self) -> bool {
        // A step that cannot run is not tried again at once.
        self.index.pause();
        if self.health_state.is_read_only() || self.file_identity.lost.is_some() {
            return false;
        }
        let Some(connection) = self.connection.take() else { return false };
        let mut run_step = || -> Result<(), EngineError> {
            let _transaction = begin_own(&connection, &self.file_identity, &self.guard)?;
            let end = if self.index.run_step(&connection)? { "COMMIT" } else { "ROLLBACK" };
            Ok(execute(&connection, end)?)
        };
        self.health_state.begin_step(WriterStep::Apply);
        // SQLite also reports an index as damaged that the disk cannot read. The writer does not drop the index for
        // that.
        let gone_on = run_step().map_err(|error| error.caused(&self.path));
        self.health_state.end_step();
        match gone_on {
            Ok(()) => {
                self.index.stepped();
                self.connection = Some(connection);
                true
            }
            // Another process writes: the index can wait.
            Err(error) if error.is_busy() && connection.is_autocommit() => {
                self.index.failed();
                self.connection = Some(connection);
                false
            }
            // The index is damaged. The writer can rebuild it, and nothing else depends on it.
            Err(error) if error.is_damage() && !self.is_unreadable() => {
                drop(connection);
                match self.restart_index() {
                    Ok(true) => true,
                    // Another process writes: the next step meets the damage again.
                    Err(error) if error.engine().is_some_and(EngineError::is_busy) => {
                        self.index.failed();
                        false
                    }
                    _ => {
                        self.index.disable();
                        true
                    }
                }
            }
            Err(error) => {
                drop(connection);
                self.failed(&error);
                false
            }
        }
    }

    /// Adds some messages to the index of new metadata fields, or removes entries of dropped ones.
    fn continue_metadata_index(&mut self) {
        if self.health_state.is_read_only() || self.file_identity.lost.is_some() {
            return;
        }
        let Some(connection) = self.connection.take() else { return };
        let mut run_step = || -> Result<(), EngineError> {
            let _transaction = begin_own(&connection, &self.file_identity, &self.guard)?;
            let end = if self.metadata.run_step(&connection)? { "COMMIT" } else { "ROLLBACK" };
            Ok(execute(&connection, end)?)
        };
        self.health_state.begin_step(WriterStep::Apply);
        let continued = run_step().map_err(|error| error.caused(&self.path));
        self.health_state.end_step();
        match continued {
            Ok(()) => self.connection = Some(connection),
            // Another process writes: the index can wait.
            Err(error) if error.is_busy() && connection.is_autocommit() => {
                self.metadata.failed();
                self.connection = Some(connection);
            }
            Err(error) => {
                drop(connection);
                if error.is_damage() {
                    self.metadata.disable();
                }
                self.failed(&error);
            }
        }
    }

    /// Returns whether the disk cannot read the file now. The scan behind the error may be a minute old.
    fn is_unreadable(&self) -> bool {
        let is_unreadable = file_guard::is_unreadable(&self.path);
        if is_unreadable {
            self.health_state.set_unreadable(true);
        }
        is_unreadable
    }

    /// Drops the index for a rebuild. It uses a new connection: SQLite may have rolled back the one that met the
    /// damage.
    fn restart_index(&mut self) -> Result<bool, OpenError> {
        let connection = connection::reopen(&self.path)?;
        let mut begin = || -> Result<bool, EngineError> {
            let _transaction = begin_own(&connection, &self.file_identity, &self.guard)?;
            let has_begun = self.index.restart(&connection)?;
            execute(&connection, if has_begun { "COMMIT" } else { "ROLLBACK" })?;
            Ok(has_begun)
        };
        let has_begun = begin().map_err(|error| OpenError::sqlite(&self.path, error))?;
        self.set_connection(connection);
        Ok(has_begun)
    }

    /// Tries whether the store can commit again.
    fn probe(&mut self) {
        if self.file_identity.lost.is_some()
            && let Err(error) = self.file_identity.expect_unchanged()
        {
            if let Some(connection) = &self.connection {
                // A reader may have prevented it before.
                checkpoint_into_file(connection, &mut self.file_identity, &self.guard);
            }
            // The host has to close and open the store, unless the lost files return.
            return self.failure_tracker.record_failure(&self.health_state, error);
        }
        if self.failure_tracker.had_lock_failure() {
            // Nothing else releases a stuck lock. The readers reopen their connections.
            self.close_connections();
        }
        self.connection = None;
        self.file_identity.reopened();
        let probe = || -> Result<Connection, OpenError> {
            let connection = connection::reopen(&self.path)?;
            self.leave_a_mark(&connection).map_err(|error| OpenError::sqlite(&self.path, error))?;
            Ok(connection)
        };
        self.health_state.begin_step(WriterStep::Open);
        let probed = probe();
        self.health_state.end_step();
        match probed {
            Ok(connection) => {
                self.set_connection(connection);
                self.stuck_lock.reset();
                self.failure_tracker.record_success(&self.health_state);
            }
            Err(error) => {
                let engine = error.engine();
                if let Some(busy) = engine.filter(|engine| engine.is_busy()) {
                    // It shows nothing about the disk.
                    return self.handle_busy(busy);
                }
                if engine.is_some_and(EngineError::is_lock) {
                    self.failure_tracker.record_lock_failure();
                }
                self.failure_tracker.record_failure(&self.health_state, error);
            }
        }
    }

    fn leave_a_mark(&self, connection: &Connection) -> Result<(), EngineError> {
        let _transaction = begin_own(connection, &self.file_identity, &self.guard)?;
        let mut progress = Progress::read(connection)?;
        progress.fence_transaction();
        progress.write(connection)?;
        self.failpoints.reach(Failpoint::Committing, connection)?;
        execute(connection, "COMMIT")?;
        Ok(())
    }

    /// Checkpoints the WAL into the file. If another process is active, some of it stays for later.
    fn finish(mut self) -> Result<()> {
        self.health_state.begin_step(WriterStep::Close);
        // Also if no write arrived since a file was removed.
        if self.connection.is_none() {
            // The previous connection and its files are closed.
            self.file_identity.reopened();
        }
        let found = self.file_identity.expect_unchanged_now().and_then(|()| self.guard.lock_for_checkpoint());
        let lock = match found {
            Ok(lock) => lock,
            Err(error) => {
                self.file_identity.failed(&error);
                return self.close_lost(error);
            }
        };
        let Some(connection) = self.connection else { return Ok(()) };
        let failed = |error: EngineError| -> PersistError {
            let context_text =
                "close failed: every acknowledged write is in the WAL, but the WAL could not be checkpointed";
            error.to_persist(Phase::Begin).with_source(error).context(context_text)
        };
        let reached = self.failpoints.reach(Failpoint::Closing, &connection);
        // A second library has the WAL open, and does not see the locks by which SQLite determines whether it is the
        // last user. SQLite then leaves the WAL to that library, and the next opening reads it.
        let checkpointed = reached.and_then(|()| match &lock {
            Some(_) => run_checkpoint(&connection, &self.guard, TRUNCATE).map(drop),
            None => Ok(()),
        });
        if lock.is_none() {
            connection::keep_wal_on_close(&connection);
        }
        drop(lock);
        // If the store is dropped, the readers may not have closed theirs yet.
        self.reader_barrier.close_connections(READERS_TIMEOUT);
        match connection.close() {
            Ok(()) => self.guard.remove_wal(),
            Err((_, error)) => return Err(failed(error.into())),
        }
        match checkpointed.map_err(EngineError::from) {
            Err(error) if !error.is_busy() => Err(failed(error)),
            _ => Ok(()),
        }
    }
}
