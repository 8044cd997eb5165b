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
    fork_barrier,
    read_only::Access,
    reader_barrier::{Parked, ReaderBarrier},
};

/// The number of SQLite's virtual-machine steps between two checks of the caller and the deadline: a few rows.
pub(super) const STEPS_BETWEEN_LOOKS: i32 = 200;

pub(super) struct Reader {
    path: Arc<Path>,
    /// The access to a file that the store must not change. `None` before the first connection.
    access: Option<Access>,
    is_read_only: bool,
    waiting: Arc<Waiting>,
    reader_barrier: Arc<ReaderBarrier>,
    /// Wakes this reader and no other.
    wakeup: Arc<Condvar>,
    /// `None` before the first read, after a failure until the next read, and while the reader is idle and its
    /// connection is parked.
    connection: Option<Connection>,
    parked: Arc<Parked>,
    page_cache_reserve: PageCacheReserve,
    /// Whether the previous read was the only one, and its caller may send the next one at once.
    after_lone_read: bool,
    /// The call that it took from the queue at the end of the previous read.
    next: Option<Call>,
}

impl Reader {
    pub(super) fn new(
        path: Arc<Path>,
        is_read_only: bool,
        waiting: Arc<Waiting>,
        reader_barrier: Arc<ReaderBarrier>,
    ) -> Self {
        let (wakeup, page_cache_reserve, parked) =
            (Arc::default(), PageCacheReserve::default(), reader_barrier.park());
        Self {
            path,
            access: None,
            is_read_only,
            waiting,
            reader_barrier,
            wakeup,
            connection: None,
            parked,
            page_cache_reserve,
            after_lone_read: false,
            next: None,
        }
    }

    /// Opens the connection if there is none; a read does the same.
    pub(super) fn connect(&mut self) -> Result<&Connection, EngineError> {
        if self.is_read_only {
            let access = Access::of(&self.path)?;
            if self.access.as_ref() != Some(&access) {
                self.connection = None;
                self.access = Some(access);
            }
        }
        let connection = match (self.connection.take(), &self.access) {
            (Some(connection), _) => connection,
            (None, None) => connect_to_read(&self.path)?,
            (None, Some(access)) => access.connect(&self.path)?,
        };
        self.page_cache_reserve.make(&connection)?;
        Ok(self.connection.insert(connection))
    }

    /// Refuses the answer of a read during which another process opened the closed store.
    fn check_unchanged(&self) -> Result<()> {
        match &self.access {
            Some(access) if access.is_checked_after() && Access::of(&self.path)? != *access => {
                Err(EngineError::Changing.into())
            }
            _ => Ok(()),
        }
    }

    /// Makes the reader idle before its first read.
    pub(super) fn mark_idle(&mut self) {
        drop(self.parked.replace(self.connection.take()));
        let is_undiscovered = self.waiting.next_or_idle(&self.wakeup, None);
        debug_assert!(is_undiscovered.is_none());
    }

    /// Works until the pool is closed and the queue is empty.
    pub(super) fn work(mut self) {
        // Waking a caller runs code of the caller's runtime. A panic there must not affect the next read.
        while catch_unwind(AssertUnwindSafe(|| self.serve())).is_err() {}
        let _inside = fork_barrier::enter();
        drop(self);
    }

    fn serve(&mut self) {
        while let Some(call) =
            self.next.take().or_else(|| self.waiting.wait(&self.wakeup, self.after_lone_read))
        {
            let Call { tenant, work, stage, answer } = call;
            let result = stage.begin().then(|| self.read(work, &stage));
            self.after_lone_read = self.waiting.has_one_caller();
            // Before the answer, so that an answered caller finds its reader free.
            self.next = self.waiting.next_or_idle(&self.wakeup, Some(&tenant));
            if let Some(result) = result {
                // A caller that has left is no error.
                drop(answer.send(result));
            }
        }
    }

    /// Runs the work in a transaction, so that its answer is one snapshot.
    fn read(&mut self, work: Work, stage: &Arc<Stage>) -> Result<ReadResult> {
        let _on_sqlite = fork_barrier::enter();
        let reader_barrier = Arc::clone(&self.reader_barrier);
        // Held until the transaction has ended, also after a panic: until then the transaction blocks a checkpoint.
        let inside = reader_barrier.enter();
        let asked = Arc::clone(stage);
        self.connection = self.parked.replace(None);
        let read = || {
            let connection = self.connect()?;
            let begin = || {
                connection.progress_handler(
                    STEPS_BETWEEN_LOOKS,
                    Some(move || asked.is_cancelled() || asked.is_late()),
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
        let result = match self.check_unchanged() {
            Ok(()) => result,
            Err(changed) => {
                self.connection = None;
                Err(changed)
            }
        };
        let connection = self.connection.take().filter(|connection| end(connection).is_ok());
        drop(self.parked.replace(connection));
        // Before the search for the cause, which may read the file for a second: the writer does not wait for that.
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
    /// Adds the cause to the error of a read. SQLite reports a page that the disk could not read as damaged.
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

/// Ends the transaction of a read. It does so even if the caller has left: an open transaction would block every later
/// read.
fn end(connection: &Connection) -> rusqlite::Result<()> {
    connection.progress_handler(0, None::<fn() -> bool>)?;
    // A failure may have ended it already.
    if connection.is_autocommit() { Ok(()) } else { execute(connection, "ROLLBACK") }
}

fn execute(connection: &Connection, sql: &str) -> rusqlite::Result<()> {
    connection.prepare_cached(sql)?.execute([]).map(drop)
}
