//! Opens a store at a path.

mod error;
mod file;
mod fingerprint_key;
mod identity;
mod migration;
mod read_only;
mod trigger;
mod version;

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use rusqlite::{Connection, config::DbConfig};

pub use self::error::OpenError;
pub(crate) use self::fingerprint_key::KeyFile;
use self::identity::{Identity, Unfit};
pub(crate) use self::{migration::create_tables, trigger::foreign_triggers};
use crate::{
    SqliteBackend, SqliteOptions, SqliteReader,
    connection::{configure, connect},
    failpoint::Failpoint,
    file_guard::{FileGuard, is_inherited},
    fork_barrier,
    metadata_index::{self, DeclareError, too_many},
    pause,
    read::Readers,
    reader_barrier::ReaderBarrier,
    writer::{FileIdentity, Writer, begin_own},
};

/// Opens the store at `path`.
pub(crate) async fn open(options: SqliteOptions, path: &Path) -> Result<SqliteBackend, OpenError> {
    let path = file::resolve(path)?;
    start(options, path, None).await
}

/// Opens the store at `path` to be read.
pub(crate) async fn open_read_only(options: SqliteOptions, path: &Path) -> Result<SqliteReader, OpenError> {
    let path = Arc::<Path>::from(file::resolve(path)?);
    let examined = {
        let path = Arc::clone(&path);
        tokio::task::spawn_blocking(move || {
            let _inside = fork_barrier::enter();
            read_only::examine(&path)
        })
        .await
    };
    let (tokenizer, indexed) = match examined {
        Ok(examined) => examined?,
        Err(error) => {
            return Err(OpenError::Io { path: path.to_path_buf(), source: std::io::Error::other(error) });
        }
    };
    let options = options.index_metadata(indexed);
    let readers = Readers::open_read_only(&options, Arc::clone(&path), tokenizer).await?;
    Ok(SqliteReader::new(options, path, readers, tokenizer))
}

/// Opens a store in a new directory.
pub(crate) async fn temporary(options: SqliteOptions) -> Result<SqliteBackend, OpenError> {
    let failed = |source| OpenError::Io { path: std::env::temp_dir(), source };
    let directory = tempfile::Builder::new().prefix("throughline-").tempdir().map_err(failed)?;
    let path = file::resolve(&directory.path().join("store.db"))?;
    start(options, path, Some(directory)).await
}

async fn start(
    options: SqliteOptions,
    path: PathBuf,
    directory: Option<tempfile::TempDir>,
) -> Result<SqliteBackend, OpenError> {
    let path = Arc::<Path>::from(path);
    let reader_barrier = Arc::<ReaderBarrier>::default();
    let writer = Writer::start(&options, Arc::clone(&path), directory, Arc::clone(&reader_barrier)).await?;
    let readers = Readers::open(&options, Arc::clone(&path), reader_barrier).await?;
    let key = KeyFile::open(&path).await?;
    Ok(SqliteBackend::new(options, path, writer, readers, key))
}

/// Makes a new file record where each page is referred to: only then can SQLite move a page, and give the space of another
/// one back. That costs one page in 820.
pub(crate) const RECORD_REFERENCES: &str = "PRAGMA auto_vacuum = INCREMENTAL";

/// A store that is open to be written.
pub(crate) struct Opened {
    pub(crate) connection: Connection,
    pub(crate) guard: Arc<FileGuard>,
    pub(crate) file_identity: FileIdentity,
}

/// Opens the file, creates the schema if the file is new, and migrates an older one. Blocks.
pub(crate) fn bootstrap(
    path: &Path,
    options: &SqliteOptions,
    readers: Arc<ReaderBarrier>,
) -> Result<Opened, OpenError> {
    if fork_barrier::inherits_locks() {
        return Err(OpenError::ForkedInUse { path: path.to_owned() });
    }
    let version = rusqlite::version_number();
    if !version::is_safe(version) {
        return Err(OpenError::UnsafeSqlite { version: rusqlite::version() });
    }
    file::expect_space(path, options.free_space_floor)?;
    file::create(path)?;
    let timeout = BusyTimeout { path, begun: Instant::now(), limit: options.wait_limit };
    if is_inherited(path) {
        return Err(OpenError::Forked { path: path.to_owned() });
    }
    let guard = Arc::new(FileGuard::new(path, readers, options.failpoints.clone()));
    let lock = || timeout.retry(|| Ok(guard.lock_before_open()?));
    let connect = || connect(path).map_err(|error| OpenError::sqlite(path, error));
    let mut unlocked = None;
    if !lock()? {
        let connection = connect()?;
        switch_to_wal(&connection, path, options, &timeout)?;
        // Otherwise the connection is closed: a second library may have removed its WAL before the store had its locks.
        unlocked = if lock()? { None } else { Some(connection) };
    }
    let connection = unlocked.map_or_else(connect, Ok)?;
    let identity = examine(&connection, path, options, &timeout)?;
    let mode =
        timeout.retry(|| Ok(connection.pragma_query_value(None, "journal_mode", |row| row.get(0))?))?;
    expect_wal(path, mode)?;
    options
        .failpoints
        .reach(Failpoint::Opening, &connection)
        .map_err(|error| OpenError::sqlite(path, error))?;
    timeout.retry(|| Ok(guard.open_files()?))?;
    let file_identity = FileIdentity::new(path, guard.opened());
    let opened = Opened { connection, guard, file_identity };
    match prepare(&opened, path, options, identity, &timeout) {
        Ok(()) => Ok(opened),
        Err(error) => {
            drop(opened.connection);
            opened.guard.remove_wal();
            Err(error)
        }
    }
}

