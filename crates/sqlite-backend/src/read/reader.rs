//! One reader: a thread with a connection of its own.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    path::Path,
    sync::{Arc, Condvar},
};

use rusqlite::Connection;
use throughline_core::{Effect, ErrorKind, PersistError, ReadResult, Result};

use super::{
    call::{Call, Stage, Work},
    pool::Waiting,
};
use crate::{
    cache::PageCacheReserve,
    cause::Cause,
    connection::connect_to_read,
    error::EngineError,
    reader_barrier::{Parked, ReaderBarrier},
};

/// How many steps SQLite's machine does before it looks whether the caller still waits and the deadline has not passed: a few rows.
pub(super) const STEPS_BETWEEN_LOOKS: i32 = 200;

pub(super) struct Reader {
    path: Arc<Path>,
    waiting: Arc<Waiting>,
    reader_barrier: Arc<ReaderBarrier>,
    /// Wakes this reader and no other.
    bell: Arc<Condvar>,
    /// None before the first read, after a failure until the next one, and while nothing is read.
    connection: Option<Connection>,
    parked: Arc<Parked>,
    page_cache_reserve: PageCacheReserve,
    /// What it took from the line as it came to the end of the read before.
    next: Option<Call>,
}

impl Reader {
    pub(super) fn new(path: Arc<Path>, waiting: Arc<Waiting>, reader_barrier: Arc<ReaderBarrier>) -> Self {
        let (bell, page_cache_reserve, parked) =
            (Arc::default(), PageCacheReserve::default(), reader_barrier.park());
        Self { path, waiting, reader_barrier, bell, connection: None, parked, page_cache_reserve, next: None }
    }

    /// Opens the connection, which a read would do as well.
    pub(super) fn connect(&mut self) -> rusqlite::Result<&Connection> {
        let connection = match self.connection.take() {
            Some(connection) => connection,
            None => connect_to_read(&self.path)?,
        };
        self.page_cache_reserve.make(&connection)?;
        Ok(self.connection.insert(connection))
    }

    /// Counts as idle before there was anything to read.
    pub(super) fn stand_by(&mut self) {
        drop(self.parked.replace(self.connection.take()));
        let is_undiscovered = self.waiting.is_free(&self.bell, None);
        debug_assert!(is_undiscovered.is_none());
    }

    /// Works until the readers are closed and nobody waits.
    pub(super) fn work(mut self) {
        // To wake a caller runs code of the caller's runtime. What that does is nothing to the next one.
        while catch_unwind(AssertUnwindSafe(|| self.serve())).is_err() {}
    }

    fn serve(&mut self) {
        while let Some(call) = self.next.take().or_else(|| self.waiting.wait(&self.bell)) {
            let Call { tenant, work, stage, answer } = call;
            let result = stage.begin().then(|| self.read(work, &stage));
            // Before: a caller who has an answer finds the reader free that it had.
            self.next = self.waiting.is_free(&self.bell, Some(&tenant));
            if let Some(result) = result {
                // One who has left is no fault.
                drop(answer.send(result));
            }
        }
    }

    /// Does the work in a transaction, so that everything it finds is of one moment.
    fn read(&mut self, work: Work, stage: &Arc<Stage>) -> Result<ReadResult> {
        let reader_barrier = Arc::clone(&self.reader_barrier);
        // Until the transaction has ended, also after a panic: for that time it holds up the checkpoint.
        let inside = reader_barrier.enter();
        let asked = Arc::clone(stage);
        self.connection = self.parked.replace(None);
        let read = || {
            let connection = self.connect().map_err(EngineError::from)?;
            let begin = || {
                connection.progress_handler(
                    STEPS_BETWEEN_LOOKS,
                    Some(move || asked.is_left() || asked.is_late()),
                )?;
                execute(connection, "BEGIN")
            };
            begin().map_err(EngineError::from)?;
            work(connection)
        };
        let result = catch_unwind(AssertUnwindSafe(read)).unwrap_or_else(|_| {
            self.connection = None;
            let detail = "a read of the store panicked";
            Err(PersistError::new(ErrorKind::Panicked, detail).with_effect(Effect::NotApplied))
        });
        let connection = self.connection.take().filter(|connection| end(connection).is_ok());
        drop(self.parked.replace(connection));
        // Before the cause is looked for, which may read the file for a second: the writer does not wait for that.
        drop(inside);
        match result {
            Err(error) if error.kind() == ErrorKind::Cancelled && stage.is_late() => {
                Err(EngineError::ReadTimedOut.into())
            }
            result => result.map_err(|error| self.named(error)),
        }
    }
}

impl Reader {
    /// The error of a read. SQLite calls a page that the disk could not read damaged.
    fn named(&self, error: PersistError) -> PersistError {
        let source = std::error::Error::source(&error).and_then(|source| source.downcast_ref());
        let Some(EngineError::Sqlite { code, .. }) = source else { return error };
        let Some(cause) = Cause::of(*code, &self.path) else { return error };
        let caused = EngineError::Caused { code: *code, cause };
        if caused.is_unreadable() {
            self.reader_barrier.is_unreadable();
        }
        caused.into()
    }
}

/// Ends the transaction of a read. It is ended to its end also when nobody waits for the read: what is left open would be
/// in the way of every read that follows.
fn end(connection: &Connection) -> rusqlite::Result<()> {
    connection.progress_handler(0, None::<fn() -> bool>)?;
    // A failure may have ended it already.
    if connection.is_autocommit() { Ok(()) } else { execute(connection, "ROLLBACK") }
}

fn execute(connection: &Connection, sql: &str) -> rusqlite::Result<()> {
    connection.prepare_cached(sql)?.execute([]).map(drop)
}
