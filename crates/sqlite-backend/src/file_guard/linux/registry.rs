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
    descriptor::{Descriptor, Part},
    files::{Files, descriptors},
    opening::Opening,
};
use crate::file_status::identity;
#[cfg(test)]
use crate::writer::with_suffix;

#[derive(Debug, Default)]
pub(super) struct Registry {
    open: HashMap<Identity, Weak<Files>>,
    /// The databases that a thread opens at the moment. One at a time opens a database, so that the process has one descriptor of
    /// its index besides those of SQLite.
    opening: HashSet<Identity>,
    /// Descriptors of closed stores, of files that something else in the process has open. They hold no locks.
    kept: Vec<Arc<Descriptor>>,
}

static REGISTRY: PerProcess<Registry> = PerProcess::new();

impl Inherit for Registry {
    fn inherit(_: &Mutex<Self>) -> Self {
        Self::default()
    }
}

/// All files that stores of this process have open, and the databases that its parent processes had open when they forked. No
/// system call runs under this lock, so that a fork hardly ever finds it held.
#[derive(Debug, Default)]
struct OpenFiles {
    files: Vec<Weak<Descriptor>>,
    inherited: HashSet<Identity>,
}

static OPEN_FILES: PerProcess<OpenFiles> = PerProcess::new();

impl Inherit for OpenFiles {
    fn inherit(parent: &Mutex<Self>) -> Self {
        // A thread of the parent that holds the lock is between two memory accesses.
        let Ok(parent) = parent.try_lock() else { return Self::default() };
        let mut inherited = parent.inherited.clone();
        for file in parent.files.iter().filter_map(Weak::upgrade) {
            // The child has none of the threads that use it, and the parent keeps its locks. If another thread opened the file during
            // the fork, the child has no such descriptor, or one of its own with this number.
            if file.is_open() {
                let _ = nix::unistd::close(file.number());
            }
            if file.part == Part::Database {
                inherited.insert(file.identity);
            }
            // The descriptor is closed.
            std::mem::forget(file);
        }
        Self { files: Vec::new(), inherited }
    }
}

impl OpenFiles {
    fn add(&mut self, file: &Arc<Descriptor>) {
        self.files.retain(|other| other.strong_count() > 0);
        self.files.push(Arc::downgrade(file));
    }
}

pub(super) fn registry() -> MutexGuard<'static, Registry> {
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
    pub(super) const fn new(files: Arc<Files>) -> Self {
        Self(Some(files))
    }

    /// Opens the WAL at a path, which SQLite has open now, in addition to the files that are locked.
    ///
    /// # Errors
    /// Besides others, [`WouldBlock`](io::ErrorKind::WouldBlock): these are not the files at the paths.
    pub(super) fn open(mut opening: Opening, wal: &Path, index: &Path) -> io::Result<Self> {
        let replaced = || io::Error::from(io::ErrorKind::WouldBlock);
        let opened = (identity(wal)?, identity(index)?);
        if let Some(files) = opening.of_another_store() {
            if files.opened() != opened {
                return Err(replaced());
            }
            return Ok(files);
        }
        // The drop of `opening` comes later and needs it.
        let mut registry = registry();
        let wal = registry.descriptor(wal, Part::Wal, opened.0)?;
        let Some((database, locked)) = opening.of_this_store() else { return Err(replaced()) };
        let identity = database.identity;
        registry.end_opening(identity);
        let files = Arc::new(Files::new(database, wal, locked, index));
        let locked = if files.opened() == opened { files.lock() } else { Err(replaced()) };
        if let Err(error) = locked {
            registry.keep(files.locked());
            return Err(error);
        }
        registry.open.insert(identity, Arc::downgrade(&files));
        Ok(Self(Some(files)))
    }

    /// Returns the files of an open store.
    pub(super) fn of(path: &Path) -> Option<Self> {
        let identity = identity(path).ok()?;
        Some(Self(Some(registry().find(identity)?)))
    }

    /// Calls `act` if this is the last store on the files. No other store opens them meanwhile.
    pub(super) fn if_last(&self, act: impl FnOnce(&Files)) {
        let _registry = registry();
        if let Some(files) = &self.0
            && Arc::strong_count(files) == 1
        {
            act(files);
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
            if registry.open.get(&files.database.identity).is_some_and(is_own) {
                registry.open.remove(&files.database.identity);
            }
            registry.keep(files.locked());
            drop(files);
            registry.close_what_can_be();
        }
    }
}

impl Registry {
    /// Returns a descriptor of the file at a path: that of a closed store, or a new one.
    pub(super) fn descriptor(
        &mut self,
        path: &Path,
        part: Part,
        identity: Identity,
    ) -> io::Result<Arc<Descriptor>> {
        let is_same = |kept: &Arc<Descriptor>| kept.part == part && kept.identity == identity;
        if let Some(at) = self.kept.iter().position(is_same) {
            return Ok(self.kept.swap_remove(at));
        }
        Ok(self.add(Descriptor::open(path, part, identity)?))
    }

    /// Adds a file that was just opened.
    pub(super) fn add(&mut self, file: Descriptor) -> Arc<Descriptor> {
        let file = Arc::new(file);
        OPEN_FILES.lock().add(&file);
        file
    }

    /// Returns the files of the open stores on a database.
    pub(super) fn find(&self, database: Identity) -> Option<Arc<Files>> {
        self.open.get(&database).and_then(Weak::upgrade)
    }

    /// Returns false if another thread opens the database.
    pub(super) fn begin_opening(&mut self, database: Identity) -> bool {
        self.opening.insert(database)
    }

