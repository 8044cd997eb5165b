//! The readers: threads with read-only connections, which never wait for the queue of the writer.
//!
//! Each read is a transaction, so its answer is one snapshot: the thread, the messages, the appends of the open ones,
//! whether there are more, the position of the store. The reader thread decodes the rows one by one as SQLite steps
//! through them, and sends the answer to the caller.

mod aliases;
mod audit;
mod call;
mod changes;
mod consumer;
mod content;
mod find;
mod find_enough;
mod get;
mod images;
mod open;
mod page;
mod page_window;
#[cfg(test)]
mod plans;
mod pool;
mod prune;
mod reader;
mod rows;
mod search;
mod session;
mod thread;
mod threads;

use std::{
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use rusqlite::Connection;
use throughline_core::{
    IndexedMetadata, PersistError, ReadArgs, ReadResult, Result, TenantId, Timestamp,
    backend::search::Tokenizer,
};

use self::{call::Times, pool::Pool, search::Searching};
use crate::{OpenError, SqliteOptions, error::EngineError, reader_barrier::ReaderBarrier};

/// The readers of a store.
#[derive(Debug)]
pub(crate) struct Readers {
    pool: Pool,
    wait_limit: Duration,
    /// How often a read is tried while other processes change the file.
    attempts: u32,
    /// `None` without a full-text index.
    searching: Option<Searching>,
    indexed: IndexedMetadata,
}

/// The environment of a read.
#[derive(Clone, Copy)]
struct Scope<'a> {
    db: &'a Connection,
    tenant: &'a TenantId,
    now: Timestamp,
    /// The instant at which its caller stops waiting.
    deadline: Option<Instant>,
}

impl Readers {
    /// Opens one reader, and others on demand. The file exists, and a writer has it open.
    pub(crate) async fn open(
        options: &SqliteOptions,
        path: Arc<Path>,
        reader_barrier: Arc<ReaderBarrier>,
    ) -> Result<Self, OpenError> {
        let pool = Pool::open(path, false, options.readers, reader_barrier).await?;
        Ok(Self::new(options, pool, 1, options.search.then_some(options.tokenizer)))
    }

    /// Opens readers that change no file. The file exists.
    pub(crate) async fn open_read_only(
        options: &SqliteOptions,
        path: Arc<Path>,
        tokenizer: Option<Tokenizer>,
    ) -> Result<Self, OpenError> {
        let pool = Pool::open(path, true, options.readers, Arc::default()).await?;
        Ok(Self::new(options, pool, READ_ONLY_ATTEMPTS, tokenizer))
    }

    fn new(options: &SqliteOptions, pool: Pool, attempts: u32, tokenizer: Option<Tokenizer>) -> Self {
        let time_limit = options.search_time_limit;
        let searching = tokenizer.map(|tokenizer| Searching { tokenizer, time_limit });
        let indexed = options.indexed.clone();
        Self { pool, wait_limit: options.wait_limit, attempts, searching, indexed }
    }

    /// Answers a read.
    pub(crate) async fn read(
        &self,
        tenant: &TenantId,
        read: ReadArgs,
        deadline: Option<Instant>,
        now: Timestamp,
    ) -> Result<ReadResult> {
        let timeout_at = deadline.unwrap_or_else(|| Instant::now() + self.wait_limit);
        let searching = self.searching;
        let attempt = |read: ReadArgs| {
            let (of, indexed) = (tenant.clone(), self.indexed.clone());
            let work = move |db: &Connection| {
                answer(Scope { db, tenant: &of, now, deadline }, (searching, &indexed), &read)
            };
            self.pool.run(tenant.clone(), Times { timeout_at, deadline }, work)
        };
        for _ in 1..self.attempts {
            match attempt(read.clone()).await {
                Err(error) if is_changing(&error) => {}
                answer => return answer,
            }
        }
        attempt(read).await
    }

    /// Waits until every read has ended, and closes the readers.
    pub(crate) async fn close(&self) {
        self.pool.close().await;
    }
}

/// The attempts of a read of a closed store. Each failed one means that a process opened or closed the store meanwhile.
const READ_ONLY_ATTEMPTS: u32 = 5;

fn is_changing(error: &PersistError) -> bool {
    let source = std::error::Error::source(error).and_then(|source| source.downcast_ref());
    matches!(source, Some(EngineError::Changing))
}

/// The operation that a store without a full-text index does not support.
const WITHOUT_INDEX: &str = "a search of a store that was opened without `search(true)`";

/// Answers a read in the transaction of a reader.
fn answer(
    scope: Scope<'_>,
    (searching, indexed): (Option<Searching>, &IndexedMetadata),
    read: &ReadArgs,
) -> Result<ReadResult> {
    match read {
        ReadArgs::Get(read) => get::get(scope, read).map(ReadResult::Get),
        ReadArgs::Content(read) => content::tail(scope, read).map(ReadResult::Content),
        ReadArgs::Page(read) => page::page(scope, read).map(ReadResult::Page),
        ReadArgs::OpenReservations(read) => open::open(scope, read).map(ReadResult::OpenReservations),
        ReadArgs::Thread(read) => thread::entry(scope, read).map(ReadResult::Thread),
        ReadArgs::Threads(read) => threads::threads(scope, read).map(ReadResult::Threads),
        ReadArgs::PlanPrune(read) => prune::plan(scope, read).map(ReadResult::PlanPrune),
        ReadArgs::Tenants(read) => threads::tenants(scope, read).map(ReadResult::Tenants),
        ReadArgs::Purgeable(read) => threads::purgeable(scope, read).map(ReadResult::Purgeable),
        ReadArgs::Changes(read) => changes::changes(scope, read).map(ReadResult::Changes),
        ReadArgs::Audit(read) => audit::audit(scope, read).map(ReadResult::Audit),
        ReadArgs::Search(read) => match searching {
            Some(searching) => search::search(scope, searching, read).map(ReadResult::Search),
            None => Err(PersistError::unsupported(WITHOUT_INDEX)),
        },
        ReadArgs::Find(read) => find::find(scope, indexed, read).map(ReadResult::Find),
        ReadArgs::Cursor(read) => consumer::cursor(scope, read).map(ReadResult::Cursor),
        ReadArgs::Aliases(list) => aliases::aliases(scope, list).map(ReadResult::Aliases),
        ReadArgs::Quarantined(list) => consumer::quarantined(scope, list).map(ReadResult::Quarantined),
        ReadArgs::Resolve(read) => session::resolve(scope, read).map(ReadResult::Resolve),
        ReadArgs::Images(read) => images::images(scope, read).map(ReadResult::Images),
        ReadArgs::ReplicationStatus(_) => {
            images::replication_status(scope).map(ReadResult::ReplicationStatus)
        }
        ReadArgs::Attempts(list) => session::attempts(scope, list).map(ReadResult::Attempts),
        other => Err(PersistError::unsupported(format_args!("the read `{}`", other.as_str()))),
    }
}
