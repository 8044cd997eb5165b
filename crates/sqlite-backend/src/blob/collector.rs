//! Removes the blobs that no row names.

use std::{
    collections::HashSet,
    time::{Duration, Instant, SystemTime},
};

use blake3::Hash;
use rusqlite::{CachedStatement, Connection};

use super::{BlobFolder, BlobRef, folder::FileState, reference::short_content};
use crate::error::EngineError;

/// How long the writer must be idle before it removes blobs.
const IDLE: Duration = Duration::from_millis(100);

/// The interval between two removals while the writer is busy, and after one that an older snapshot prevented.
const INTERVAL: Duration = Duration::from_secs(5);

/// The interval between two searches for files that a crash or a refused write left, and the least age of such a file. A younger
/// one may belong to a write that waits.
const SEARCH_INTERVAL: Duration = Duration::from_hours(1);

/// The duration of one step of a search.
const SEARCH_SPAN: Duration = Duration::from_millis(5);

/// The largest number of blobs that are removed at a time, while the write lock is held.
const AT_A_TIME: usize = 64;

/// The look-up of the rows that name a blob.
pub(crate) struct References<'db>(CachedStatement<'db>);

impl<'db> References<'db> {
    /// The condition is that of the index over the references.
    const FIND: &'static str =
        "SELECT EXISTS (SELECT 1 FROM messages WHERE content >= ?1 AND content < ?2 AND content >= 'b')";

    pub(crate) fn of(db: &'db Connection) -> rusqlite::Result<Self> {
        db.prepare_cached(Self::FIND).map(Self)
    }

    /// Returns whether a row names a blob.
    pub(crate) fn name(&mut self, hash: Hash) -> rusqlite::Result<bool> {
        self.0.query_row(BlobRef::texts_of(hash), |row| row.get(0))
    }
}

/// The blobs that no row may name.
#[derive(Debug)]
pub(crate) struct Collector {
    folder: BlobFolder,
    /// They may be named all the same, or missing.
    candidates: HashSet<Hash>,
    /// The next removal, not before.
    next: Instant,
    search: Search,
    /// The old files that the search has found, without those that the index or a row names.
    suspects: HashSet<Hash>,
}

/// The search for files that a crash or a failed write left.
#[derive(Debug)]
enum Search {
    /// In this subfolder.
    Files(u8),
    /// In the rows after this one.
    Rows(i64),
    /// The next one is not before this.
    At(Instant),
    /// There is no folder, and no blob is written.
    Never,
}

impl Collector {
    /// `is_on` says whether contents may go to blobs.
    pub(crate) fn new(folder: BlobFolder, is_on: bool) -> Self {
        let search = if is_on || folder.exists() { Search::Files(0) } else { Search::Never };
        Self { folder, candidates: HashSet::new(), next: Instant::now(), search, suspects: HashSet::new() }
    }

    /// Adds blobs that rows may not name any more.
    pub(crate) fn add(&mut self, hashes: impl IntoIterator<Item = Hash>) {
        self.candidates.extend(hashes);
    }

    /// Returns how long the writer waits for a write before it continues here.
    pub(crate) fn timeout(&self) -> Option<Duration> {
        let until = |at: Instant| at.saturating_duration_since(Instant::now()).max(IDLE);
        let removal = (!self.candidates.is_empty()).then(|| until(self.next));
        let search = match self.search {
            Search::At(at) => Some(until(at)),
            Search::Never => None,
            Search::Files(_) | Search::Rows(_) => Some(IDLE),
        };
        removal.into_iter().chain(search).min()
    }

    /// Returns whether blobs have waited long enough for their removal, although the writer is busy.
    pub(crate) fn is_due(&self) -> bool {
        !self.candidates.is_empty() && self.next.elapsed() >= INTERVAL
    }

    /// Returns whether there is anything to remove now.
    pub(crate) fn has_candidates(&self) -> bool {
        !self.candidates.is_empty() && Instant::now() >= self.next
    }

    /// Returns whether a search has begun, and not ended.
    pub(crate) const fn is_searching(&self) -> bool {
        matches!(self.search, Search::Files(_) | Search::Rows(_))
    }

    /// Waits before the next attempt, because an older snapshot may name the blobs.
    pub(crate) fn retry_later(&mut self) {
        self.next = Instant::now() + INTERVAL;
    }

    /// Continues the search for old files that no row names, for a short time. A file that only the index does not name is kept:
    /// the index may be damaged, and can be rebuilt.
    ///
    /// # Errors
    /// The folder or the rows cannot be read. The search begins again after its interval.
    pub(crate) fn search(&mut self, db: &Connection) -> Result<(), EngineError> {
        let begun = Instant::now();
        let searched = self.search_until(db, begun + SEARCH_SPAN);
        if searched.is_err() {
            self.suspects.clear();
            self.search = Search::At(begun + SEARCH_INTERVAL);
        }
        searched
    }