/// Creates or migrates the schema, and declares the indexed metadata.
fn prepare(
    opened: &Opened,
    path: &Path,
    options: &SqliteOptions,
    identity: Option<Identity>,
    timeout: &BusyTimeout<'_>,
) -> Result<(), OpenError> {
    let Opened { connection, guard, file_identity } = opened;
    configure(connection, path)?;
    if identity != Some(Identity::Store(migration::LATEST)) {
        timeout.retry(|| {
            let _transaction = begin_own(connection, file_identity, guard)?;
            if options.repair_ledger {
                migration::repair(connection, path)?;
            }
            migration::apply(connection, path)?;
            options.failpoints.reach(Failpoint::Migrating, connection)?;
            Ok(connection.execute_batch("COMMIT")?)
        })?;
    }
    let names = (&options.indexed, &options.dropped);
    timeout.retry(|| {
        if metadata_index::is_declared(connection, names)? {
            return Ok(());
        }
        let _transaction = begin_own(connection, file_identity, guard)?;
        metadata_index::declare(connection, names).map_err(|error| match error {
            DeclareError::Engine(error) => Unfit::Engine(error),
            DeclareError::TooMany { declared, stored } => Unfit::File(too_many(&declared, &stored)),
        })?;
        Ok(connection.execute_batch("COMMIT")?)
    })
}

/// Switches a file to WAL mode, if it can be a store. SQLite needs the file for itself for that, so the [guard](FileGuard) must
/// not have locked it.
fn switch_to_wal(
    connection: &Connection,
    path: &Path,
    options: &SqliteOptions,
    timeout: &BusyTimeout<'_>,
) -> Result<(), OpenError> {
    if examine(connection, path, options, timeout)? == Some(Identity::Fresh) {
        // Before SQLite writes the first page.
        timeout.retry(|| Ok(connection.execute_batch(RECORD_REFERENCES)?))?;
    }
    let mode = timeout.retry(|| {
        let mut change = connection.prepare("PRAGMA journal_mode = wal")?;
        // Read all rows: SQLite answers first, and commits the change then.
        let answers = change.query_map([], |row| row.get(0))?;
        Ok(answers.collect::<rusqlite::Result<Vec<String>>>()?.pop().unwrap_or_default())
    })?;
    expect_wal(path, mode)
}

/// Returns the identity of a file that can be a store. `None` if its ledger is to be repaired.
fn examine(
    connection: &Connection,
    path: &Path,
    options: &SqliteOptions,
    timeout: &BusyTimeout<'_>,
) -> Result<Option<Identity>, OpenError> {
    // The examination of a foreign file must not checkpoint its WAL.
    let set = |is_kept| {
        let set = connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, is_kept);
        set.map(drop).map_err(|error| OpenError::sqlite(path, error))
    };
    set(true)?;
    let identity = timeout.retry(|| {
        let snapshot = connection.unchecked_transaction()?;
        let identity = identity::examine(&snapshot, path)?;
        snapshot.finish()?;
        Ok(identity)
    });
    let identity = match identity {
        // The ledger is repaired after the file is configured, under its write lock.
        Err(OpenError::Ledger { .. }) if options.repair_ledger => None,
        identity => Some(identity?),
    };
    set(false)?;
    Ok(identity)
}

fn expect_wal(path: &Path, mode: String) -> Result<(), OpenError> {
    let (pragma, expected) = ("journal_mode", "wal");
    if mode == expected {
        return Ok(());
    }
    Err(OpenError::Refused { path: path.to_owned(), pragma, found: mode, expected })
}

/// Retries while other processes hold the file for short moments.
struct BusyTimeout<'a> {
    path: &'a Path,
    begun: Instant,
    limit: Duration,
}

impl BusyTimeout<'_> {
    fn retry<T>(&self, mut attempt: impl FnMut() -> Result<T, Unfit>) -> Result<T, OpenError> {
        loop {
            let error = match attempt() {
                Ok(done) => return Ok(done),
                Err(Unfit::File(error)) => return Err(error),
                Err(Unfit::Engine(error)) => error,
            };
            if !error.is_busy() {
                return Err(OpenError::sqlite(self.path, error));
            }
            let waited = self.begun.elapsed();
            if waited >= self.limit && error.is_second_library() {
                return Err(OpenError::sqlite(self.path, error));
            }
            if waited >= self.limit {
                return Err(OpenError::Busy { path: self.path.to_owned(), waited });
            }
            thread::sleep(pause::for_the_lock());
        }
    }
}
