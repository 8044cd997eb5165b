//! The locks of a store that is being opened.
//!
//! A second SQLite library that closes the file removes the WAL, and one that opens the file truncates the wal-index, if it
//! takes itself for the only user. The store would write into a removed WAL then, or SQLite would touch memory behind the end of the
//! index, for which the operating system ends the process. So the store takes its locks before its SQLite opens the file.
//!
//! SQLite trusts an index that another user has locked. So the store first does as SQLite does: it empties an index
//! without users. SQLite then builds it again from the WAL.

use std::{fs::File, io, mem, os::unix::fs::FileExt as _, path::Path, sync::Arc};

use super::{
    descriptor::{Descriptor, Part},
    files::descriptors,
    lock,
    registry::{Shared, registry},
};
use crate::{file_status::identity, writer::with_suffix};

/// In the header of the file: the versions that a writer and a reader need, and their value in WAL mode.
const VERSIONS_AT: u64 = 18;
const WAL_MODE: [u8; 2] = [2, 2];

/// The locks of a store that is being opened: no other library in the process removes the WAL or truncates its index.
#[derive(Debug)]
pub(super) struct Opening(Held);

#[derive(Debug)]
enum Held {
    /// Another store of the process has the file open. Its locks stay as long as this is held.
    ByAnotherStore(Shared),
    Database(Arc<Descriptor>),
    /// The database and the index.
    Both(Arc<Descriptor>, Arc<Descriptor>),
    /// The locks are those of a store now, or released.
    Nothing,
}

impl Opening {
    /// Takes the lock of the file at a path, which SQLite is about to open.
    ///
    /// # Errors
    /// Besides others, [`WouldBlock`](io::ErrorKind::WouldBlock): another user has the file to itself at the moment, or
    /// another thread opens it.
    pub(super) fn take(path: &Path) -> io::Result<Self> {
        let mut registry = registry();
        registry.close_what_can_be();
        let identity = identity(path)?;
        if let Some(files) = registry.find(identity)
            && self::identity(&with_suffix(path, "-shm")).is_ok_and(|index| index == files.index.identity)
        {
            return Ok(Self(Held::ByAnotherStore(Shared::new(files))));
        }
        if !registry.begin_opening(identity) {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let database = match registry.descriptor(path, Part::Database, identity) {
            Ok(database) => database,
            Err(error) => {
                registry.end_opening(identity);
                return Err(error);
            }
        };
        let taken = lock::share(&database, lock::SHARED);
        let opening = Self(Held::Database(database));
        // The drop of `opening` needs it.
        drop(registry);
        taken.map(|()| opening)
    }

    /// Returns whether SQLite opens the file in WAL mode, and writes nothing to it before. It cannot change the mode of a
    /// locked file.
    pub(super) fn is_in_wal_mode(&self, path: &Path) -> io::Result<bool> {
        let Held::Database(database) = &self.0 else { return Ok(true) };
        let mut versions = [0; 2];
        match database.read_exact_at(&mut versions, VERSIONS_AT) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(false),
            Err(error) => return Err(error),
        }
        Ok(versions == WAL_MODE && !is_hot(&with_suffix(path, "-journal"))?)
    }

    /// Takes the lock of the index, which is created if it is missing.
    pub(super) fn lock_index(&mut self, path: &Path) -> io::Result<()> {
        let Held::Database(database) = &self.0 else { return Ok(()) };
        let path = with_suffix(path, "-shm");
        let mut registry = registry();
        let index = match identity(&path) {
            Ok(identity) => registry.descriptor(&path, Part::Index, identity)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                registry.add(Descriptor::create_index(&path, database)?)
            }
            Err(error) => return Err(error),
        };
        // From here on its drop keeps the descriptor.
        self.0 = Held::Both(Arc::clone(database), Arc::clone(&index));
        // This fails if another user has the index open, which is valid then.
        if lock::exclude(&index, lock::USERS).is_ok() {
            let Some(open) = descriptors() else {
                // The index may be in use, or outdated.
                return lock::release(&index, lock::USERS);
            };
            // A second library in this process may have lost its lock.
            if open.iter().filter(|file| **file == index.identity).count() == 1 {
                index.set_len(0)?;
            }
        }
        lock::share(&index, lock::USERS)
    }

    /// Returns the files of another store whose locks these are.
    pub(super) fn of_another_store(&mut self) -> Option<Shared> {
        match mem::replace(&mut self.0, Held::Nothing) {
            Held::ByAnotherStore(files) => Some(files),
            other => {
                self.0 = other;
                None
            }
        }
    }

    /// Returns the locked database and the locked index of this store. The caller ends the opening.
    pub(super) fn of_this_store(&mut self) -> Option<(Arc<Descriptor>, Arc<Descriptor>)> {
        match mem::replace(&mut self.0, Held::Nothing) {
            Held::Both(database, index) => Some((database, index)),
            other => {
                self.0 = other;
                None
            }
        }
    }
}

