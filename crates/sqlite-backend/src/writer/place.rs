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
    /// The same for as long as the store is open.
    file: Option<Identity>,
    /// The same for as long as the connection is open; nothing before its first transaction.
    log: Option<Identity>,
}

impl Place {
    pub(super) fn new(path: &Path, log_path: PathBuf) -> Self {
        Self { path: path.to_owned(), log_path, file: identity(path).ok(), log: None }
    }

    /// The connection is another one, which may make a new log.
    pub(super) const fn reopened(&mut self) {
        self.log = None;
    }

    /// Expects the file, and the log of the connection, which has begun a transaction, where they were.
    pub(super) fn expect_both(&mut self) -> Result<(), EngineError> {
        self.expect_file()?;
        match identity(&self.log_path) {
            Ok(found) => expect(*self.log.get_or_insert(found) == found),
            Err(error) => expect(error.kind() != io::ErrorKind::NotFound),
        }
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