    fn search_until(&mut self, db: &Connection, end: Instant) -> Result<(), EngineError> {
        loop {
            let now = Instant::now();
            self.search = match self.search {
                Search::At(at) if at <= now => Search::Files(0),
                Search::At(_) | Search::Never => return Ok(()),
                _ if now >= end => return Ok(()),
                Search::Files(subfolder) => {
                    self.find_suspects(db, subfolder)?;
                    subfolder.checked_add(1).map_or(Search::Rows(0), Search::Files)
                }
                Search::Rows(after) if !self.suspects.is_empty() => match self.clear_named(db, after)? {
                    Some(last) => Search::Rows(last),
                    None => {
                        self.candidates.extend(self.suspects.drain());
                        Search::At(now + SEARCH_INTERVAL)
                    }
                },
                Search::Rows(_) => Search::At(now + SEARCH_INTERVAL),
            };
        }
    }

    /// Adds the old files of a subfolder that the index does not name to the suspects.
    fn find_suspects(&mut self, db: &Connection, subfolder: u8) -> Result<(), EngineError> {
        let old = SystemTime::now().checked_sub(SEARCH_INTERVAL);
        let failed = |source| EngineError::Blob { path: self.folder.path().to_owned(), source };
        let mut references = References::of(db)?;
        for (hash, state) in self.folder.list(subfolder, old).map_err(failed)? {
            if old.is_some_and(|old| state.modified < old) && !references.name(hash)? {
                self.suspects.insert(hash);
            }
        }
        Ok(())
    }

    /// Removes the blobs that some of the rows name from the suspects. Returns the last of these rows, or `None` if there was none.
    fn clear_named(&mut self, db: &Connection, after: i64) -> rusqlite::Result<Option<i64>> {
        let mut statement = db.prepare_cached(concat!(
            "SELECT message_pk, ",
            short_content!(),
            " FROM messages WHERE message_pk > ?1 ORDER BY message_pk LIMIT 500"
        ))?;
        let mut rows = statement.query([after])?;
        let mut last = None;
        while let Some(row) = rows.next()? {
            last = Some(row.get(0)?);
            if let Some(blob) = row.get_ref(1)?.as_str_or_null().ok().flatten().and_then(BlobRef::parse) {
                self.suspects.remove(&blob.hash());
            }
        }
        Ok(last)
    }

    /// Takes some candidates, and returns those that no row names now, each with the state of its file.
    pub(crate) fn take_unnamed(&mut self, db: &Connection) -> rusqlite::Result<Vec<(Hash, FileState)>> {
        let mut references = References::of(db)?;
        let taken: Vec<Hash> = self.candidates.iter().copied().take(AT_A_TIME).collect();
        let mut unnamed = Vec::new();
        for hash in taken {
            let is_named = references.name(hash)?;
            self.candidates.remove(&hash);
            // A file that cannot be examined is found by the next search.
            if !is_named && let Ok(Some(state)) = self.folder.state(hash) {
                unnamed.push((hash, state));
            }
        }
        if self.candidates.is_empty() {
            self.next = Instant::now();
        }
        Ok(unnamed)
    }

    /// Removes the blobs that still are the same files and that no row names. The write lock is held, and no snapshot is older
    /// than the look-up of [`take_unnamed`](Self::take_unnamed). A row that was written and removed since had written or
    /// touched its file, so that a snapshot of that time has another one.
    pub(crate) fn remove(&self, db: &Connection, unnamed: &[(Hash, FileState)]) -> rusqlite::Result<()> {
        let mut references = References::of(db)?;
        for (hash, state) in unnamed {
            if !references.name(*hash)? && self.folder.state(*hash).is_ok_and(|now| now == Some(*state)) {
                // The next search finds a file that cannot be removed now.
                drop(self.folder.remove(*hash));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_busy_writer_removes_blobs_again_only_after_the_interval() {
        let directory = tempfile::tempdir().unwrap();
        let db = Connection::open_in_memory().unwrap();
        db.execute_batch("CREATE TABLE messages (content TEXT)").unwrap();
        let mut collector = Collector::new(BlobFolder::of_store(&directory.path().join("chat.db")), true);
        let hashes = |from: u64, to: u64| (from..to).map(|n| blake3::hash(&n.to_le_bytes()));
        collector.add(hashes(0, 1));
        assert!(!collector.is_due());
        collector.next = Instant::now().checked_sub(INTERVAL).unwrap();
        assert!(collector.is_due() && collector.has_candidates());
        collector.take_unnamed(&db).unwrap();
        collector.add(hashes(1, 100));
        assert!(!collector.is_due() && collector.has_candidates(), "an idle writer goes on");
        // The blobs that one removal leaves do not wait.
        collector.next = Instant::now().checked_sub(INTERVAL).unwrap();
        collector.take_unnamed(&db).unwrap();
        assert!(collector.is_due());
        collector.retry_later();
        assert!(!collector.has_candidates());
    }
}
