//! The one writer of a store: a thread that owns the connection, and everything it answers for.
//!
//! It takes what waits, applies it in one transaction, commits, and only then answers. While it commits, the next
//! transaction's writes gather by themselves.

mod batch;
mod begin;
#[cfg(test)]
mod fault;
mod fence;
mod progress;
#[cfg(test)]
mod tests;
mod transaction;

pub(crate) use self::progress::Progress;
use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    path::Path,
    sync::{Arc, Mutex, PoisonError},
    thread,
    time::Duration,
};

use rusqlite::Connection;
use tempfile::TempDir;
use throughline_core::{Effect, ErrorKind, PersistError, Result};
use tokio::sync::oneshot;

use crate::{
    OpenError, SqliteOptions,
    error::{EngineError, Phase},
    failpoint::{Failpoint, Failpoints},
    open,
    queue::{Admission, Queue},
};

/// The hold on a writer. Dropped, the writer applies what was admitted and ends.
#[derive(Debug)]
pub(crate) struct Writer {
    pub(crate) queue: Arc<Queue>,
    pub(crate) admission: Admission,
    ended: Mutex<Option<oneshot::Receiver<Result<()>>>>,
    thread: Option<thread::JoinHandle<()>>,
    /// The store goes away with the writer, and whoever drops it waits for that.
    is_temporary: bool,
    #[cfg(test)]
    path: Arc<Path>,
    #[cfg(test)]
    pub(crate) faults: Arc<fault::Faults>,
}

/// The bounds of one transaction, and what a write is held to.
#[derive(Debug, Clone, Copy)]
struct Limits {
    operations: usize,
    bytes: usize,
    time: Duration,
    wait: Duration,
    max_content_bytes: u64,
}

/// The writer itself, on its thread.
struct Worker {
    path: Arc<Path>,
    queue: Arc<Queue>,
    limits: Limits,
    /// None after a failure, until it is opened again.
    connection: Option<Connection>,
    /// Names this writer in the file.
    id: i64,
    failpoints: Failpoints,
}

impl Writer {
    /// Starts the thread and opens the file on it.
    pub(crate) async fn start(
        options: &SqliteOptions,
        path: Arc<Path>,
        directory: Option<TempDir>,
    ) -> Result<Self, OpenError> {
        let queue = Arc::<Queue>::default();
        let limits = Limits {
            operations: options.batch_operations,
            bytes: options.batch_bytes,
            time: options.batch_time,
            wait: options.wait_limit,
            max_content_bytes: options.max_content_bytes,
        };
        let is_temporary = directory.is_some();
        let failpoints = options.failpoints.clone();
        #[cfg(test)]
        let faults = fault::Faults::at(&failpoints);
        let (opened, on_opened) = oneshot::channel();
        let (end, ended) = oneshot::channel();
        let thread = thread::Builder::new().name("throughline-sqlite".to_owned()).spawn({
            let (path, queue) = (Arc::clone(&path), Arc::clone(&queue));
            move || {
                let connection = match open::bootstrap(&path, limits.wait, &failpoints) {
                    Ok(connection) => connection,
                    Err(error) => return drop(opened.send(Err(error))),
                };
                // Whoever opened may have left; the queue is closed then, and the thread ends.
                drop(opened.send(Ok(())));
                let worker = Worker {
                    path,
                    queue,
                    limits,
                    connection: Some(connection),
                    id: fastrand::i64(1..),
                    failpoints,
                };
                let result = worker.work();
                drop(directory);
                drop(end.send(result));
            }
        });
        let failed = |source| OpenError::Io { path: path.to_path_buf(), source };
        let writer = Self {
            queue,
            admission: Admission::new(options.queue_operations, options.queue_bytes),
            ended: Mutex::new(Some(ended)),
            thread: Some(thread.map_err(failed)?),
            is_temporary,
            #[cfg(test)]
            path: Arc::clone(&path),
            #[cfg(test)]
            faults,
        };
        match on_opened.await {
            Ok(opened) => opened.map(|()| writer),
            Err(_) => Err(failed(std::io::Error::other("the thread of the writer ended"))),
        }
    }

    #[cfg(test)]
    fn path(&self) -> &Path {
        &self.path
    }

    /// Takes no further write, and answers when everything that was admitted was applied and the file was closed.
    pub(crate) async fn close(&self) -> Result<()> {
        self.stop();
        let ended = self.ended.lock().unwrap_or_else(PoisonError::into_inner).take();
        match ended {
            Some(ended) => ended.await.unwrap_or_else(|_| Err(ended_by_panic())),
            None => Ok(()),
        }
    }

    fn stop(&self) {
        self.admission.close();
        self.queue.close();
    }
}

fn ended_by_panic() -> PersistError {
    let detail = "the writer panicked as it closed the file; every acknowledged write is in it";
    PersistError::new(ErrorKind::Panicked, detail).with_effect(Effect::Applied)
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.stop();
        if self.is_temporary
            && let Some(thread) = self.thread.take()
        {
            // A panic was contained and answered where it happened.
            drop(thread.join());
        }
    }
}

impl Worker {
    /// Works until the queue is closed and empty, and closes the file.
    fn work(mut self) -> Result<()> {
        // A panic drops the writes in hand, which answers them, and what is left of the connection, which rolls back.
        while catch_unwind(AssertUnwindSafe(|| self.serve())).is_err() {
            self.connection = None;
        }
        self.finish()
    }

    fn serve(&mut self) {
        let mut took_one = false;
        while self.queue.wait(took_one) {
            took_one = self.begin() && self.transact() == 1;
        }
    }

    /// Folds the log into the file. Another process that is at work leaves some of it for later.
    fn finish(self) -> Result<()> {
        let Some(connection) = self.connection else { return Ok(()) };
        let failed = |error: EngineError| -> PersistError {
            let note = "every acknowledged write is in the log, which could not be folded into the file";
            error.to_persist(Phase::Begin).with_source(error).context(note)
        };
        let folded = self
            .failpoints
            .reach(Failpoint::Closing, &connection)
            .and_then(|()| connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())));
        match connection.close() {
            Ok(()) => {}
            Err((_, error)) => return Err(failed(error.into())),
        }
        match folded.map_err(EngineError::from) {
            Err(error) if !error.is_busy() => Err(failed(error)),
            _ => Ok(()),
        }
    }
}
