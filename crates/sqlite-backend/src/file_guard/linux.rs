use std::{
    fs::File,
    io,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use rusqlite::ffi;

use super::{Identity, files::Files, index::Header, lock, registry::Shared};
use crate::{error::EngineError, writer::beside};

/// How often a log that seems to be another's is looked at while others may write to it.
const LOOKS: usize = 3;

/// The locks of one store.
#[derive(Debug)]
pub(crate) struct FileGuard {
    path: PathBuf,
    log_path: PathBuf,
    index_path: PathBuf,
    /// None before there is a log, and where the file system has no such locks.
    files: Mutex<Option<Shared>>,
    has_warned: AtomicBool,
}

/// The lock of the writer, until it is dropped.
#[derive(Debug)]
#[must_use = "dropped, the lock is given back"]
pub(crate) struct WriteLock(Arc<FileGuard>);

impl Drop for WriteLock {
    fn drop(&mut self) {
        if let Some(files) = self.0.files().as_ref() {
            // It fails on no file that is open.
            drop(lock::release(&files.index, lock::WRITER));
        }
    }
}

impl FileGuard {
    /// Of a file that SQLite has open in WAL mode.
    pub(crate) fn new(path: &Path) -> Self {
        let guard = Self {
            path: path.to_owned(),
            log_path: beside(path, "-wal"),
            index_path: beside(path, "-shm"),
            files: Mutex::new(None),
            has_warned: AtomicBool::new(false),
        };
        if let Err(error) = guard.open(&mut guard.files(), None) {
            tracing::debug!(target: "throughline_sqlite", %error, "no locks beside those of SQLite yet");
        }
        guard
    }

    fn files(&self) -> MutexGuard<'_, Option<Shared>> {
        self.files.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Opens the files, where they are not open yet, or are not the ones that SQLite has open.
    fn open(&self, files: &mut Option<Shared>, opened: Option<(Identity, Identity)>) -> io::Result<()> {
        let is_current = |files: &Shared| opened.is_none_or(|opened| opened == files.opened);
        if !files.as_ref().is_some_and(is_current) {
            // Before: a second handle of the same files would be their own.
            *files = None;
            *files = Some(Shared::open(&self.path, &self.log_path, &self.index_path)?);
        }
        Ok(())
    }

    /// Exchanges the lock of the writer, which the connection took by `BEGIN IMMEDIATE`, for one that no other library
    /// drops. `opened` are the log and its index that the connection has open.
    ///
    /// # Errors
    /// The transaction is to be rolled back: a second library has the file open, another writer was faster, or the log is
    /// not what SQLite wrote.
    pub(crate) fn exchange(
        self: &Arc<Self>,
        opened: Option<(Identity, Identity)>,
    ) -> Result<WriteLock, EngineError> {
        let held = WriteLock(Arc::clone(self));
        let mut files = self.files();
        if let Err(error) = self.open(&mut files, opened)
            && !self.has_warned.swap(true, Ordering::Relaxed)
        {
            // SQLite's own locks are all there is then.
            tracing::warn!(target: "throughline_sqlite", %error, "a second SQLite library is not held off");
        }
        let exchanged = files.as_ref().map_or(Ok(()), |files| exchange(files));
        // Before the lock is given back.
        drop(files);
        exchanged.map(|()| held)
    }

    /// Whether the lock of the writer is held by another process. It is not where SQLite calls it busy for a lock that it could
    /// not take or give back.
    pub(crate) fn is_written_elsewhere(&self) -> bool {
        let held = |files: &Shared| lock::is_held_elsewhere(&files.index, lock::WRITER).unwrap_or(false);
        self.files().as_ref().is_some_and(held)
    }

    /// Whether a second library was there at the last look, and is still.
    pub(crate) fn has_second_library_still(&self) -> bool {
        self.files().as_ref().is_some_and(|files| files.had_second_library() && files.has_second_library())
    }

    /// Whether the log may be folded into the file: no second library is there that reads or writes it, and the log is what
    /// SQLite wrote.
    pub(crate) fn may_checkpoint(&self) -> Result<bool, EngineError> {
        let files = self.files();
        let Some(files) = files.as_ref() else { return Ok(true) };
        if files.has_second_library() {
            return Ok(false);
        }
        // Nobody is kept from writing, so that what is found has to be found again with the same header.
        for _ in 0..LOOKS {
            let Ok(header) = Header::read(&files.index) else { break };
            let Err(replaced) = expect_own(&files.log, &header) else { break };
            if header.is_whole() && Header::read(&files.index).is_ok_and(|again| again == header) {
                return Err(replaced);
            }
        }
        Ok(true)
    }

    /// Gives the locks back that would keep SQLite from finding out that it is the last user. Before the last connection
    /// of the store is closed.
    pub(crate) fn unlock(&self) {
        if let Some(files) = self.files().as_ref() {
            files.unlock_if_last();
        }
    }
}

fn exchange(files: &Files) -> Result<(), EngineError> {
    let header = || Header::read(&files.index).map_err(EngineError::lock);
    let before = header()?;
    lock::drop_posix(&files.index, lock::WRITER).map_err(EngineError::lock)?;
    match lock::exclude(&files.index, lock::WRITER) {
        Ok(()) => {}
        Err(error) if is_taken(&error) => return Err(busy()),
        Err(error) => return Err(EngineError::lock(error)),
    }
    if header()? != before {
        return Err(busy());
    }
    if files.has_second_library() {
        return Err(EngineError::SecondLibrary);
    }
    expect_own(&files.log, &before)
}

fn expect_own(log: &File, header: &Header) -> Result<(), EngineError> {
    header.fault_of(log).map_or(Ok(()), |fault| Err(EngineError::LogReplaced { fault }))
}

fn is_taken(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::PermissionDenied)
}

fn busy() -> EngineError {
    rusqlite::Error::SqliteFailure(ffi::Error::new(ffi::SQLITE_BUSY), None).into()
}
