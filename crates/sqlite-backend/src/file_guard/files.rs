//! The descriptors that the locks are on, and who else has the files open.

use std::{
    fs::{self, File},
    io, mem,
    os::{fd::AsRawFd as _, unix::fs::MetadataExt as _},
    path::Path,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use super::{Identity, length::FileLength, lock, scan::Scan, watch::Watch};
use crate::error::EngineError;

/// The files of one store. All stores of the process on one file share them.
#[derive(Debug)]
pub(super) struct Files {
    pub(super) database: File,
    /// The `-shm`.
    pub(super) index: File,
    /// The `-wal`. SQLite has no locks on it.
    pub(super) wal: File,
    pub(super) identity: Identity,
    /// Of the log and of its index.
    pub(super) opened: (Identity, Identity),
    has_second: AtomicBool,
    /// A store of this process holds the lock of the writer on these descriptors.
    is_held: AtomicBool,
    /// How many stores of this process run a checkpoint.
    checkpoints: Mutex<u32>,
    length: FileLength,
    watch: Mutex<Watch>,
    last_scan: Mutex<Option<Scan>>,
}

impl Files {
    /// Opens the file, its log and its index. Nothing is closed again that SQLite has locks on.
    pub(super) fn open(
        [path, wal, index]: [&Path; 3],
        identity: Identity,
        opened: (Identity, Identity),
    ) -> io::Result<Self> {
        // Before the index is counted: whoever opens it after that is seen.
        let watch = Mutex::new(Watch::on(index));
        let wal = File::open(wal)?;
        // Where descriptors have run out, it is found out by these two, which SQLite has no locks on.
        let spare = [wal.try_clone()?, wal.try_clone()?];
        drop(spare);
        let index = File::options().read(true).write(true).open(index)?;
        let database = match File::open(path) {
            Ok(database) => database,
            Err(error) => {
                // To close it again would drop the locks of SQLite.
                mem::forget(index);
                return Err(error);
            }
        };
        let [has_second, is_held] = [false; 2].map(AtomicBool::new);
        let last_scan = Mutex::new(None);
        let (checkpoints, length) = (Mutex::default(), FileLength::default());
        Ok(Self {
            database,
            index,
            wal,
            identity,
            opened,
            has_second,
            is_held,
            checkpoints,
            length,
            watch,
            last_scan,
        })
    }

    /// The files that SQLite has locks on.
    pub(super) const fn locked(&self) -> [Identity; 2] {
        [self.identity, self.opened.1]
    }

    /// Takes the shared locks; those that are held already stay.
    pub(super) fn lock(&self) -> io::Result<()> {
        lock::share(&self.database, lock::SHARED)?;
        let checkpoints = self.checkpoints();
        if *checkpoints == 0 {
            lock::share(&self.index, lock::USERS)?;
        }
        drop(checkpoints);
        self.count();
        Ok(())
    }

    fn checkpoints(&self) -> MutexGuard<'_, u32> {
        self.checkpoints.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps others from opening the index, unless another process has it open, and counts who has.
    pub(super) fn begin_checkpoint(&self) {
        let mut checkpoints = self.checkpoints();
        *checkpoints += 1;
        // The lock of SQLite, which it takes as it opens the index and never looks at again, would be in the way.
        if *checkpoints == 1 && lock::drop_posix(&self.index, lock::USERS).is_ok() {
            // Another process has it open where this fails, and the shared lock stays.
            drop(lock::exclude(&self.index, lock::USERS));
        }
        drop(checkpoints);
        self.count();
    }

    /// Lets others open the index again.
    pub(super) fn end_checkpoint(&self) {
        let mut checkpoints = self.checkpoints();
        *checkpoints -= 1;
        if *checkpoints == 0 {
            // Neither is refused to who holds the exclusive lock, or shares it already.
            drop(lock::share(&self.index, lock::USERS));
            drop(lock::share_posix(&self.index, lock::USERS));
        }
    }

    /// Expects the file to be as long as SQLite has made it.
    ///
    /// # Errors
    /// It was truncated.
    pub(super) fn expect_database(&self) -> Result<(), EngineError> {
        if self.length.is_truncated(&self.database) { Err(EngineError::FileTruncated) } else { Ok(()) }
    }

    pub(super) fn last_scan(&self) -> Option<Scan> {
        *self.last_scan.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn set_last_scan(&self, scan: Scan) {
        *self.last_scan.lock().unwrap_or_else(PoisonError::into_inner) = Some(scan);
    }

    fn watch(&self) -> MutexGuard<'_, Watch> {
        self.watch.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether a second SQLite library in this process has the index open. SQLite opens it once in a process, whatever the
    /// number of its connections.
    pub(super) fn has_second_library(&self) -> bool {
        let mut watch = self.watch();
        if self.has_second.load(Ordering::Relaxed) {
            // That it was closed is no news.
            self.count();
        }
        while watch.has_news() {
            self.count();
            if watch.is_clock() {
                break;
            }
        }
        self.has_second.load(Ordering::Relaxed)
    }

    /// What the last look found.
    pub(super) fn had_second_library(&self) -> bool {
        self.has_second.load(Ordering::Relaxed)
    }

    fn count(&self) {
        // Its own, and that of the SQLite of the store.
        let of_index = |open: Vec<Identity>| open.iter().filter(|file| **file == self.opened.1).count();
        let has_second = descriptors().is_some_and(|open| of_index(open) > 2);
        self.has_second.store(has_second, Ordering::Relaxed);
    }

    /// Takes the lock of the writer.
    pub(super) fn exclude(&self) -> io::Result<()> {
        lock::exclude(&self.index, lock::WRITER)?;
        self.is_held.store(true, Ordering::Release);
        Ok(())
    }

    /// Gives the lock of the writer back.
    pub(super) fn release(&self) {
        self.is_held.store(false, Ordering::Release);
        // It fails on no file that is open.
        drop(lock::release(&self.index, lock::WRITER));
    }

    /// Whether another process or another store of this one holds the lock of the writer. An error where the kernel has no
    /// answer.
    pub(super) fn is_written_elsewhere(&self) -> io::Result<bool> {
        // The kernel does not tell the locks of one open file from each other.
        if self.is_held.load(Ordering::Acquire) {
            return Ok(true);
        }
        lock::is_held_elsewhere(&self.index, lock::WRITER)
    }

    /// Closes the descriptors in a forked child, where none of the threads is that use them. The locks stay with the parent.
    pub(super) fn close_inherited(&self) {
        for file in [&self.wal, &self.index, &self.database] {
            let _ = nix::unistd::close(file.as_raw_fd());
        }
    }

    /// Gives the shared locks back, so that SQLite can find out whether it is the last user.
    pub(super) fn unlock(&self) {
        // What cannot be given back goes with the descriptors.
        drop(lock::release(&self.database, lock::SHARED));
        drop(lock::release(&self.index, lock::USERS));
    }
}

/// The files of all descriptors of this process. Nothing where that cannot be told.
pub(super) fn descriptors() -> Option<Vec<Identity>> {
    let entries = fs::read_dir("/proc/self/fd").ok()?;
    let files = entries.filter_map(Result::ok).filter_map(|entry| fs::metadata(entry.path()).ok());
    Some(files.map(|file| (file.dev(), file.ino())).collect())
}
