//! The registry of the open files of all stores of the process.
//!
//! When a process closes any descriptor of a file, it drops all of its POSIX locks on that file. So the stores on one
//! file share their descriptors. The registry closes them when nothing else in the process has the file open.

use std::{
    collections::{HashMap, HashSet},
    io,
    ops::Deref,
    path::Path,
    sync::{Arc, Mutex, MutexGuard, Weak},
};

use throughline_core::backend::{Inherit, PerProcess};

use super::{
    Identity,
    files::{Files, descriptors},
};
use crate::file_status::identity;

#[derive(Debug, Default)]
struct Registry {
    open: HashMap<Identity, Weak<Files>>,
    /// The files of closed stores that something else in the process has open.
    kept: Vec<Arc<Files>>,
}

static REGISTRY: PerProcess<Registry> = PerProcess::new();

impl Inherit for Registry {
    fn inherit(_: &Mutex<Self>) -> Self {
        Self::default()
    }
}

/// All files that a store of this process has open, and those that its parent processes had open when they forked. No
/// system call runs under this lock, so that a fork hardly ever finds it held.
#[derive(Debug, Default)]
struct OpenFiles {
    files: Vec<Weak<Files>>,
    inherited: HashSet<Identity>,
}

static OPEN_FILES: PerProcess<OpenFiles> = PerProcess::new();

impl Inherit for OpenFiles {
    fn inherit(parent: &Mutex<Self>) -> Self {
        // A thread of the parent that holds the lock is between two memory accesses.
        let Ok(parent) = parent.try_lock() else { return Self::default() };
        let mut inherited = parent.inherited.clone();
        for files in parent.files.iter().filter_map(Weak::upgrade) {
            files.close_inherited();
            inherited.insert(files.identity);
            // Its descriptors are closed, and everything else in it belongs to the parent.
            std::mem::forget(files);
        }
        Self { files: Vec::new(), inherited }
    }
}

impl OpenFiles {
    fn add(&mut self, files: &Arc<Files>) {
        self.files.retain(|other| other.strong_count() > 0);
        self.files.push(Arc::downgrade(files));
    }
}

fn registry() -> MutexGuard<'static, Registry> {
    close_inherited();
    REGISTRY.lock()
}

/// Calls `open`, which opens a file by SQLite. Meanwhile the registry closes no descriptor of the file, which would
/// drop the locks that SQLite takes.
pub(crate) fn while_none_is_closed<T>(open: impl FnOnce() -> T) -> T {
    let _registry = registry();
    open()
}

/// In a forked child, closes the descriptors that it has inherited. They would hold the locks of the parent for longer
/// than the parent lives.
pub(crate) fn close_inherited() {
    OPEN_FILES.inherit();
}

/// Returns whether this process was forked from one that had a store at `path` open. The SQLite of the child considers
/// the locks of the parent its own: it would write without a lock, or wait for one that is never released.
pub(crate) fn is_inherited(path: &Path) -> bool {
    identity(path).is_ok_and(|identity| OPEN_FILES.lock().inherited.contains(&identity))
}

/// The files of a store. When the last store drops them, the registry closes them as soon as that drops no lock of
/// others.
#[derive(Debug)]
pub(super) struct Shared(Option<Arc<Files>>);

impl Deref for Shared {
    type Target = Files;

    fn deref(&self) -> &Files {
        match &self.0 {
            Some(files) => files,
            None => unreachable!("they are taken out as this is dropped"),
        }
    }
}

