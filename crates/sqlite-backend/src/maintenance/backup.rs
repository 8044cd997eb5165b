//! Copies a store page by page.
//!
//! SQLite's online backup restarts whenever another connection has written between two of its steps, and so might never
//! end. Here its source is in one read transaction, from which all steps read. They copy one snapshot of the WAL;
//! writers neither wait for them nor make them restart.

use std::{
    ffi::OsString,
    fs::{self, File},
    io,
    path::{Path, PathBuf},
};

use rusqlite::{
    Connection, OpenFlags,
    backup::{Backup as Copying, StepResult},
};
use tempfile::TempPath;
use throughline_core::{Effect, ErrorKind, PersistError, Result};

use super::{Source, Stop, failed};
use crate::{
    blob::{BlobFolder, FOLDER_SUFFIX, copy as copy_blobs},
    error::kind_of,
    read_only::Access,
};

/// The number of pages that are copied between two checks whether the caller still waits: 1 MiB.
const PAGES_BETWEEN_LOOKS: i32 = 256;

/// A completed backup.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Backup {
    /// The path that was given.
    pub path: PathBuf,
    /// The length of the file, without the contents in files of their own.
    pub bytes: u64,
}

/// The reason why there is no backup: the source of the error of a [`Maintenance::backup`](crate::Maintenance::backup)
/// that did not fail in SQLite.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BackupError {
    /// There is a file at the path of the backup, one that SQLite would read as its WAL, or a folder for its blobs.
    #[error("the backup failed: `{}` exists already", path.display())]
    Exists {
        /// The existing file.
        path: PathBuf,
    },
    /// The directory for the backup does not exist.
    #[error("there is no directory `{}`", directory.display())]
    NoDirectory {
        /// The missing directory.
        directory: PathBuf,
    },
    /// No file can have this path, or SQLite cannot open it.
    #[error("`{}` cannot be a copy: {fault}", path.display())]
    Path {
        /// The path.
        path: PathBuf,
        /// The fault of the path.
        fault: &'static str,
    },
    /// The operating system refused.
    #[error("`{}`: {source}", path.display())]
    Io {
        /// The file or the directory.
        path: PathBuf,
        /// The error of the operating system.
        source: io::Error,
    },
}

impl BackupError {
    /// Returns the error kind for the pipeline.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Exists { .. } => ErrorKind::AlreadyExists,
            Self::NoDirectory { .. } | Self::Path { .. } => ErrorKind::Invalid,
            Self::Io { source, .. } => kind_of(source),
        }
    }
}

impl From<BackupError> for PersistError {
    fn from(error: BackupError) -> Self {
        Self::new(error.kind(), error.to_string()).with_effect(Effect::NotApplied).with_source(error)
    }
}

/// Copies the store at `source` to `path`. Blocks.
pub(super) fn backup(source: &Source, path: &Path, stop: &Stop) -> Result<Backup> {
    let target = Target::of(path)?;
    let unfinished = source.read(&Stop::default(), |db| {
        let unfinished = target.unfinished()?;
        // Cancellation is checked only between the steps: no statement runs for long.
        copy(db, &unfinished.file, || stop.check())?;
        unfinished.copy_blobs(source.path(), stop)?;
        Ok(unfinished)
    })?;
    let bytes = settle(source.path(), &unfinished.file)?;
    stop.check()?;
    target.name(unfinished)?;
    Ok(Backup { path: path.to_owned(), bytes })
}

/// The target of a backup.
pub(super) struct Target {
    path: PathBuf,
    directory: PathBuf,
    name: OsString,
}

impl Target {
    pub(super) fn of(path: &Path) -> Result<Self, BackupError> {
        let fault = |fault| Err(BackupError::Path { path: path.to_owned(), fault });
        if path.as_os_str().is_empty() {
            return fault("it is empty");
        }
        // Absolute, so that SQLite never reads it as a `file:` URI.
        let path = std::path::absolute(path).map_err(io_error(path))?;
        let (Some(directory), Some(name), Some(_)) = (path.parent(), path.file_name(), path.to_str()) else {
            return fault("it names no file in UTF-8");
        };
        let (directory, name) = (directory.to_owned(), name.to_owned());
        if !directory.is_dir() {
            return Err(BackupError::NoDirectory { directory });
        }
        let target = Self { path, directory, name };
        // SQLite would read the WAL of an earlier file as that of the backup.
        for suffix in ["", "-wal", "-shm", "-journal", FOLDER_SUFFIX] {
            target.expect_nothing(suffix)?;
        }
        Ok(target)
    }

