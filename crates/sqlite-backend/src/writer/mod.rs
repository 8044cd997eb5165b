//! The writer of a store: one thread that owns the writing connection.
//!
//! It takes the waiting writes, applies them in one transaction, commits, and only then answers. While it commits, the
//! writes of the next transaction gather in the queue.

mod batch;
mod begin;
mod blob_removal;
mod chunk_removal;
mod commit_watch;
mod compaction;
mod failure_tracker;
#[cfg(test)]
mod fault;
mod fence_transaction;
mod file_identity;
mod lock_yield;
mod lost;
mod progress;
mod space;
mod stuck_lock;
mod submission;
#[cfg(test)]
mod tests;
mod transaction;
mod wal;
mod worker;

use std::{
    path::Path,
    sync::{Arc, Mutex, PoisonError},
    thread,
};

use tempfile::TempDir;
use throughline_core::{
    Effect, ErrorKind, PersistError, Result,
    backend::{OwnerProcess, QueueCapacity},
    changes::{CommitNotifications, CommitNotifier},
};
use tokio::sync::oneshot;

use self::worker::Worker;
pub(crate) use self::{
    begin::begin_own,
    failure_tracker::PROBE_INTERVAL,
    file_identity::FileIdentity,
    progress::Progress,
    space::available,
    submission::Submission,
    wal::{length as wal_length, path_of as wal_path_of, with_suffix},
};
use crate::{
    OpenError, SqliteOptions, fork_barrier, health::HealthState, open, queue::Queue,
    reader_barrier::ReaderBarrier,
};

/// A handle of the writer. When it is dropped, the writer applies the admitted writes and ends.
#[derive(Debug)]
pub(crate) struct Writer {
    pub(crate) owner: OwnerProcess,
    pub(crate) submission: Submission,
    commits: CommitNotifier,
    ended: Mutex<Option<oneshot::Receiver<Result<()>>>>,
    thread: Option<thread::JoinHandle<()>>,
    /// The directory of the store is removed when the writer ends, and the drop of this handle waits for that.
    is_temporary: bool,
    #[cfg(test)]
    path: Arc<Path>,
    #[cfg(test)]
    pub(crate) faults: Arc<fault::Faults>,
    #[cfg(test)]
    pub(crate) failpoints: crate::failpoint::Failpoints,
}

impl Writer {
    /// Returns the commit notifications from now on.
    pub(crate) fn commit_notifications(&self) -> CommitNotifications {
        let commits = self.commits.subscribe();
        // A sleeping writer does not poll for commits of other processes.
        self.submission.queue.wake();
        commits
    }

    /// Starts the thread and opens the file on it.
    pub(crate) async fn start(
        options: &SqliteOptions,
        path: Arc<Path>,
        directory: Option<TempDir>,
        reader_barrier: Arc<ReaderBarrier>,
    ) -> Result<Self, OpenError> {
        let queue = Arc::<Queue>::default();
        let health_state = Arc::new(HealthState::new());
        reader_barrier.report_to(Arc::clone(&health_state));
        let commits = CommitNotifier::new();
        let is_temporary = directory.is_some();
        #[cfg(test)]
        let faults = fault::Faults::at(&options.failpoints);
        let (opened, on_opened) = oneshot::channel();
        let (end, ended) = oneshot::channel();
        let thread = thread::Builder::new().name("throughline-sqlite".to_owned()).spawn({
            let (path, queue, health_state) =
                (Arc::clone(&path), Arc::clone(&queue), Arc::clone(&health_state));
            let (options, commits) = (options.clone(), commits.clone());
            move || {
                let inside = fork_barrier::enter();
                let opened_store = match open::bootstrap(&path, &options, Arc::clone(&reader_barrier)) {
                    Ok(opened_store) => opened_store,
                    Err(error) => return drop(opened.send(Err(error))),
                };
                let mut worker =
                    Worker::new(&options, path, queue, health_state, opened_store, commits, reader_barrier);
                // Reports a disk that is short of space, and a WAL that an earlier process left long, before the first
                // write.
                worker.maintain_file();
                drop(inside);
                // Without the watchdog thread a hanging disk shows only in the health that a caller requests.
                drop(worker.health_state.watch(&worker.path));
                // The caller that opened the store may have left; the queue is closed then, and the thread ends.
                drop(opened.send(Ok(())));
                let result = worker.work();
                drop(directory);
                drop(end.send(result));
            }
        });
        let failed = |source| OpenError::Io { path: path.to_path_buf(), source };
        let writer = Self {
            owner: OwnerProcess::current(),
            submission: Submission {
                queue,
                admission: Arc::new(QueueCapacity::new(options.queue_operations, options.queue_bytes)),
                health_state,
            },
            commits,
            ended: Mutex::new(Some(ended)),
            thread: Some(thread.map_err(failed)?),
            is_temporary,
            #[cfg(test)]
            path: Arc::clone(&path),
            #[cfg(test)]
            faults,
            #[cfg(test)]
            failpoints: options.failpoints.clone(),
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

    /// Closes the queue to further writes. Returns after the writer has applied all admitted ones and closed the file.
    pub(crate) async fn close(&self) -> Result<()> {
        self.submission.close();
        let ended = self.ended.lock().unwrap_or_else(PoisonError::into_inner).take();
        match ended {
            Some(ended) => ended.await.unwrap_or_else(|_| Err(ended_by_panic())),
            None => Ok(()),
        }
    }
}

fn ended_by_panic() -> PersistError {
    let detail = "the writer panicked as it closed the file; every acknowledged write is in it";
    PersistError::new(ErrorKind::Panicked, detail).with_effect(Effect::Applied)
}

impl Drop for Writer {
    fn drop(&mut self) {
        if !self.owner.is_current() {
            // A forked child has no thread to stop, and a lock that the thread held stays locked.
            std::mem::forget(self.thread.take());
            return;
        }
        self.submission.close();
        if self.is_temporary
            && let Some(thread) = self.thread.take()
        {
            // The thread has handled and reported its panics.
            drop(thread.join());
        }
    }
}
