//! Whether what is open is what stands at the path.
//!
//! SQLite goes on writing to a file that was deleted or moved, and to a log that was, and says that all is well. What
//! is written there nobody finds again. A file that was put in its place is another store: the readers of this one
//! have the old one open, so it is not taken up.

use std::{
    fs, io,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use super::wal::with_suffix;
use crate::{error::EngineError, file_guard::Identity};

/// How long a look at the file and the index holds. The log, which is where a commit goes, is looked at each time; three
/// looks and one at the space were measured to cost a lone writer a fifth of its writes.
const FRESH: Duration = Duration::from_millis(10);

/// What a look at a path found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Seen {
    File(Identity),
    Nothing,
    /// It could not be seen, and may well be there.
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

/// Where a store was opened.
#[derive(Debug)]
pub(super) struct FileIdentity {
    path: PathBuf,
    wal_path: PathBuf,
    /// Of the log; its locks are the locks of the store.
    index_path: PathBuf,
    /// The same for as long as the store is open.
    file: Option<Identity>,
    /// The same for as long as the connection is open; nothing before its first transaction.
    wal: Option<(Seen, Seen)>,
    pub(super) lost: Option<Lost>,
    /// The file holds every write of the connection that was acknowledged.
    is_brought_in: bool,
    /// When all of it was looked at.
    looked: Option<Instant>,
}

/// What was removed or replaced under an open connection. The connection is kept then: the readers have the same open,
/// and a new connection would begin another log, which they would read by the old index or the other way round.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Lost {
    /// The log. The connection alone can still bring what is in it to the file.
    Wal,
    /// The index of the log, with the locks on it: another process may be writing to the log.
    Index,
    /// What is in the log: it is there, and is not what SQLite wrote.
    Contents { fault: &'static str },
    /// A part of the file: it was truncated.
    Pages,
}

impl FileIdentity {
    pub(super) fn new(path: &Path, wal_path: PathBuf) -> Self {
        let index_path = with_suffix(path, "-shm");
        Self {
            path: path.to_owned(),
            wal_path,
            index_path,
            file: identity(path).ok(),
            wal: None,
            looked: None,
            lost: None,
            is_brought_in: false,
        }
    }

    /// The connection is another one, which may make a new log.
    pub(super) const fn reopened(&mut self) {
        self.wal = None;
        self.is_brought_in = false;
    }

    /// The log and its index that the connection has open, once it has begun a transaction.
    pub(super) const fn opened(&self) -> Option<(Identity, Identity)> {
        match self.wal {
            Some((Seen::File(wal), Seen::File(index))) => Some((wal, index)),
            _ => None,
        }
    }

    /// Records that the log or the file is not what SQLite wrote, where the error says so. Only a store that is opened again goes on.
    pub(super) const fn failed(&mut self, error: &EngineError) {
        match error {
            EngineError::WalReplaced { fault } => self.lost = Some(Lost::Contents { fault }),
            EngineError::FileTruncated => self.lost = Some(Lost::Pages),
            _ => {}
        }
    }

    /// The file holds everything that was acknowledged. The connection commits nothing after that.
    pub(super) const fn brought_in(&mut self) {
        self.is_brought_in = true;
    }

    /// Whether the file holds everything that was acknowledged, also without the log.
    pub(super) fn is_brought_in(&self) -> bool {
        self.is_brought_in && self.lost != Some(Lost::Pages)
    }

    /// Whether the log of the connection belongs to the file still: nobody has begun another one. Whoever opens the store
    /// makes an index first, where there is none.
    pub(super) fn can_bring_in(&self) -> bool {
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

    /// Expects everything where it was, without trust in an earlier look.
    pub(super) fn expect_all(&mut self) -> Result<(), EngineError> {
        self.looked = None;
        self.expect_both()
    }

    /// Expects the file, and the log of the connection, which has begun a transaction, where they were.
    pub(super) fn expect_both(&mut self) -> Result<(), EngineError> {
        let wal = seen(&self.wal_path);
        let is_fresh = self.lost.is_none() && self.looked.is_some_and(|at| at.elapsed() < FRESH);
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
            // Nor was the whole directory moved between the looks.
            self.expect_file()?;
        }
        (self.lost, self.looked) = (lost, Some(Instant::now()));
        // Where everything is back, the next commit is not in the file.
        self.is_brought_in &= lost.is_some();
        expect(lost.is_none())
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
