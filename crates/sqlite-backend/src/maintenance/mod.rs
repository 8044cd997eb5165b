//! Maintenance of a store while it is in use: health, verification and backup.
//!
//! Verification and backup use a connection of their own that cannot write, on a blocking thread, in one read
//! transaction: they see one snapshot. No writer and no reader waits for them. A checkpoint cannot pass that snapshot,
//! so the WAL grows with each write until they end.

mod backup;
mod compact;
mod proof;
mod rebuild;
mod report;
mod source;
mod storage;
mod verify;

use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use throughline_core::{Effect, ErrorKind, PersistError, Result, backend::OwnerProcess};

pub use self::{
    backup::{Backup, BackupError},
    compact::Compaction,
    proof::ProvenBackup,
    rebuild::RebuiltStore,
    report::{Damage, Part, Verification},
    storage::{Storage, TableSize},
};
use self::{compact::Compactor, source::Source};
use crate::{
    error::EngineError,
    fork_barrier,
    health::{Condition, Health, HealthState},
    writer::{Submission, wal_length, wal_path_of},
};

/// The number of SQLite's virtual-machine steps between two checks whether the caller still waits.
const STEPS_BETWEEN_LOOKS: i32 = 10_000;

/// Observes, verifies and backs up a store while it is in use.
///
/// Take it from the backend before you move that into a pipeline. It changes no content, its clones are handles of the
/// same store, and it keeps nothing open between its calls. After the store was closed it works on the
/// remaining file, unless the store was temporary.
///
/// ```
/// use throughline_core::{NewMessage, Persistence};
/// use throughline_sqlite::SqliteBackend;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let directory = tempfile::tempdir()?;
/// # let (path, copy) = (directory.path().join("chat.db"), directory.path().join("copy.db"));
/// let backend = SqliteBackend::open(&path).await?;
/// let maintenance = backend.maintenance();
/// let db = Persistence::builder().backend(backend).build()?;
/// db.thread("telegram:42").add(NewMessage::user("hello")).await?;
///
/// let verification = maintenance.verify().await?;
/// assert!(verification.is_sound(), "{:?}", verification.damaged);
/// assert_eq!(verification.messages, 1);
///
/// let backup = maintenance.backup(&copy).await?; // opens as a store of its own
/// assert_eq!(backup.path, copy);
/// # db.close().await?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct Maintenance {
    owner: OwnerProcess,
    source: Source,
    /// `None` for a store that was opened to be read.
    health_state: Option<Arc<HealthState>>,
    compactor: Option<Compactor>,
}

impl Maintenance {
    pub(crate) fn new(
        owner: OwnerProcess,
        path: Arc<Path>,
        submission: Submission,
        wait_limit: Duration,
    ) -> Self {
        let health_state = Arc::clone(&submission.health_state);
        Self {
            owner,
            source: Source::new(path, false),
            health_state: Some(health_state),
            compactor: Some(Compactor { submission, wait_limit }),
        }
    }

    /// Returns the handle of a store that was opened to be read.
    pub(crate) const fn of_reader(owner: OwnerProcess, path: Arc<Path>) -> Self {
        Self { owner, source: Source::new(path, true), health_state: None, compactor: None }
    }

    /// Returns the current health of the store. It reads the health state and the directory, and waits for neither
    /// writer nor reader. The health of a [`SqliteReader`](crate::SqliteReader) is always
    /// [`ReadOnly`](Condition::ReadOnly), without alarms: the writer of another process keeps its own.
    #[must_use]
    pub fn health(&self) -> Health {
        match &self.health_state {
            Some(state) => self.with_wal_length(state.health()),
            None => self.with_wal_length(Health { condition: Condition::ReadOnly, ..Health::new() }),
        }
    }

    /// Waits until the condition or the alarms differ from those in `seen`, and returns the health at that moment.
    ///
    /// Cancelling has no effect. It returns at once if the health differs from `seen` already. Changes that were
    /// reverted in between, and the length of the WAL, do not end the wait. Of a [`SqliteReader`](crate::SqliteReader) it
    /// returns the health at once, if `seen` differs, and otherwise never.
    ///
    /// ```
    /// # async fn example(maintenance: throughline_sqlite::Maintenance) {
    /// let mut health = maintenance.health();
    /// while health.condition != throughline_sqlite::Condition::Closed {
    ///     health = maintenance.health_other_than(&health).await;
    ///     println!("{health:?}");
    /// }
    /// # }
    /// ```
    pub async fn health_other_than(&self, seen: &Health) -> Health {
        match &self.health_state {
            Some(state) => self.with_wal_length(state.changed_from(seen).await),
            None if self.health().is_equivalent(seen) => std::future::pending().await,
            None => self.health(),
        }
    }

    fn with_wal_length(&self, health: Health) -> Health {
        Health { wal_bytes: wal_length(&wal_path_of(self.source.path())), ..health }
    }

