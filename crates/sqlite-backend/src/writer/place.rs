//! Whether what is open is what stands at the path.
//!
//! SQLite goes on writing to a file that was deleted or moved, and to a log that was, and says that all is well. What
//! is written there nobody finds again. A file that was put in its place is another store: the readers of this one
//! have the old one open, so it is not taken up.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use crate::error::EngineError;

/// A file, whatever its name is.
type Identity = (u64, u64);

/// Where a store was opened.
#[derive(Debug)]
pub(super) struct Place {
    path: PathBuf,
    log_path: PathBuf,
    /// Of the log; its locks are the locks of the store.
    index_path: PathBuf,
    /// The same for as long as the store is open.
    file: Option<Identity>,
    /// The same for as long as the connection is open; nothing before its first transaction.
    log: Option<(Identity, Identity)>,
    /// The log, or its index, was removed or replaced under an open connection. That connection alone can still bring
    /// what is in it to the file, and the readers have the same log open: a new connection would begin another one, and
    /// they would read the new index against the old log.
    pub(super) lost_log: bool,
}

impl Place {
    pub(super) fn new(path: &Path, log_path: PathBuf) -> Self {
        let index_path = beside(path, "-shm");
        Self {
            path: path.to_owned(),
            log_path,
            index_path,
            file: identity(path).ok(),
            log: None,
            lost_log: false,
        }
    }

    /// The connection is another one, which may make a new log.
    pub(super) const fn reopened(&mut self) {
        self.log = None;
    }

    /// Expects the file, and the log of the connection, which has begun a transaction, where they were.
    pub(super) fn expect_both(&mut self) -> Result<(), EngineError> {
        self.expect_file()?;
        let is_there = match (identity(&self.log_path), identity(&self.index_path)) {
            (Ok(log), Ok(index)) => *self.log.get_or_insert((log, index)) == (log, index),
            (Err(error), _) | (_, Err(error)) => error.kind() != io::ErrorKind::NotFound,
        };
        self.lost_log |= !is_there;
        expect(!self.lost_log)
    }

    /// Expects the file where it was.
    pub(super) fn expect_file(&self) -> Result<(), EngineError> {
        match identity(&self.path) {
            Ok(found) => expect(self.file.is_none_or(|file| file == found)),
            // Where it cannot be seen it may well be.
            Err(error) => expect(error.kind() != io::ErrorKind::NotFound),
        }
    }
}

fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

const fn expect(is_there: bool) -> Result<(), EngineError> {
    if is_there { Ok(()) } else { Err(EngineError::Elsewhere) }
}

#[cfg(unix)]
fn identity(path: &Path) -> io::Result<Identity> {
    use std::os::unix::fs::MetadataExt as _;

    // Asked of the directory: to open and close the file would drop the locks of SQLite.
    let metadata = fs::metadata(path)?;
    Ok((metadata.dev(), metadata.ino()))
}

/// Nobody moves or removes an open file here.
#[cfg(not(unix))]
fn identity(path: &Path) -> io::Result<Identity> {
    fs::metadata(path).map(|_| (0, 0))
}
