//! The descriptors that hold the locks, and the count of other descriptors on the same files.

use std::{
    io,
    path::Path,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use super::{
    Identity, descriptor::Descriptor, length::FileLength, lock, read_marks::ReadMarks, scan::Scan,
    watch::Watch,
};
use crate::{error::EngineError, file_status};

/// How many times longer than a count the next one without an event waits, so that counts take a hundredth of the time at most. A count
/// of ten thousand descriptors takes 24 ms.
const PAUSE: u32 = 100;

/// The longest such wait: a process that was stopped during a count measures a long one.
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

/// The files of one store. All stores of the process on one file share them.
#[derive(Debug)]
pub(super) struct Files {
    pub(super) database: Arc<Descriptor>,
    /// The `-shm`.
    pub(super) index: Arc<Descriptor>,
    /// The `-wal`. SQLite holds no locks on it.
    pub(super) wal: Arc<Descriptor>,
    has_second: AtomicBool,
    /// Whether a store of this process holds the writer lock on these descriptors.
    is_held: AtomicBool,
    /// The number of stores of this process that run a checkpoint.
    checkpoints: Mutex<u32>,
    /// The number of stores of this process that wait for the writer lock.
    waiting: Mutex<u32>,
    length: FileLength,
    pub(super) read_marks: ReadMarks,
    watch: Mutex<Watch>,
    last_scan: Mutex<Option<Scan>>,
    /// The earliest time of a count without an event.
    next_count: Mutex<Option<Instant>>,
}

impl Files {
    pub(super) fn new(
        database: Arc<Descriptor>,
        wal: Arc<Descriptor>,
        index: Arc<Descriptor>,
        index_path: &Path,
    ) -> Self {
        Self {
            database,
            index,
            wal,
            has_second: AtomicBool::new(false),
            is_held: AtomicBool::new(false),
            checkpoints: Mutex::default(),
            waiting: Mutex::default(),
            length: FileLength::default(),
            read_marks: ReadMarks::default(),
            // Before the descriptors of the index are counted: the watch sees every later open.
            watch: Mutex::new(Watch::on(index_path)),
            last_scan: Mutex::new(None),
            next_count: Mutex::new(None),
        }
    }

    /// Returns the files on which SQLite has locks.
    pub(super) fn locked(&self) -> [Arc<Descriptor>; 2] {
        [Arc::clone(&self.database), Arc::clone(&self.index)]
    }

    /// Returns the identities of the WAL and of its index.
    pub(super) fn opened(&self) -> (Identity, Identity) {
        (self.wal.identity, self.index.identity)
    }

    /// Takes the shared locks. Locks that are held already stay.
    pub(super) fn lock(&self) -> io::Result<()> {
        lock::share(&self.database, lock::SHARED)?;
        let checkpoints = self.checkpoints();
        if *checkpoints == 0 {
            lock::share(&self.index, lock::USERS)?;
        }
        drop(checkpoints);
        self.count(&self.watch());
        Ok(())
    }

    /// Returns whether SQLite has the WAL and the index open too, unless the system does not report that.
    pub(super) fn are_open_elsewhere(&self) -> bool {
        descriptors().is_none_or(|open| {
            let is_open = |own: &Descriptor| open.iter().filter(|file| **file == own.identity).count() > 1;
            is_open(&self.wal) && is_open(&self.index)
        })
    }

    pub(super) fn checkpoints(&self) -> MutexGuard<'_, u32> {
        self.checkpoints.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps others from opening the index, unless another process has it open, and counts the open descriptors, unless a
    /// count has just taken long.
    pub(super) fn begin_checkpoint(&self) {
        let mut checkpoints = self.checkpoints();
        *checkpoints += 1;
        // SQLite takes its own lock when it opens the index and never checks it again. It would conflict with the
        // exclusive lock.
        if *checkpoints == 1 && lock::drop_posix(&self.index, lock::USERS).is_ok() {
            // This fails if another process has the index open. The shared lock then stays.
            drop(lock::exclude(&self.index, lock::USERS));
        }
        drop(checkpoints);
        // The watch reports those that are opened; this finds one that the watch has missed.
        let watch = self.watch();
        if self.next_count().is_none_or(|next| Instant::now() >= next) {
            self.count(&watch);
        }
    }

    /// Lets others open the index again.
    pub(super) fn end_checkpoint(&self) {
        let mut checkpoints = self.checkpoints();
        *checkpoints -= 1;
        if *checkpoints == 0 {
            // The kernel refuses neither to the holder of the exclusive lock or of a shared one.
            drop(lock::share(&self.index, lock::USERS));
            drop(lock::share_posix(&self.index, lock::USERS));
        }
    }

    /// Checks that the file has the length that SQLite gave it.
    ///
    /// # Errors
    /// The file was truncated.
    pub(super) fn expect_database(&self) -> Result<(), EngineError> {
        let is_checkpointing = || lock::is_held(&self.index, lock::CHECKPOINT).unwrap_or_default();
        if self.length.is_truncated(&self.database, is_checkpointing) {
            Err(EngineError::FileTruncated)
        } else {
            Ok(())
        }
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

    /// Returns whether a second SQLite library in this process has the index open. SQLite opens the index once in a
    /// process, for any number of connections.
    pub(super) fn has_second_library(&self) -> bool {
        let mut watch = self.watch();
        let has_news = watch.has_news();
        // The close of a descriptor creates no event. One count is enough, and others that open the index all the time do
        // not delay the store: a library that opens it from now on is kept out by the locks that the store holds.
        let had_second = self.had_second_library();
        if has_news || had_second || watch.is_unsure() {
            self.count(&watch);
        }
        let has_second = self.had_second_library();
        if has_news || had_second || has_second {
            self.read_marks.set_may_be_moved();
        }
        has_second
    }

    /// Returns the result of the last count.
    pub(super) fn had_second_library(&self) -> bool {
        self.has_second.load(Ordering::Relaxed)
    }

    fn next_count(&self) -> MutexGuard<'_, Option<Instant>> {
        self.next_count.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts the descriptors. The lock of the watch keeps an older count from replacing the result of a newer one.
    fn count(&self, _watch: &Watch) {
        let begun = Instant::now();
        self.set_counted(descriptors());
        *self.next_count() = Instant::now().checked_add(pause_after(begun.elapsed()));
    }

    /// Records the files of all descriptors. Without an answer, as in a process without free descriptors, the last result stays.
    fn set_counted(&self, open: Option<Vec<Identity>>) {
        // One descriptor is the store's own, and one belongs to its SQLite.
        if let Some(open) = open {
            let of_index = open.iter().filter(|file| **file == self.index.identity).count();
            self.has_second.store(of_index > 2, Ordering::Relaxed);
        }
    }

    /// Takes the writer lock.
    pub(super) fn exclude(&self) -> io::Result<()> {
        lock::exclude(&self.index, lock::WRITER)?;
        self.is_held.store(true, Ordering::Release);
        Ok(())
    }

    /// Releases the writer lock.
    pub(super) fn release(&self) {
        self.is_held.store(false, Ordering::Release);
        // It does not fail on an open file.
        drop(lock::release(&self.index, lock::WRITER));
    }

    fn waiting(&self) -> MutexGuard<'_, u32> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a store of this process to those that wait for the writer lock, or removes it from them.
    pub(super) fn set_waiting(&self, waits: bool) {
        let mut waiting = self.waiting();
        // A store that began to wait before the files were opened again was not added.
        *waiting = if waits { *waiting + 1 } else { waiting.saturating_sub(1) };
        // If this fails, stores of other processes do not pause for this one.
        if *waiting > 0 {
            drop(lock::share(&self.index, lock::WAITING));
        } else {
            drop(lock::release(&self.index, lock::WAITING));
        }
    }

    /// Returns whether a store waits for the writer lock, in this process or in another one.
    pub(super) fn is_awaited(&self) -> bool {
        *self.waiting() > 0 || lock::is_held(&self.index, lock::WAITING).unwrap_or_default()
    }

    /// Returns whether another process or another store of this one holds the writer lock. An error means that the
    /// kernel has no answer.
    pub(super) fn is_written_elsewhere(&self) -> io::Result<bool> {
        // The kernel does not distinguish the locks of one open file.
        if self.is_held.load(Ordering::Acquire) {
            return Ok(true);
        }
        lock::is_held_elsewhere(&self.index, lock::WRITER)
    }
}

/// Returns how long the next count without an event waits after a count that took this long.
fn pause_after(took: Duration) -> Duration {
    took.saturating_mul(PAUSE).min(LONGEST_PAUSE)
}

/// Returns the files of all descriptors of this process, or `None` if the system does not report them.
pub(super) fn descriptors() -> Option<Vec<Identity>> {
    file_status::identities_in("/proc/self/fd").ok()
}

#[cfg(test)]
mod tests {
    use std::fs::File;

    use rusqlite::Connection;

    use super::*;
    use crate::{file_guard::linux::descriptor::Part, writer::with_suffix};

    fn files() -> (tempfile::TempDir, Connection, Files) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("f.db");
        let connection = Connection::open(&path).unwrap();
        connection.execute_batch("PRAGMA journal_mode = WAL; CREATE TABLE t (b BLOB)").unwrap();
        let open = |suffix, part| {
            let path = with_suffix(&path, suffix);
            let identity = crate::file_status::identity(&path).unwrap();
            Arc::new(Descriptor::open(&path, part, identity).unwrap())
        };
        let [wal, index] = [open("-wal", Part::Wal), open("-shm", Part::Index)];
        let files = Files::new(open("", Part::Database), wal, index, &with_suffix(&path, "-shm"));
        (directory, connection, files)
    }

    /// The kernel creates the event before the process has the descriptor.
    #[test]
    fn a_descriptor_that_appears_after_its_event_is_counted() {
        let (directory, _connection, files) = files();
        let index = directory.path().join("f.db-shm");
        drop(File::open(index).unwrap());
        assert!(!files.has_second_library());
        // A copy of a descriptor creates no event.
        let copy = files.index.try_clone().unwrap();
        assert!(files.has_second_library());
        drop(copy);
        assert!(!files.has_second_library());
    }

    #[test]
    fn a_checkpoint_counts_descriptors_that_had_no_event_unless_a_count_has_just_taken_long() {
        let (_directory, _connection, files) = files();
        // It creates no event.
        let copy = files.index.try_clone().unwrap();
        *files.next_count() = Instant::now().checked_add(Duration::from_secs(3600));
        files.begin_checkpoint();
        assert!(!files.had_second_library());
        let begun = Instant::now();
        *files.next_count() = Some(begun);
        files.begin_checkpoint();
        assert!(files.had_second_library());
        assert!(files.next_count().unwrap() > begun);
        drop(copy);
    }

    #[test]
    fn a_count_without_an_answer_keeps_the_last_result() {
        let (_directory, _connection, files) = files();
        files.set_counted(Some(vec![files.index.identity; 3]));
        files.set_counted(None);
        assert!(files.had_second_library());
        files.set_counted(Some(vec![files.index.identity; 2]));
        assert!(!files.had_second_library());
    }

    #[test]
    fn counts_without_an_event_take_a_hundredth_of_the_time_and_pause_for_ten_seconds_at_most() {
        assert_eq!(pause_after(Duration::from_millis(24)), Duration::from_millis(2400));
        assert_eq!(pause_after(Duration::from_secs(60)), Duration::from_secs(10));
        assert_eq!(pause_after(Duration::MAX), Duration::from_secs(10));
    }

    #[test]
    fn descriptors_are_counted_at_each_check_without_a_watch() {
        let (_directory, _connection, files) = files();
        *files.watch() = Watch::none();
        assert!(!files.has_second_library());
        let copy = files.index.try_clone().unwrap();
        assert!(files.has_second_library());
        drop(copy);
        assert!(!files.has_second_library());
    }
}