    /// Verifies one snapshot of the store: the pages and indexes (SQLite's `integrity_check`), the references between
    /// tables, the checksum of every row that has one, and that the rows agree with each other. The duration grows with
    /// the file, which it reads more than once.
    ///
    /// Damage is no error: the result names it, and the check continues after it. The check holds one message at a
    /// time, a number for each open message and for each thread with deleted messages, and its results.
    ///
    /// After cancelling it ends soon; it never changes anything. Needs a tokio runtime.
    ///
    /// # Errors
    /// `Unavailable` when the file cannot be opened or the disk fails, `Invalid` in a child process that was forked
    /// after the store was opened, and any other error that keeps SQLite from an answer.
    pub async fn verify(&self) -> Result<Verification> {
        self.owner.check()?;
        let source = self.source.clone();
        on_a_thread(move |stop| verify::verify_file(&source, stop)).await
    }

    /// Returns the space that the store takes, and the changes that it retains. It reads the first page of the file, two rows,
    /// the directory, and an index entry for each content in a file of its own.
    ///
    /// # Errors
    /// The errors of [`verify`](Self::verify). `Corrupt` if one of these rows cannot be read.
    ///
    /// ```
    /// # async fn example(maintenance: throughline_sqlite::Maintenance) -> throughline_core::Result<()> {
    /// let storage = maintenance.storage().await?;
    /// println!("{} bytes, {} of them free", storage.file_bytes, storage.free_bytes);
    /// # Ok(())
    /// # }
    /// ```
    pub async fn storage(&self) -> Result<Storage> {
        self.owner.check()?;
        let source = self.source.clone();
        on_a_thread(move |stop| storage::storage(&source, stop)).await
    }

    /// Returns the space of each table with its indexes, the largest first. It reads every page of the file.
    ///
    /// # Errors
    /// The errors of [`verify`](Self::verify). `Corrupt` if a page cannot be read.
    pub async fn tables(&self) -> Result<Vec<TableSize>> {
        self.owner.check()?;
        let source = self.source.clone();
        on_a_thread(move |stop| storage::tables(&source, stop)).await
    }

    /// Copies the store, with everything that was committed before the call, to a new file at `path`. Writers continue.
    ///
    /// The backup is written under another name next to `path`, synced, and only then renamed to `path`: a file there
    /// is complete, and it opens as a store with [`SqliteBackend::open`](crate::SqliteBackend::open). It has the
    /// permissions of the store. Damaged rows are also damaged in the backup: [`verify`](Self::verify) finds them. The contents in
    /// files of their own ([`SqliteOptions::blobs_above`](crate::SqliteOptions::blobs_above)) are copied to the folder `NAME-blobs`
    /// next to the backup.
    ///
    /// After cancelling it ends soon and leaves no file, or the complete backup if that existed already. A process that
    /// is killed leaves the unfinished file, whose name begins with that of the backup and ends with `.unfinished`, and its folder,
    /// or the folder `NAME-blobs` alone.
    /// Needs a tokio runtime.
    ///
    /// # Errors
    /// With a [`BackupError`] as their source: `AlreadyExists` when there is a file at `path`, or a WAL or a folder
    /// `NAME-blobs` of an earlier file, `Invalid` for a path where no file can be and in a child process that was forked after the store was
    /// opened, and `Unavailable` when the operating system refuses. Without one: errors of SQLite, such as
    /// `StorageFull`. In all cases there is no backup, not even a part of one, and a file at `path` is unchanged.
    pub async fn backup(&self, path: impl AsRef<Path>) -> Result<Backup> {
        self.owner.check()?;
        let (source, target) = (self.source.clone(), path.as_ref().to_owned());
        on_a_thread(move |stop| backup::backup(&source, &target, stop)).await
    }

    /// Copies the store as [`backup`](Self::backup) does, reads the copy again, and compares every value of every row with the
    /// same snapshot of the store. Then it verifies the copy. Writers continue; the WAL grows until the comparison ends.
    ///
    /// It holds one row at a time, and reads the store twice and the copy three times. Cancelling has the effect that it has on
    /// [`backup`](Self::backup).
    ///
    /// # Errors
    /// The errors of [`backup`](Self::backup). `Corrupt` if the copy differs from the snapshot, or if a row of the store cannot
    /// be read; the error names the tables that differ. In all cases there is no backup.
    ///
    /// ```
    /// # async fn example(maintenance: throughline_sqlite::Maintenance) -> throughline_core::Result<()> {
    /// let proven = maintenance.backup_proven("copy.db").await?;
    /// println!("{} rows are equal at position {}", proven.rows, proven.position);
    /// # Ok(())
    /// # }
    /// ```
    pub async fn backup_proven(&self, path: impl AsRef<Path>) -> Result<ProvenBackup> {
        self.owner.check()?;
        let (source, target) = (self.source.clone(), path.as_ref().to_owned());
        on_a_thread(move |stop| proof::backup(&source, &target, stop)).await
    }