impl Drop for Opening {
    fn drop(&mut self) {
        let (database, index) = match mem::replace(&mut self.0, Held::Nothing) {
            Held::Database(database) => (database, None),
            Held::Both(database, index) => (database, Some(index)),
            Held::ByAnotherStore(_) | Held::Nothing => return,
        };
        let mut registry = registry();
        registry.end_opening(database.identity);
        registry.keep([database].into_iter().chain(index));
        registry.close_what_can_be();
    }
}

/// Returns whether a journal may be that of an interrupted change, which SQLite undoes before it opens the WAL. The first byte of another one is
/// zero.
fn is_hot(journal: &Path) -> io::Result<bool> {
    let mut first = [0];
    match File::open(journal).and_then(|journal| journal.read_at(&mut first, 0)) {
        Ok(_) => Ok(first != [0]),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use std::{
        fs::{self, Permissions},
        os::unix::fs::{MetadataExt as _, PermissionsExt as _},
        path::PathBuf,
    };

    use rusqlite::{Connection, config::DbConfig};
    use tempfile::TempDir;

    use super::*;

    fn file() -> (TempDir, PathBuf) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("f.db");
        (directory, path)
    }

    /// Opens a connection that leaves the WAL and its index when it is closed, as after a crash.
    fn connect(path: &Path) -> Connection {
        let connection = Connection::open(path).unwrap();
        connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true).unwrap();
        connection
            .execute_batch(
                "PRAGMA journal_mode = WAL; CREATE TABLE IF NOT EXISTS t (b BLOB); INSERT INTO t VALUES (1)",
            )
            .unwrap();
        connection
    }

    fn rows(connection: &Connection) -> i64 {
        connection.query_row("SELECT count(*) FROM t", [], |row| row.get(0)).unwrap()
    }

    fn take(path: &Path) -> Opening {
        let mut opening = Opening::take(path).unwrap();
        opening.lock_index(path).unwrap();
        opening
    }

    fn index_of(path: &Path) -> File {
        File::options().read(true).write(true).open(with_suffix(path, "-shm")).unwrap()
    }

    #[test]
    fn an_index_without_users_is_emptied_and_locked() {
        let (_directory, path) = file();
        drop(connect(&path));
        assert!(index_of(&path).metadata().unwrap().len() > 0);
        let opening = take(&path);
        let index = index_of(&path);
        assert_eq!(index.metadata().unwrap().len(), 0);
        assert!(lock::exclude(&index, lock::USERS).is_err());
        lock::share(&index, lock::USERS).unwrap();
        // SQLite builds it from the WAL.
        assert_eq!(rows(&Connection::open(&path).unwrap()), 1);
        drop(opening);
    }

    /// The close of a descriptor would drop the locks of SQLite.
    #[test]
    fn an_index_that_is_locked_already_is_not_opened_again() {
        let (_directory, path) = file();
        let connection = connect(&path);
        let mut opening = take(&path);
        let number = |opening: &Opening| match &opening.0 {
            Held::Both(_, index) => index.number(),
            _ => unreachable!("no store has the file open"),
        };
        let before = number(&opening);
        opening.lock_index(&path).unwrap();
        assert_eq!(number(&opening), before);
        drop(connection);
    }

    #[test]
    fn an_index_in_use_is_left_as_it_is() {
        let (_directory, path) = file();
        let connection = connect(&path);
        let before = fs::read(with_suffix(&path, "-shm")).unwrap();
        drop(take(&path));
        assert!(fs::read(with_suffix(&path, "-shm")).unwrap() == before);
        assert_eq!(rows(&connection), 1);
    }

    #[test]
    fn an_index_whose_user_in_this_process_lost_its_lock_is_left_as_it_is() {
        let (_directory, path) = file();
        drop(connect(&path));
        let before = fs::read(with_suffix(&path, "-shm")).unwrap();
        let second = index_of(&path);
        let opening = take(&path);
        assert!(fs::read(with_suffix(&path, "-shm")).unwrap() == before);
        assert!(lock::exclude(&second, lock::USERS).is_err());
        drop(opening);
    }

    #[test]
    fn a_missing_index_is_created_with_the_rights_of_the_database() {
        let (_directory, path) = file();
        drop(connect(&path));
        let index = with_suffix(&path, "-shm");
        fs::remove_file(&index).unwrap();
        fs::set_permissions(&path, Permissions::from_mode(0o606)).unwrap();
        drop(take(&path));
        assert_eq!(index.metadata().unwrap().mode() & 0o777, 0o606);
    }

    #[test]
    fn an_index_that_is_a_symbolic_link_is_not_followed() {
        let (directory, path) = file();
        drop(connect(&path));
        let (index, target) = (with_suffix(&path, "-shm"), directory.path().join("target"));
        fs::rename(&index, &target).unwrap();
        std::os::unix::fs::symlink(&target, &index).unwrap();
        let before = fs::read(&target).unwrap();
        assert!(Opening::take(&path).unwrap().lock_index(&path).is_err());
        assert!(fs::read(&target).unwrap() == before);
    }

    /// A second library that closes the file is refused the lock by which it would remove the WAL.
    #[test]
    fn others_cannot_lock_the_database_exclusively_until_the_opening_ends() {
        let (_directory, path) = file();
        drop(connect(&path));
        let other = File::options().read(true).write(true).open(&path).unwrap();
        let opening = take(&path);
        assert!(lock::exclude(&other, lock::SHARED).is_err());
        drop(opening);
        lock::exclude(&other, lock::SHARED).unwrap();
        assert_eq!(Opening::take(&path).unwrap_err().kind(), io::ErrorKind::WouldBlock);
        lock::release(&other, lock::SHARED).unwrap();
        drop(take(&path));
    }

    #[test]
    fn an_opening_that_fails_is_over() {
        let directory = tempfile::tempdir().unwrap();
        for _ in 0..2 {
            let error = Opening::take(directory.path()).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::IsADirectory);
        }
    }

    #[test]
    fn one_thread_at_a_time_opens_a_file() {
        let (_directory, path) = file();
        drop(connect(&path));
        let opening = take(&path);
        assert_eq!(Opening::take(&path).unwrap_err().kind(), io::ErrorKind::WouldBlock);
        drop(opening);
        drop(take(&path));
    }

    #[test]
    fn the_opening_of_a_second_store_uses_the_locks_of_the_first() {
        let (_directory, path) = file();
        let connection = connect(&path);
        let paths = ["-wal", "-shm"].map(|suffix| with_suffix(&path, suffix));
        let first = Shared::of_open_file(&path);
        let count = || descriptors().unwrap().iter().filter(|file| **file == first.index.identity).count();
        let before = count();
        let opening = take(&path);
        assert_eq!(count(), before);
        // The first store closes: it is not the last one.
        first.if_last(|_| panic!("another store is being opened"));
        let second = Shared::open(opening, &paths[0], &paths[1]).unwrap();
        assert!(std::ptr::eq(&*second, &*first));
        drop(connection);
    }

    #[test]
    fn a_file_that_sqlite_would_not_open_in_wal_mode_is_recognized() {
        let (_directory, path) = file();
        let is_in_wal_mode = || Opening::take(&path).unwrap().is_in_wal_mode(&path).unwrap();
        fs::write(&path, "").unwrap();
        assert!(!is_in_wal_mode());
        Connection::open(&path).unwrap().execute_batch("CREATE TABLE t (b BLOB)").unwrap();
        assert!(!is_in_wal_mode());
        drop(connect(&path));
        assert!(is_in_wal_mode());
        // SQLite removes only a journal that it plays back.
        for (journal, expected) in [(&b""[..], true), (&[0; 512], true), (&[0xd9, 0xd5], false)] {
            fs::write(with_suffix(&path, "-journal"), journal).unwrap();
            assert_eq!(is_in_wal_mode(), expected, "{journal:?}");
        }
    }
}