    pub(super) fn end_opening(&mut self, database: Identity) {
        self.opening.remove(&database);
    }

    /// Releases the locks of files on which SQLite may have locks too, and keeps their descriptors.
    pub(super) fn keep(&mut self, files: impl IntoIterator<Item = Arc<Descriptor>>) {
        for file in files {
            file.release();
            self.kept.push(file);
        }
    }

    /// Closes the files that nothing else in the process has open. Several kept descriptors of one file do not keep each
    /// other open.
    pub(super) fn close_what_can_be(&mut self) {
        let mut unused = self.unused();
        if unused.is_empty() {
            return;
        }
        // A program of this process that opens a file from here on gets no lock, which the close would drop; unless another process uses the file.
        self.kept
            .iter()
            .filter(|file| unused.contains(&file.identity))
            .for_each(|file| file.exclude_others());
        unused = self.unused();
        self.kept.retain(|file| !unused.contains(&file.identity));
        self.kept.iter().for_each(|file| file.release());
    }

    /// Returns the kept files that nothing else in the process has open.
    fn unused(&self) -> HashSet<Identity> {
        if self.kept.is_empty() {
            return HashSet::new();
        }
        let Some(open) = descriptors() else { return HashSet::new() };
        let kept: Vec<Identity> = self.kept.iter().map(|file| file.identity).collect();
        let count = |of: &[Identity], file| of.iter().filter(|other| **other == file).count();
        kept.iter().copied().filter(|file| count(&open, *file) == count(&kept, *file)).collect()
    }
}

#[cfg(test)]
impl Shared {
    /// Opens the files of a database that SQLite has open in WAL mode.
    pub(super) fn of_open_file(path: &Path) -> Self {
        let mut opening = Opening::take(path).unwrap();
        opening.lock_index(path).unwrap();
        Self::open(opening, &with_suffix(path, "-wal"), &with_suffix(path, "-shm")).unwrap()
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, path::PathBuf};

    use nix::sys::inotify::{InitFlags, Inotify};
    use rusqlite::Connection;
    use tempfile::TempDir;

    use super::*;

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
            let [first, second] = [Shared::of_open_file(&path), Shared::of_open_file(&path)];
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
        drop(Shared::of_open_file(&path));
        assert_eq!(open_in(&path), of_sqlite + 2);
        // The next store reuses them.
        let again = Shared::of_open_file(&path);
        assert_eq!(open_in(&path), of_sqlite + 3);
        drop(connection);
        drop(again);
        assert_eq!(open_in(&path), 0);
    }

    #[test]
    fn the_files_of_two_closed_stores_on_one_database_do_not_keep_each_other_open() {
        let (_directory, path) = file();
        let connection = connect(&path);
        let kept = Shared::of_open_file(&path);
        drop(kept);
        // The next store has another WAL and another index.
        for suffix in ["-wal", "-shm"] {
            fs::rename(with_suffix(&path, suffix), with_suffix(&path, &format!("{suffix}-before"))).unwrap();
            fs::write(with_suffix(&path, suffix), "").unwrap();
        }
        drop(Shared::of_open_file(&path));
        let of_stores = 3;
        assert!(open_in(&path) > of_stores, "the connection has the database open");
        drop(connection);
        registry().close_what_can_be();
        assert_eq!(open_in(&path), 0);
    }

    #[test]
    fn only_the_last_store_on_the_files_acts_as_it_closes() {
        let (_directory, path) = file();
        let _connection = connect(&path);
        let [closing, other] = [Shared::of_open_file(&path), Shared::of_open_file(&path)];
        closing.if_last(|_| panic!("there is another store"));
        drop(other);
        let mut has_acted = false;
        closing.if_last(|_| has_acted = true);
        assert!(has_acted);
    }

    #[test]
    fn a_store_on_a_replaced_wal_stays_registered_after_the_store_on_the_old_wal_is_closed() {
        let (_directory, path) = file();
        let _connection = connect(&path);
        let old = Shared::of_open_file(&path);
        for suffix in ["-wal", "-shm"] {
            fs::rename(with_suffix(&path, suffix), with_suffix(&path, &format!("{suffix}-before"))).unwrap();
            fs::write(with_suffix(&path, suffix), "").unwrap();
        }
        let new = Shared::of_open_file(&path);
        drop(old);
        let found = Shared::of(&path).unwrap();
        assert_eq!(found.opened(), new.opened());
    }

    #[test]
    fn a_forked_child_closes_the_descriptors_that_it_has_inherited_and_no_others() {
        let (_directory, path) = file();
        fs::write(&path, "").unwrap();
        let of_path = identity(&path).unwrap();
        // A descriptor that another thread opened during the fork: in the child the number is that of another file.
        for (inherited, is_closed) in [(of_path, true), ((0, 0), false)] {
            let file = Arc::new(Descriptor::open(&path, Part::Database, inherited).unwrap());
            let mut parent = OpenFiles::default();
            parent.add(&file);
            let child = OpenFiles::inherit(&Mutex::new(parent));
            assert_eq!(child.inherited, HashSet::from([inherited]));
            let number = file.number();
            let left = fs::read_link(format!("/proc/self/fd/{number}")).is_ok_and(|open| open == path);
            assert_eq!(left, !is_closed);
            if is_closed {
                std::mem::forget(file);
            }
        }
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
        let open: Vec<_> =
            files.iter().map(|(_, path)| (connect(path), Shared::of_open_file(path))).collect();
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
