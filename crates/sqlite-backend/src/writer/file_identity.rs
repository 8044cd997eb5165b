//! Checks that the open files are still the ones at the path of the store.
//!
//! SQLite continues to write to a database file or a WAL that was deleted or moved, and reports success. These writes
//! are lost. A file that was put at the path instead is another store: the readers of this store have the old file
//! open, so the writer does not switch to the new one.

use std::{
    io,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use super::wal::with_suffix;
use crate::{error::EngineError, file_guard::Identity, file_status::identity};

/// How long a check of the file and the wal-index is valid. The writer checks the WAL, which receives the commits, each
/// time. In a measurement three checks and one of the space cost a lone writer a fifth of its writes.
const FRESH: Duration = Duration::from_millis(10);

/// The result of a look at a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Seen {
    File(Identity),
    Nothing,
    /// The system gave no answer; the file may well exist.
    Unknown,
}

impl Seen {
    fn is_other_than(self, open: Self) -> bool {
        self != Self::Unknown && open != Self::Unknown && self != open
    }
}

fn seen(path: &Path) -> Seen {
    match identity(path) {
        Ok(identity) => Seen::File(identity),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Seen::Nothing,
        Err(_) => Seen::Unknown,
    }
}

/// The identities of the files that a store has open, and their paths.
#[derive(Debug)]
pub(crate) struct FileIdentity {
    path: PathBuf,
    wal_path: PathBuf,
    /// The wal-index; its locks are the locks of the store.
    index_path: PathBuf,
    /// The same while the store is open.
    file: Option<Identity>,
    /// The WAL and its index. The same while the connection is open; `None` before its first transaction.
    wal: Option<(Seen, Seen)>,
    pub(super) lost: Option<Lost>,
    /// Whether the file holds every acknowledged write of the connection, because the writer has checkpointed the WAL
    /// into it.
    is_checkpointed_into_file: bool,
    /// The time of the last complete check.
    checked_at: Option<Instant>,
}

/// The part of a store that was removed or replaced under an open connection. The writer then keeps the connection. The
/// readers have the same files open. A new connection would begin another WAL, and the readers would read that one by
/// the old index, or the reverse.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Lost {
    /// The WAL. Only this connection can still checkpoint it into the file.
    Wal,
    /// The wal-index, with the locks on it: another process may be writing to the WAL.
    Index,
    /// The contents of the WAL: the file exists, but SQLite did not write its contents.
    Contents { fault: &'static str },
    /// A part of the file: it was truncated.
    Pages,
}

impl FileIdentity {
    /// Creates that of a store at a path. `opened` names the WAL and its index that the connection has open, if that is known.
    pub(crate) fn new(path: &Path, opened: Option<(Identity, Identity)>) -> Self {
        Self {
            path: path.to_owned(),
            wal_path: with_suffix(path, "-wal"),
            index_path: with_suffix(path, "-shm"),
            file: identity(path).ok(),
            wal: opened.map(|(wal, index)| (Seen::File(wal), Seen::File(index))),
            checked_at: None,
            lost: None,
            is_checkpointed_into_file: false,
        }
    }

    /// Resets the identity of the WAL, because a new connection may create another one.
    pub(super) const fn reopened(&mut self) {
        self.wal = None;
        self.is_checkpointed_into_file = false;
    }

    /// Returns the WAL and the wal-index that the connection has open, once it has begun a transaction.
    pub(super) const fn opened(&self) -> Option<(Identity, Identity)> {
        match self.wal {
            Some((Seen::File(wal), Seen::File(index))) => Some((wal, index)),
            _ => None,
        }
    }

    /// Records that SQLite did not write the contents of the WAL or the file, if the error says so. The store then
    /// works only after it is opened again.
    pub(super) const fn failed(&mut self, error: &EngineError) {
        match error {
            EngineError::WalReplaced { fault } => self.lost = Some(Lost::Contents { fault }),
            EngineError::FileTruncated => self.lost = Some(Lost::Pages),
            _ => {}
        }
    }

    /// Records that the file holds everything that was acknowledged. The connection commits nothing after that.
    pub(super) const fn record_checkpointed(&mut self) {
        self.is_checkpointed_into_file = true;
    }

    /// Returns whether the file holds everything that was acknowledged, even without the WAL.
    pub(super) fn is_checkpointed_into_file(&self) -> bool {
        self.is_checkpointed_into_file && self.lost != Some(Lost::Pages)
    }

    /// Returns whether the WAL of the connection still belongs to the file: no other connection has begun another one.
    /// A connection that opens the store creates a wal-index first if there is none.
    pub(super) fn can_checkpoint(&self) -> bool {
        let index = seen(&self.index_path);
        let is_own_index = index == Seen::Nothing || self.wal.is_none_or(|(_, open)| index == open);
        let is_own_file = match seen(&self.path) {
            Seen::File(found) => self.file.is_none_or(|file| file == found),
            Seen::Nothing => true,
            Seen::Unknown => false,
        };
        let is_sound = !matches!(self.lost, Some(Lost::Contents { .. } | Lost::Pages));
        is_own_index && is_own_file && is_sound
    }

    /// Checks that all files are at their paths, and ignores the result of an earlier check.
    pub(super) fn expect_unchanged_now(&mut self) -> Result<(), EngineError> {
        self.checked_at = None;
        self.expect_unchanged()
    }

    /// Checks that the file and the WAL of the connection, which has begun a transaction, are at their paths.
    pub(super) fn expect_unchanged(&mut self) -> Result<(), EngineError> {
        let wal = seen(&self.wal_path);
        let is_fresh = self.lost.is_none() && self.checked_at.is_some_and(|at| at.elapsed() < FRESH);
        match self.lost {
            Some(Lost::Contents { fault }) => return Err(EngineError::WalReplaced { fault }),
            Some(Lost::Pages) => return Err(EngineError::FileTruncated),
            _ => {}
        }
        if is_fresh && self.wal.is_some_and(|(open_wal, _)| !wal.is_other_than(open_wal)) {
            return Ok(());
        }
        self.expect_file()?;
        let index = seen(&self.index_path);
        let (open_wal, open_index) = *self.wal.get_or_insert((wal, index));
        let lost = if index.is_other_than(open_index) {
            Some(Lost::Index)
        } else {
            wal.is_other_than(open_wal).then_some(Lost::Wal)
        };
        if lost.is_some() {
            // The whole directory was not moved between the checks either.
            self.expect_file()?;
        }
        (self.lost, self.checked_at) = (lost, Some(Instant::now()));
        // If all files are back, the file lacks the next commit.
        self.is_checkpointed_into_file &= lost.is_some();
        expect(lost.is_none())
    }

    /// Checks that the file is at its path.
    pub(super) fn expect_file(&self) -> Result<(), EngineError> {
        match identity(&self.path) {
            Ok(found) => expect(self.file.is_none_or(|file| file == found)),
            // If the system cannot answer, the file may well exist.
            Err(error) => expect(error.kind() != io::ErrorKind::NotFound),
        }
    }
}

const fn expect(is_there: bool) -> Result<(), EngineError> {
    if is_there { Ok(()) } else { Err(EngineError::Elsewhere) }
}