impl Shared {
    /// Opens the file at a path, its WAL and the wal-index, which SQLite has open.
    pub(super) fn open(path: &Path, wal: &Path, index: &Path) -> io::Result<Self> {
        let mut registry = registry();
        registry.close_what_can_be();
        let identity = identity(path)?;
        let opened = (self::identity(wal)?, self::identity(index)?);
        if let Some(files) = registry.open.get(&identity).and_then(Weak::upgrade)
            && files.opened == opened
        {
            // A store that is closing may have released them.
            files.lock()?;
            return Ok(Self(Some(files)));
        }
        let is_same = |files: &Arc<Files>| files.identity == identity && files.opened == opened;
        let files = match registry.kept.iter().position(is_same) {
            Some(at) => registry.kept.swap_remove(at),
            None => {
                let files = Arc::new(Files::open([path, wal, index], identity, opened)?);
                OPEN_FILES.lock().add(&files);
                files
            }
        };
        if let Err(error) = files.lock() {
            registry.kept.push(files);
            return Err(error);
        }
        registry.open.insert(identity, Arc::downgrade(&files));
        Ok(Self(Some(files)))
    }

    /// Returns the files of an open store.
    pub(super) fn of(path: &Path) -> Option<Self> {
        let identity = identity(path).ok()?;
        let files = registry().open.get(&identity).and_then(Weak::upgrade)?;
        Some(Self(Some(files)))
    }

    /// Releases the locks if this is the last store on the file.
    pub(super) fn unlock_if_last(&self) {
        let _registry = registry();
        if self.0.as_ref().is_some_and(|files| Arc::strong_count(files) == 1) {
            self.unlock();
        }
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        // Held until the descriptors are closed: no store opens the file meanwhile.
        let mut registry = registry();
        let Some(files) = self.0.take() else { return };
        if Arc::strong_count(&files) == 1 {
            let is_own = |open: &Weak<Files>| std::ptr::eq(open.as_ptr(), Arc::as_ptr(&files));
            if registry.open.get(&files.identity).is_some_and(is_own) {
                registry.open.remove(&files.identity);
            }
            files.unlock();
            registry.kept.push(files);
            registry.close_what_can_be();
        }
    }
}

impl Registry {
    /// Closes the files that nothing else in the process has open. Several kept entries for the same files do not keep
    /// each other alive.
    fn close_what_can_be(&mut self) {
        if self.kept.is_empty() {
            return;
        }
        let Some(open) = descriptors() else { return };
        let kept: Vec<Identity> = self.kept.iter().flat_map(|files| files.locked()).collect();
        let count = |of: &[Identity], file| of.iter().filter(|other| **other == file).count();
        let is_open_elsewhere = |file| count(&open, file) > count(&kept, file);
        self.kept.retain(|files| files.locked().into_iter().any(is_open_elsewhere));
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, path::PathBuf};

    use nix::sys::inotify::{InitFlags, Inotify};
    use rusqlite::Connection;
    use tempfile::TempDir;

    use super::*;
    use crate::{file_guard::lock, writer::with_suffix};

