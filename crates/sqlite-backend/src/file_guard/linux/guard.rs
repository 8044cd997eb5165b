use std::{
    fs::File,
    io,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use rusqlite::Connection;

use super::{
    Identity,
    files::Files,
    index::{Header, is_checkpointed},
    lock,
    opening::Opening,
    registry::Shared,
};
use crate::{
    error::EngineError,
    failpoint::{Failpoint, Failpoints},
    reader_barrier::ReaderBarrier,
    writer::with_suffix,
};

/// How often the store checks a WAL that seems foreign while others may write to it.
const ATTEMPTS: usize = 3;

/// The interval between two attempts to open the files and to take the shared locks, on a file system that refuses
/// that.
const RETRY_INTERVAL: Duration = Duration::from_secs(1);

/// The locks of one store.
#[derive(Debug)]
pub(crate) struct FileGuard {
    path: PathBuf,
    wal_path: PathBuf,
    index_path: PathBuf,
    /// Until the files are open.
    opening: Mutex<Option<Opening>>,
    /// `None` before SQLite has the WAL open, and on a file system without such locks.
    files: Mutex<Option<Shared>>,
    /// The last time that the file system refused the locks.
    refused: Mutex<Option<Instant>>,
    has_warned: AtomicBool,
    /// A sync of the file failed, and SQLite still counts pages of the WAL as copied into it.
    pub(super) has_lost_copies: AtomicBool,
    readers: Arc<ReaderBarrier>,
    failpoints: Failpoints,
}

/// The writer lock, until it is dropped. `None` on a file system without such locks.
#[derive(Debug)]
#[must_use = "when it is dropped, the lock is released"]
pub(crate) struct WriteLock(Option<Arc<FileGuard>>);

impl Drop for WriteLock {
    fn drop(&mut self) {
        if let Some(guard) = &self.0
            && let Some(files) = guard.files().as_ref()
        {
            files.release();
        }
    }
}

/// The header of the wal-index before a `BEGIN`. `None` if the files were not open, or the header could not be read.
#[derive(Debug)]
#[must_use = "the exchange of the lock compares it"]
pub(crate) struct BeforeBegin(Option<((Identity, Identity), Header)>);

impl FileGuard {
    /// Creates a guard that has no locks yet. `readers` is the barrier of the store's readers.
    pub(crate) fn new(path: &Path, readers: Arc<ReaderBarrier>, failpoints: Failpoints) -> Self {
        Self {
            path: path.to_owned(),
            wal_path: with_suffix(path, "-wal"),
            index_path: with_suffix(path, "-shm"),
            opening: Mutex::new(None),
            files: Mutex::new(None),
            refused: Mutex::new(None),
            has_warned: AtomicBool::new(false),
            has_lost_copies: AtomicBool::new(false),
            readers,
            failpoints,
        }
    }

    /// Takes the first locks of a file in WAL mode, before SQLite opens it: no other library in the process removes the WAL or
    /// truncates its index from now on. Returns false if the file is not in WAL mode, and if its file system has no such locks.
    ///
    /// # Errors
    /// Another user of the file has it to itself at the moment, or another thread opens it.
    pub(crate) fn lock_before_open(&self) -> Result<bool, EngineError> {
        let lock = || -> io::Result<Option<Opening>> {
            let mut opening = Opening::take(&self.path)?;
            if !opening.is_in_wal_mode(&self.path)? {
                return Ok(None);
            }
            opening.lock_index(&self.path)?;
            Ok(Some(opening))
        };
        match lock() {
            Ok(opening) => {
                let is_locked = opening.is_some();
                *self.opening() = opening;
                Ok(is_locked)
            }
            Err(error) if is_taken(&error) => Err(EngineError::Overtaken),
            Err(error) => {
                report_no_locks(&error);
                Ok(false)
            }
        }
    }

    /// Opens the WAL and its index, which SQLite has open, and takes the other locks, if the file system has such locks.
    ///
    /// # Errors
    /// Another user of the file has it to itself at the moment, or SQLite has other files open than those at the paths.
    pub(crate) fn open_files(&self) -> Result<(), EngineError> {
        match self.open(&mut self.files(), None) {
            Err(EngineError::Lock { source }) => report_no_locks(&source),
            opened => opened?,
        }
        Ok(())
    }

    fn opening(&self) -> MutexGuard<'_, Option<Opening>> {
        self.opening.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn files(&self) -> MutexGuard<'_, Option<Shared>> {
        self.files.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the identities of the WAL and of its index, if they are open.
    pub(crate) fn opened(&self) -> Option<(Identity, Identity)> {
        self.files().as_ref().map(|files| files.opened())
    }

    /// Opens the files if they are not open yet, or are not the ones that SQLite has open. Does not try within a second
    /// of a refusal.
    ///
    /// # Errors
    /// Those of [`open_files`](Self::open_files), and [`Lock`](EngineError::Lock): the file system refused the locks.
    fn open(
        &self,
        files: &mut Option<Shared>,
        opened: Option<(Identity, Identity)>,
    ) -> Result<(), EngineError> {
        let is_current = |files: &Shared| opened.is_none_or(|opened| opened == files.opened());
        if files.as_ref().is_some_and(is_current) {
            return Ok(());
        }
        // Before the files are opened: otherwise a second handle of the same files would count as their own.
        *files = None;
        let mut refused = self.refused.lock().unwrap_or_else(PoisonError::into_inner);
        if refused.is_some_and(|at| at.elapsed() < RETRY_INTERVAL) {
            return Ok(());
        }
        let open = || -> io::Result<Shared> {
            let mut opening = match self.opening().take() {
                Some(opening) => opening,
                None => Opening::take(&self.path)?,
            };
            opening.lock_index(&self.path)?;
            Shared::open(opening, &self.wal_path, &self.index_path)
        };
        let shared = open().map_err(|error| {
            if is_taken(&error) {
                return EngineError::Overtaken;
            }
            // A WAL that does not exist yet is no refusal.
            if error.kind() != io::ErrorKind::NotFound {
                *refused = Some(Instant::now());
            }
            EngineError::lock(error)
        })?;
        if !shared.are_open_elsewhere() {
            return Err(EngineError::Removed);
        }
        shared.read_marks.add(&self.readers);
        *files = Some(shared);
        Ok(())
    }

    /// Reads the header of the wal-index. Called before each `BEGIN IMMEDIATE` whose lock is [exchanged](Self::exchange).
    ///
    /// # Errors
    /// A second library has the file open. SQLite takes the lock in spite of one that the library holds, and drops that one
    /// as it releases its own: another process could then write at the same time.
    pub(crate) fn before_begin(&self) -> Result<BeforeBegin, EngineError> {
        let files = self.files();
        let Some(files) = files.as_ref() else { return Ok(BeforeBegin(None)) };
        if files.has_second_library() {
            return Err(EngineError::SecondLibrary);
        }
        let header = Header::read(&files.index).ok();
        Ok(BeforeBegin(header.map(|header| (files.opened(), header))))
    }

    /// Exchanges the writer lock that the connection took by `BEGIN IMMEDIATE` for one that no other library drops. The
    /// transaction must have written nothing. `before` was read before the `BEGIN`; `opened` names the WAL and its
    /// index that the connection has open.
    ///
    /// # Errors
    /// The transaction has ended: a second library has the file open, another writer was faster, or the WAL is not what
    /// SQLite wrote. The connection can begin another transaction.
    pub(crate) fn exchange(
        self: &Arc<Self>,
        connection: &Connection,
        before: &BeforeBegin,
        opened: Option<(Identity, Identity)>,
    ) -> Result<WriteLock, EngineError> {
        let mut lock = WriteLock(None);
        let mut files = self.files();
        let exchanged = match self.open(&mut files, opened) {
            Err(EngineError::Lock { source }) => {
                self.warn(&source);
                return Ok(lock);
            }
            Err(error) => Err(error),
            Ok(()) => {
                let Some(shared) = files.as_ref() else { return Ok(lock) };
                self.exchange_on(shared, connection, before, &mut lock)
            }
        };
        // The drop of `lock` comes later and needs them.
        drop(files);
        if exchanged.is_err() {
            // Not ROLLBACK: another writer may hold the lock. SQLite would remove from the index all entries after the
            // header that it reads at that moment, and these may be frames that the other writer appends. COMMIT of a
            // transaction that has written nothing leaves the index alone. The connection keeps its earlier copy of the
            // header, so that its next transaction drops the pages in its cache.
            drop(connection.execute_batch("COMMIT"));
        }
        exchanged.map(|()| lock)
    }

    /// Warns once that SQLite's own locks are the only ones.
    fn warn(&self, error: &io::Error) {
        if !self.has_warned.swap(true, Ordering::Relaxed) {
            tracing::warn!(target: "throughline_sqlite", %error, "no lock keeps a second SQLite library out");
        }
    }

    fn exchange_on(
        self: &Arc<Self>,
        files: &Files,
        connection: &Connection,
        before: &BeforeBegin,
        lock: &mut WriteLock,
    ) -> Result<(), EngineError> {
        lock::drop_posix(&files.index, lock::WRITER).map_err(EngineError::lock)?;
        let reached = self.failpoints.reach(Failpoint::Exchanging, connection);
        files.exclude().map_err(|error| {
            if is_taken(&error) { EngineError::Overtaken } else { EngineError::lock(error) }
        })?;
        lock.0 = Some(Arc::clone(self));
        reached?;
        if files.has_second_library() {
            return Err(EngineError::SecondLibrary);
        }
        self.failpoints.reach(Failpoint::Exchanged, connection)?;
        // A second library that holds the lock of before the exchange can commit as soon as `BEGIN` has compared SQLite's
        // copy of the header. So the first header is read before the `BEGIN`. The library can close the file before the
        // check above, which then does not see it. So the second header is read after the check.
        let header = Header::read(&files.index).map_err(EngineError::lock)?;
        if before.0 != Some((files.opened(), header)) {
            return Err(EngineError::Outdated);
        }
        expect_own(&files.wal, &header)
    }

    /// Returns whether another process, or another store of this one, holds the writer lock. It is not held if SQLite
    /// reports a lock as busy that it could not take or release. `None` if that is unknown.
    pub(crate) fn is_written_elsewhere(&self) -> Option<bool> {
        self.files().as_ref()?.is_written_elsewhere().ok()
    }

    /// Returns whether a second library was present at the last check and still is.
    pub(crate) fn still_has_second_library(&self) -> bool {
        self.files().as_ref().is_some_and(|files| files.had_second_library() && files.has_second_library())
    }

    /// Returns whether the store may checkpoint the WAL: no second library reads or writes it, and the WAL is what
    /// SQLite wrote.
    pub(crate) fn may_checkpoint(&self) -> Result<bool, EngineError> {
        let files = self.files();
        let Some(files) = files.as_ref() else { return Ok(true) };
        if files.has_second_library() {
            return Ok(false);
        }
        files.expect_database()?;
        // Other processes can write in the meantime, so a fault counts only if it is found again with the same header.
        for _ in 0..ATTEMPTS {
            let Ok(header) = Header::read(&files.index) else { break };
            let Err(replaced) = expect_own(&files.wal, &header) else { break };
            if header.is_whole() && Header::read(&files.index).is_ok_and(|again| again == header) {
                return Err(replaced);
            }
        }
        Ok(true)
    }

    /// Returns whether a second library may have moved the mark of a read that is under way.
    pub(crate) fn may_have_moved_marks(&self) -> bool {
        self.files().as_ref().is_some_and(|files| files.read_marks.may_be_moved())
    }

    /// Returns whether the index says that the file holds everything that was committed. False if that is unknown.
    pub(crate) fn is_checkpointed(&self) -> bool {
        self.files().as_ref().is_some_and(|files| is_checkpointed(&files.index).unwrap_or_default())
    }

    /// Checks that the file has the length that SQLite gave it.
    ///
    /// # Errors
    /// The file was truncated.
    pub(crate) fn expect_database(&self) -> Result<(), EngineError> {
        self.files().as_ref().map_or(Ok(()), |files| files.expect_database())
    }

    /// Removes the WAL if it is empty and nothing else has the store open. Called after the last connection of the store was closed.
    pub(crate) fn remove_wal(&self) {
        if let Some(files) = self.files().as_ref() {
            files.remove_wal(&self.wal_path, &self.index_path);
        }
    }
}

fn expect_own(wal: &File, header: &Header) -> Result<(), EngineError> {
    header.fault_of(wal).map_or(Ok(()), |fault| Err(EngineError::WalReplaced { fault }))
}

fn report_no_locks(error: &io::Error) {
    tracing::debug!(target: "throughline_sqlite", %error, "no locks in addition to those of SQLite yet");
}

fn is_taken(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::WouldBlock
}

/// Takes the writer lock on the file at `path`, as another process does. The drop of the returned file releases it.
#[cfg(test)]
pub(crate) fn lock_as_another_process(path: &Path) -> File {
    let index = File::options().read(true).write(true).open(with_suffix(path, "-shm")).unwrap();
    lock::exclude(&index, lock::WRITER).unwrap();
    index
}

#[cfg(test)]
impl FileGuard {
    /// Creates the guard of a file that SQLite has open in WAL mode.
    pub(crate) fn of_open_file(path: &Path, failpoints: Failpoints) -> Self {
        let guard = Self::new(path, Arc::default(), failpoints);
        guard.open_files().unwrap();
        guard
    }

    /// Returns whether any open file holds the writer lock, this store's or another.
    pub(crate) fn is_locked(&self) -> bool {
        self.files().as_ref().is_some_and(|files| lock::is_held_by_a_file(&files.index, lock::WRITER))
    }
}

#[cfg(test)]
mod tests;
