//! What a host does with its store beside reading and writing it: to check it, and to copy it, while it is in use.
//!
//! Both work on a connection of their own that cannot write, on a thread that may block, in one read transaction: what
//! they see is of one moment. No writer and no reader waits for them. The log of the store cannot be folded away
//! behind that moment, so it grows by what is written until they end.

mod backup;
mod report;
mod verify;

use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use rusqlite::Connection;
use throughline_core::{Effect, ErrorKind, PersistError, Result, backend::OwnerProcess};

pub use self::{
    backup::{Backup, BackupError},
    report::{Damage, Part, Verification},
};
use crate::{
    connection::connect_to_read,
    error::EngineError,
    health::{Health, HealthState},
    writer::{wal_length, wal_path_of},
};

/// How many steps SQLite's machine does before it looks whether anybody still waits.
const STEPS_BETWEEN_LOOKS: i32 = 10_000;

/// Watches, checks and copies a store while it is in use.
///
/// Taken from the backend before that is moved into a pipeline. It reaches nothing that writes, its clones are handles
/// of the same store, and it keeps nothing open between its calls. After the store was closed it works on the file that
/// was left, unless that was a temporary one.
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
    path: Arc<Path>,
    health_state: Arc<HealthState>,
}

impl Maintenance {
    pub(crate) const fn new(owner: OwnerProcess, path: Arc<Path>, health_state: Arc<HealthState>) -> Self {
        Self { owner, path, health_state }
    }

    /// How the store is now. It asks the writer's notes and the directory, and waits for neither writer nor reader.
    #[must_use]
    pub fn health(&self) -> Health {
        self.with_wal_length(self.health_state.health())
    }

    /// Waits until the store takes writes or not, or an alarm is raised or over, other than in `seen`, and says how it
    /// is then.
    ///
    /// Cancelled, it has no effect. It does not wait when the store is otherwise than in `seen` already; what came and went
    /// meanwhile, and how long the log is, is not told.
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
        self.with_wal_length(self.health_state.other_than(seen).await)
    }

    fn with_wal_length(&self, health: Health) -> Health {
        Health { log_bytes: wal_length(&wal_path_of(&self.path)), ..health }
    }

    /// Checks everything that can be checked in the store as it is at one moment of the call: the pages and indexes
    /// (SQLite's `integrity_check`), the references between tables, the checksum of every row that has one, and that
    /// the rows agree with each other. The time it takes grows with the file, which is read more than once.
    ///
    /// Damage is no error: it is in the answer, by name, and everything behind it is checked as well. It holds one
    /// message at a time, a number for each open message and each thread that has deleted ones, and what it has to report.
    ///
    /// Cancelled, it ends soon after, and nothing is changed in any case. Needs a tokio runtime.
    ///
    /// # Errors
    /// `Unavailable` when the file cannot be opened or the disk fails, `Invalid` in a child that was forked after the store was
    /// opened, and what else keeps SQLite from an answer.
    pub async fn verify(&self) -> Result<Verification> {
        self.owner.check()?;
        let source = Arc::clone(&self.path);
        on_a_thread(move |stop| verify::verify(&source, stop)).await
    }

    /// Copies the store, with everything that was committed before the call, to a fresh file at `path`. Writers go on.
    ///
    /// The copy is written under a name of its own beside `path`, brought to the disk, and only then named `path`: a
    /// file there is whole, and it opens as a store with [`SqliteBackend::open`](crate::SqliteBackend::open). It may
    /// be read by whoever may read the store. What is damaged in the store is damaged in the copy as well: a
    /// [`verify`](Self::verify) of the copy tells.
    ///
    /// Cancelled, it ends soon after and leaves nothing, or, when the copy was already there, all of it. A process that
    /// is killed leaves the unfinished file, whose name begins with that of the copy and ends with `.unfinished`.
    /// Needs a tokio runtime.
    ///
    /// # Errors
    /// With a [`BackupError`] as their source, `AlreadyExists` when there is something at `path` or a log of a file
    /// that was there, `Invalid` for a path where no file can be and in a child that was forked after the store was opened, and
    /// `Unavailable` when the operating system refuses;
    /// without one, what SQLite meets, such as `StorageFull`. There is no copy then, not a part of one, and what was
    /// at `path` is as it was.
    pub async fn backup(&self, path: impl AsRef<Path>) -> Result<Backup> {
        self.owner.check()?;
        let (source, target) = (Arc::clone(&self.path), path.as_ref().to_owned());
        on_a_thread(move |stop| backup::backup(&source, &target, stop)).await
    }
}

/// Whether the call that wants the answer was dropped.
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

/// Says that nobody waits any more, when it is dropped.
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
    PersistError::new(ErrorKind::Cancelled, "nobody waits for the answer").with_effect(Effect::NotApplied)
}

/// Opens the store to read it, and to be interrupted when nobody waits any more.
fn connect(path: &Path, stop: &Stop) -> rusqlite::Result<Connection> {
    let connection = connect_to_read(path)?;
    let stop = stop.clone();
    connection.progress_handler(STEPS_BETWEEN_LOOKS, Some(move || stop.is_wanted()))?;
    Ok(connection)
}

fn failed(error: rusqlite::Error) -> PersistError {
    EngineError::from(error).into()
}