    fn file() -> (TempDir, PathBuf) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("f.db");
        (directory, path)
    }

    fn connect(path: &Path) -> Connection {
        let connection = Connection::open(path).unwrap();
        connection
            .execute_batch(
                "PRAGMA journal_mode = WAL; CREATE TABLE IF NOT EXISTS t (b BLOB); SELECT * FROM t",
            )
            .unwrap();
        connection
    }

    fn share(path: &Path) -> Shared {
        Shared::open(path, &with_suffix(path, "-wal"), &with_suffix(path, "-shm")).unwrap()
    }

    /// Returns how many descriptors the process has in the directory of the file, deleted files included.
    fn open_in(path: &Path) -> usize {
        let directory = path.parent().unwrap();
        let links =
            fs::read_dir("/proc/self/fd").unwrap().filter_map(|entry| fs::read_link(entry.ok()?.path()).ok());
        links.filter(|link| link.starts_with(directory)).count()
    }

    #[test]
    fn a_closed_store_leaves_no_descriptor() {
        let (_directory, path) = file();
        for _ in 0..3 {
            let connection = connect(&path);
            let [first, second] = [share(&path), share(&path)];
            drop(first);
            drop(connection);
            assert_eq!(open_in(&path), 3);
            drop(second);
            assert_eq!(open_in(&path), 0);
        }
    }

    #[test]
    fn the_files_of_a_closed_store_are_kept_while_a_connection_has_them_open() {
        let (_directory, path) = file();
        let connection = connect(&path);
        let of_sqlite = open_in(&path);
        drop(share(&path));
        assert_eq!(open_in(&path), of_sqlite + 3);
        // The next store reuses them.
        let again = share(&path);
        assert_eq!(open_in(&path), of_sqlite + 3);
        drop(connection);
        drop(again);
        assert_eq!(open_in(&path), 0);
    }

    #[test]
    fn the_files_of_two_closed_stores_on_one_database_do_not_keep_each_other_open() {
        let (_directory, path) = file();
        let connection = connect(&path);
        let kept = share(&path);
        drop(kept);
        // The next store has another WAL and another index.
        for suffix in ["-wal", "-shm"] {
            fs::rename(with_suffix(&path, suffix), with_suffix(&path, &format!("{suffix}-before"))).unwrap();
            fs::write(with_suffix(&path, suffix), "").unwrap();
        }
        drop(share(&path));
        let of_stores = 3 + 3;
        assert!(open_in(&path) > of_stores, "the connection has the database open");
        drop(connection);
        registry().close_what_can_be();
        assert_eq!(open_in(&path), 0);
    }

    #[test]
    fn a_store_opened_while_another_releases_its_locks_holds_them() {
        let (_directory, path) = file();
        let _connection = connect(&path);
        let closing = share(&path);
        closing.unlock_if_last();
        let opened = share(&path);
        drop(closing);
        let other = fs::File::options().read(true).write(true).open(with_suffix(&path, "-shm")).unwrap();
        assert!(lock::exclude(&other, lock::USERS).is_err(), "the store that is open shares it");
        drop(opened);
    }

    #[test]
    fn a_store_on_a_replaced_wal_stays_registered_after_the_store_on_the_old_wal_is_closed() {
        let (_directory, path) = file();
        let _connection = connect(&path);
        let old = share(&path);
        for suffix in ["-wal", "-shm"] {
            fs::rename(with_suffix(&path, suffix), with_suffix(&path, &format!("{suffix}-before"))).unwrap();
            fs::write(with_suffix(&path, suffix), "").unwrap();
        }
        let new = share(&path);
        drop(old);
        let found = Shared::of(&path).unwrap();
        assert_eq!(found.opened, new.opened);
    }

    #[test]
    fn a_forked_child_waits_for_no_files_that_its_parent_holds() {
        let parent = Mutex::new(OpenFiles::default());
        let _held = parent.lock().unwrap();
        assert!(OpenFiles::inherit(&parent).inherited.is_empty());
    }

    #[test]
    fn the_stores_of_a_process_share_one_inotify_instance() {
        if let Err(error) = Inotify::init(InitFlags::IN_CLOEXEC) {
            eprintln!("SKIPPED: the inotify instance of a process ({error}: the user has no instance left)");
            return;
        }
        let files = [file(), file(), file()];
        let open: Vec<_> = files.iter().map(|(_, path)| (connect(path), share(path))).collect();
        let links =
            fs::read_dir("/proc/self/fd").unwrap().filter_map(|entry| fs::read_link(entry.ok()?.path()).ok());
        assert_eq!(links.filter(|link| link.as_os_str() == "anon_inode:inotify").count(), 1);
        // Each store sees only opens of its own index.
        assert!(open.iter().all(|(_, files)| !files.has_second_library()));
        let second = fs::File::open(with_suffix(&files[1].1, "-shm")).unwrap();
        let seen: Vec<_> = open.iter().map(|(_, files)| files.has_second_library()).collect();
        assert_eq!(seen, [false, true, false]);
        drop(second);
        assert!(!open[1].1.has_second_library());
    }
}
