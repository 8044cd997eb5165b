//! The readers: connections that cannot write, and never wait for the queue of the writer.
//!
//! Each read is one statement, so that everything in its answer is of one moment: the messages, what was appended to
//! the open ones, whether there are more.

mod get;
mod open;
mod page;
#[cfg(test)]
mod plans;
mod pool;
mod rows;

use std::{
    path::Path,
    time::{Duration, Instant},
};

use sqlx::{
    ConnectOptions as _, Sqlite,
    query::Query,
    sqlite::{SqliteArguments, SqliteConnectOptions, SqliteRow},
};
use throughline_core::{PersistError, ReadArgs, ReadResult, Result, TenantId, Timestamp};

use self::pool::Pool;
use crate::{OpenError, SqliteOptions};

/// How long a reader waits for a lock of the file: readers of a log hardly ever do.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

type Statement = Query<'static, Sqlite, SqliteArguments>;

/// The readers of a store.
#[derive(Debug)]
pub(crate) struct Readers {
    pool: Pool,
    wait_limit: Duration,
}

/// What a read works with.
#[derive(Clone, Copy)]
pub(crate) struct Scope<'a> {
    readers: &'a Readers,
    tenant: &'a TenantId,
    deadline: Option<Instant>,
    now: Timestamp,
}

impl Readers {
    /// Opens one reader, and more as they are needed. The file is there, and a writer has it open.
    pub(crate) async fn open(options: &SqliteOptions, path: &Path) -> Result<Self, OpenError> {
        let connect = SqliteConnectOptions::new()
            .filename(path)
            .read_only(true)
            .create_if_missing(false)
            .busy_timeout(BUSY_TIMEOUT)
            .pragma("query_only", "ON")
            .pragma("trusted_schema", "OFF")
            .pragma("cell_size_check", "ON")
            .pragma("mmap_size", "0")
            .pragma("temp_store", "MEMORY")
            .pragma("cache_size", "-8000")
            .thread_name(|n| format!("throughline-reader-{n}"))
            .disable_statement_logging();
        let pool =
            Pool::open(connect, options.readers).await.map_err(|error| OpenError::sqlite(path, error))?;
        Ok(Self { pool, wait_limit: options.wait_limit })
    }

    /// Answers a read.
    pub(crate) async fn read(
        &self,
        tenant: &TenantId,
        read: &ReadArgs,
        deadline: Option<Instant>,
        now: Timestamp,
    ) -> Result<ReadResult> {
        let scope = Scope { readers: self, tenant, deadline, now };
        match read {
            ReadArgs::Get(read) => get::get(scope, read).await.map(ReadResult::Get),
            ReadArgs::Page(read) => page::page(scope, read).await.map(ReadResult::Page),
            ReadArgs::OpenReservations(read) => {
                open::open(scope, read).await.map(ReadResult::OpenReservations)
            }
            other => Err(PersistError::unsupported(format_args!("the read `{}`", other.as_str()))),
        }
    }

    /// Waits until every read has ended, and closes the readers.
    pub(crate) async fn close(&self) {
        self.pool.close().await;
    }
}

impl Scope<'_> {
    /// Runs one statement on a reader.
    async fn rows(self, statement: Statement) -> Result<Vec<SqliteRow>> {
        let give_up = self.deadline.unwrap_or_else(|| Instant::now() + self.readers.wait_limit);
        Ok(self.readers.pool.reader(self.tenant, give_up).await?.rows(statement).await?)
    }
}
