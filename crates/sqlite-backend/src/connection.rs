//! Opens connections and sets their pragmas.

use std::{cell::Cell, path::Path, time::Duration};

use rusqlite::{Connection, OpenFlags, config::DbConfig};

use crate::{OpenError, cache, file_guard::while_none_is_closed};

/// The `application_id` of a Throughline store: `ThrL`.
pub(crate) const APPLICATION_ID: i32 = 0x5468_724c;

/// The capacity of the prepared-statement cache; a connection uses fewer.
const STATEMENTS: usize = 128;

/// The busy timeout of a reader. A reader of a WAL database hardly ever waits for a lock.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

thread_local! {
    /// The number of pages in the WAL after the last commit of this thread. A `wal_hook` cannot keep state of its own.
    static PAGES_IN_LOG: Cell<u32> = const { Cell::new(0) };
}

/// Returns how many pages the WAL held after the last commit of this thread.
pub(crate) fn pages_in_wal() -> u32 {
    PAGES_IN_LOG.get()
}

/// Opens an existing file without a busy timeout: the caller retries.
pub(crate) fn connect(path: &Path) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = while_none_is_closed(|| Connection::open_with_flags(path, flags))?;
    connection.busy_timeout(Duration::ZERO)?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS);
    Ok(connection)
}

/// Opens an existing store for reading.
pub(crate) fn connect_to_read(path: &Path) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = while_none_is_closed(|| Connection::open_with_flags(path, flags))?;
    prepare_to_read(&connection)?;
    Ok(connection)
}

/// Sets the pragmas of a connection that only reads.
pub(crate) fn prepare_to_read(connection: &Connection) -> rusqlite::Result<()> {
    connection.busy_timeout(BUSY_TIMEOUT)?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS);
    keep_plans(connection)?;
    connection.execute_batch(
        "PRAGMA query_only = ON;
         PRAGMA trusted_schema = OFF;
         PRAGMA cell_size_check = ON;
         PRAGMA mmap_size = 0;
         PRAGMA temp_store = MEMORY;",
    )?;
    cache::limit(connection)
}

/// Makes SQLite keep the plan of a statement for all bound values. This build considers the value of a `LIMIT` in its
/// plans, and would otherwise compile such a statement again for each run.
fn keep_plans(connection: &Connection) -> rusqlite::Result<()> {
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true).map(drop)
}

/// Sets the pragmas of a connection that writes, and reads back those that durability depends on.
pub(crate) fn configure(connection: &Connection, path: &Path) -> Result<(), OpenError> {
    connection
        .execute_batch(
            "PRAGMA synchronous = FULL;
             PRAGMA fullfsync = ON;
             PRAGMA checkpoint_fullfsync = ON;
             PRAGMA foreign_keys = ON;
             PRAGMA trusted_schema = OFF;
             PRAGMA cell_size_check = ON;
             PRAGMA secure_delete = ON;
             PRAGMA mmap_size = 0;
             PRAGMA temp_store = MEMORY;
             PRAGMA locking_mode = NORMAL;
             PRAGMA wal_autocheckpoint = 0;
             PRAGMA journal_size_limit = 67108864;",
        )
        .and_then(|()| cache::limit(connection))
        .map_err(|error| OpenError::sqlite(path, error))?;
    connection.wal_hook(Some(|_, pages| {
        PAGES_IN_LOG.set(u32::try_from(pages).unwrap_or(0));
        Ok(())
    }));
    for (pragma, expected) in [("synchronous", "2"), ("foreign_keys", "1"), ("secure_delete", "1")] {
        let found: i64 = connection
            .pragma_query_value(None, pragma, |row| row.get(0))
            .map_err(|error| OpenError::sqlite(path, error))?;
        let found = found.to_string();
        if found != expected {
            return Err(OpenError::Refused { path: path.to_owned(), pragma, found, expected });
        }
    }
    Ok(())
}

/// Makes the connection leave the WAL alone when it closes. By default SQLite would checkpoint it and delete the file
/// at its path.
pub(crate) fn keep_wal_on_close(connection: &Connection) {
    // A connection that refuses this setting is about to be closed anyway.
    drop(connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true));
}

/// Opens the store again after its connection was dropped. The file must still be a store.
pub(crate) fn reopen(path: &Path) -> Result<Connection, OpenError> {
    let connection = connect(path).map_err(|error| OpenError::sqlite(path, error))?;
    let id: i32 = connection
        .pragma_query_value(None, "application_id", |row| row.get(0))
        .map_err(|error| OpenError::sqlite(path, error))?;
    if id != APPLICATION_ID {
        return Err(OpenError::Foreign {
            path: path.to_owned(),
            found: format!("its application id is {id}"),
        });
    }
    configure(&connection, path)?;
    Ok(connection)
}