    fn expect_nothing(&self, suffix: &str) -> Result<(), BackupError> {
        let mut path = self.path.clone().into_os_string();
        path.push(suffix);
        let path = PathBuf::from(path);
        match fs::symlink_metadata(&path) {
            Ok(_) => Err(BackupError::Exists { path }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(source) => Err(BackupError::Io { path, source }),
        }
    }

    /// Creates a new file next to the target, with permissions for its owner only. It is deleted unless it becomes the
    /// target.
    pub(super) fn unfinished(&self) -> Result<Unfinished, BackupError> {
        let mut prefix = self.name.clone();
        prefix.push(".");
        let file =
            tempfile::Builder::new().prefix(&prefix).suffix(".unfinished").tempfile_in(&self.directory);
        // Closed before SQLite opens it: a later close would drop the locks that SQLite holds.
        let file = file.map(tempfile::NamedTempFile::into_temp_path).map_err(io_error(&self.directory))?;
        let blobs = UnfinishedBlobs(Some(BlobFolder::of_store(&file).path().to_owned()));
        Ok(Unfinished { file, blobs })
    }

    /// Gives the complete backup its name, unless a file with that name exists by now, and syncs the directory. Its blobs get
    /// theirs first, so that a file with the name of the backup has its blobs.
    pub(super) fn name(&self, unfinished: Unfinished) -> Result<(), BackupError> {
        let Unfinished { file, mut blobs } = unfinished;
        let folder = BlobFolder::of_store(&self.path);
        if let Some(unfinished) = blobs.0.take_if(|unfinished| unfinished.exists()) {
            self.expect_nothing(FOLDER_SUFFIX)?;
            fs::rename(&unfinished, folder.path()).map_err(io_error(folder.path()))?;
            // Removed there, if the backup fails.
            blobs.0 = Some(folder.path().to_owned());
        }
        file.persist_noclobber(&self.path).map_err(|refused| {
            if refused.error.kind() == io::ErrorKind::AlreadyExists {
                BackupError::Exists { path: self.path.clone() }
            } else {
                io_error(&self.path)(refused.error)
            }
        })?;
        sync_directory(&self.directory).map_err(|source| {
            // A caller that gets an error finds no backup. The file stays if the disk refuses to remove it.
            let _ = fs::remove_file(&self.path);
            io_error(&self.directory)(source)
        })?;
        blobs.0 = None;
        Ok(())
    }
}

/// A backup that is being written: its file, and the folder of its blobs. Both are deleted when it is dropped.
pub(super) struct Unfinished {
    pub(super) file: TempPath,
    blobs: UnfinishedBlobs,
}

/// The path of a folder, which may not exist. It is deleted when this is dropped.
struct UnfinishedBlobs(Option<PathBuf>);

impl Drop for UnfinishedBlobs {
    fn drop(&mut self) {
        // A folder that cannot be deleted has the name of an unfinished backup.
        if let Some(folder) = &self.0 {
            drop(fs::remove_dir_all(folder));
        }
    }
}

impl Unfinished {
    /// Copies the blobs that the rows of the file name, from the store at `source`. The snapshot that the file was copied from is
    /// still open, so that no process removes one of them.
    pub(super) fn copy_blobs(&self, source: &Path, stop: &Stop) -> Result<()> {
        let from = BlobFolder::of_store(source);
        if !from.exists() {
            return Ok(());
        }
        // A way that creates no file next to it.
        let copy = Access::of(&self.file)?.connect(&self.file).map_err(failed)?;
        copy_blobs(&copy, &from, &BlobFolder::of_store(&self.file), || stop.check())
    }
}

/// Copies every page of one snapshot, and leaves `source` in its transaction. Calls `go_on` between the steps.
pub(super) fn copy(source: &Connection, unfinished: &Path, go_on: impl Fn() -> Result<()>) -> Result<()> {
    source.execute_batch("BEGIN").map_err(failed)?;
    // The first read takes the snapshot.
    source.query_row("SELECT count(*) FROM sqlite_schema", [], |_| Ok(())).map_err(failed)?;
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let mut copy = Connection::open_with_flags(unfinished, flags).map_err(failed)?;
    // The file is synced or deleted as a whole.
    copy.execute_batch("PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF; PRAGMA mmap_size = 0;")
        .map_err(failed)?;
    let copying = Copying::new(source, &mut copy).map_err(failed)?;
    loop {
        go_on()?;
        match copying.step(PAGES_BETWEEN_LOOKS).map_err(failed)? {
            StepResult::Done => break,
            StepResult::More => {}
            // No other connection knows the copy, and the source is read through its WAL.
            _ => {
                let detail = "another process holds a lock of the store or of its copy";
                return Err(PersistError::new(ErrorKind::Busy, detail).with_effect(Effect::NotApplied));
            }
        }
    }
    drop(copying);
    copy.close().map_err(|(_, error)| failed(error))
}

/// Syncs the backup, and gives it the permissions of the store. Returns its length.
pub(super) fn settle(source: &Path, unfinished: &Path) -> Result<u64, BackupError> {
    let settle = || -> io::Result<u64> {
        // Without opening the store: closing it again would drop the locks that SQLite holds.
        fs::set_permissions(unfinished, fs::metadata(source)?.permissions())?;
        let file = File::options().read(true).write(true).open(unfinished)?;
        file.sync_all()?;
        Ok(file.metadata()?.len())
    };
    settle().map_err(io_error(unfinished))
}

#[cfg(unix)]
fn sync_directory(directory: &Path) -> io::Result<()> {
    File::open(directory)?.sync_all()
}

/// On other systems a directory cannot be synced; their file systems keep a journal of names.
#[cfg(not(unix))]
fn sync_directory(_: &Path) -> io::Result<()> {
    Ok(())
}

fn io_error(path: &Path) -> impl FnOnce(io::Error) -> BackupError {
    let path = path.to_owned();
    |source| BackupError::Io { path, source }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;
    use crate::connection::connect_to_read;

    fn names(directory: &Path) -> Vec<OsString> {
        let mut names: Vec<_> =
            fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        names.sort();
        names
    }

    /// Returns a file of more pages than one step copies.
    fn source(directory: &Path) -> (Connection, PathBuf) {
        let path = directory.join("source.db");
        let source = Connection::open(&path).unwrap();
        source
            .execute_batch(
                "PRAGMA journal_mode = WAL; CREATE TABLE t (n INTEGER PRIMARY KEY, b BLOB NOT NULL);
                 WITH RECURSIVE n (n) AS (VALUES (1) UNION ALL SELECT n + 1 FROM n WHERE n < 2000)
                 INSERT INTO t SELECT n, randomblob(2000) FROM n;",
            )
            .unwrap();
        (source, path)
    }

    #[test]
    fn a_cancelled_backup_leaves_no_file() {
        let directory = tempfile::tempdir().unwrap();
        let (_source, path) = source(directory.path());
        let before = names(directory.path());
        let target = Target::of(&directory.path().join("copy.db")).unwrap();
        let unfinished = target.unfinished().unwrap();
        let steps = Cell::new(0);
        let error = copy(&connect_to_read(&path).unwrap(), &unfinished.file, || {
            steps.set(steps.get() + 1);
            if steps.get() == 3 { Err(super::super::cancelled()) } else { Ok(()) }
        });
        assert_eq!(error.unwrap_err().kind(), ErrorKind::Cancelled);
        assert!(names(directory.path()).len() > before.len());
        drop(unfinished);
        assert_eq!(names(directory.path()), before);
    }

    #[test]
    fn a_writer_between_the_steps_neither_waits_nor_restarts_the_backup() {
        let directory = tempfile::tempdir().unwrap();
        let (source, path) = source(directory.path());
        let pages: i32 = source.query_row("PRAGMA page_count", [], |row| row.get(0)).unwrap();
        let target = Target::of(&directory.path().join("copy.db")).unwrap();
        let unfinished = target.unfinished().unwrap();
        let steps = Cell::new(0);
        copy(&connect_to_read(&path).unwrap(), &unfinished.file, || {
            steps.set(steps.get() + 1);
            // Without a busy timeout: a lock that was held would fail it.
            source.busy_timeout(std::time::Duration::ZERO).unwrap();
            source.execute("UPDATE t SET b = zeroblob(2000)", []).unwrap();
            Ok(())
        })
        .unwrap();
        assert_eq!(steps.get(), (pages + PAGES_BETWEEN_LOOKS - 1) / PAGES_BETWEEN_LOOKS);
        // A snapshot from the beginning of the backup, before the first of the writes.
        let copy = Connection::open(&unfinished.file).unwrap();
        let zeroed = "SELECT count(*) FROM t WHERE b = zeroblob(2000)";
        assert_eq!(copy.query_row(zeroed, [], |row| row.get::<_, i64>(0)).unwrap(), 0);
        assert_eq!(copy.query_row("SELECT count(*) FROM t", [], |row| row.get::<_, i64>(0)).unwrap(), 2000);
    }

    #[test]
    fn the_first_backup_keeps_the_name() {
        let directory = tempfile::tempdir().unwrap();
        let target = Target::of(&directory.path().join("copy.db")).unwrap();
        let unfinished = target.unfinished().unwrap();
        fs::write(&target.path, "first").unwrap();
        let error = target.name(unfinished).unwrap_err();
        assert!(matches!(&error, BackupError::Exists { path } if *path == target.path), "{error}");
        assert_eq!(fs::read(&target.path).unwrap(), b"first");
        assert_eq!(names(directory.path()), ["copy.db"]);
    }
}