    /// Copies the rows of the store to a new file at `path`, where SQLite builds every index from them, and verifies that
    /// file. This repairs a store with a damaged index: the index hides rows, which are still in their table. The file of
    /// the store does not change, and writers continue.
    ///
    /// To replace the store, end all writes first, because the new file has none of the later ones. Then close the store,
    /// and open the new file. Keep the file with the fingerprint key (`NAME-fingerprints`) next to it.
    ///
    /// - Damaged rows are damaged in the new file too, as long as each column has a value of its type.
    ///   [`RebuiltStore::verification`] names them; a deletion or an import repairs them.
    /// - A damaged table of the order or of labels loses rows here. `verification` then names the threads, and
    ///   [`RebuildThread`](throughline_core::threads::RebuildThread) repairs each of them in the opened file.
    /// - The full-text index is not copied. The store builds it again after it is opened.
    ///
    /// It holds one row at a time, and the new file has the permissions of the store. After cancelling it ends soon, as
    /// [`backup`](Self::backup) does. Needs a tokio runtime.
    ///
    /// # Errors
    /// The errors of [`backup`](Self::backup). `Corrupt` if rows of a table cannot be read, if a column of a row has no value
    /// or one of another type, or if two rows have one key, because one of them was added while an index hid the other. The
    /// error names the table, and the number of a row that it could read. Only a backup helps, or for a damaged message its
    /// repair in this store. In all cases there is no new file.
    ///
    /// ```
    /// # async fn example(maintenance: throughline_sqlite::Maintenance) -> throughline_core::Result<()> {
    /// let rebuilt = maintenance.rebuild_into("chat-rebuilt.db").await?;
    /// assert!(rebuilt.verification.is_sound(), "{:?}", rebuilt.verification.damaged);
    /// # Ok(())
    /// # }
    /// ```
    pub async fn rebuild_into(&self, path: impl AsRef<Path>) -> Result<RebuiltStore> {
        self.owner.check()?;
        let (source, target) = (self.source.clone(), path.as_ref().to_owned());
        on_a_thread(move |stop| rebuild::rebuild(&source, &target, stop)).await
    }

    /// Gives the free pages of the file back to the file system while hosts write. `progress` is called before each step.
    ///
    /// Each step is one transaction of the writer: it moves at most 256 pages for at most about 5 ms, and then commits. Waiting
    /// writes run between two steps, also those of other processes. So the compaction of a gigabyte takes a minute or less, and
    /// needs up to 3 MiB of the WAL for a step. Deleted messages leave free pages only after
    /// [`PurgeThread`](throughline_core::threads::PurgeThread) has freed them. A page that is partly filled is not free:
    /// [`rebuild_into`](Self::rebuild_into) also joins those.
    ///
    /// The file becomes shorter with the last checkpoint. A reader or a backup that uses an older snapshot prevents that; after
    /// a second the result names the bytes in [`Compaction::held_bytes`].
    ///
    /// After cancelling it ends with the running step. The steps before stay, and a process that is killed loses nothing.
    /// Needs a tokio runtime with time.
    ///
    /// # Errors
    /// `Unsupported` for a store that was opened to be read, and for a file that an earlier version created
    /// ([`Storage::compacts_in_place`]). The errors of a write: `Busy`, `Overloaded`, `StorageFull`, `Unavailable`. The steps
    /// before the error stay.
    ///
    /// ```
    /// # async fn example(maintenance: throughline_sqlite::Maintenance) -> throughline_core::Result<()> {
    /// let done = maintenance.compact(|so_far| println!("{} bytes", so_far.returned_bytes)).await?;
    /// println!("{} bytes, {} of them held by a reader", done.file_bytes.1, done.held_bytes);
    /// # Ok(())
    /// # }
    /// ```
    pub async fn compact(&self, progress: impl FnMut(&Compaction) + Send) -> Result<Compaction> {
        self.owner.check()?;
        compact::compact(self, progress).await
    }
}

/// Whether the caller has dropped the call.
#[derive(Debug, Clone, Default)]
struct Stop(Arc<AtomicBool>);

impl Stop {
    fn is_wanted(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    fn check(&self) -> Result<()> {
        if self.is_wanted() { Err(cancelled()) } else { Ok(()) }
    }
}

/// Sets the stop flag when it is dropped.
struct Waiting(Stop);

impl Drop for Waiting {
    fn drop(&mut self) {
        self.0.0.store(true, Ordering::Relaxed);
    }
}

async fn on_a_thread<T: Send + 'static>(work: impl FnOnce(&Stop) -> Result<T> + Send + 'static) -> Result<T> {
    let stop = Stop::default();
    let _waiting = Waiting(stop.clone());
    let done = tokio::task::spawn_blocking(move || {
        stop.check()?;
        let _inside = fork_barrier::enter();
        work(&stop)
    });
    done.await.unwrap_or_else(|error| {
        let (kind, detail) = if error.is_panic() {
            (ErrorKind::Panicked, "the maintenance of the store panicked")
        } else {
            (ErrorKind::Unavailable, "the runtime ends")
        };
        Err(PersistError::new(kind, detail).with_effect(Effect::NotApplied))
    })
}

fn cancelled() -> PersistError {
    PersistError::new(ErrorKind::Cancelled, "the caller dropped the call").with_effect(Effect::NotApplied)
}

fn failed(error: rusqlite::Error) -> PersistError {
    EngineError::from(error).into()
}
