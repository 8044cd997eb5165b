//! The reader of a change feed.

use std::{
    mem,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use pyo3::prelude::*;
use throughline::changes::{Change, ChangeFeed};
use tokio::{runtime::Handle, sync::Mutex as AsyncMutex};

use crate::{
    answer::Answer,
    completion::{OnCancel, block_on, start},
    error::raise,
    process::Owned,
    store::Opened,
};

/// A reader of the change feed, from a position on.
#[pyclass(frozen, module = "throughline._throughline")]
pub(crate) struct Feed {
    inner: Owned<Inner>,
    is_blocking: bool,
}

struct Inner {
    feed: Arc<AsyncMutex<ChangeFeed>>,
    read: Arc<ReadAhead>,
    opened: Arc<Opened>,
    runtime: Handle,
}

/// The changes that were read and not returned: a cancelled caller leaves them to the next one.
#[derive(Default)]
pub(crate) struct ReadAhead {
    changes: Mutex<Vec<Change>>,
    position: AtomicU64,
}

impl ReadAhead {
    fn is_empty(&self) -> bool {
        self.changes.lock().unwrap_or_else(PoisonError::into_inner).is_empty()
    }

    fn put(&self, changes: Vec<Change>) {
        self.changes.lock().unwrap_or_else(PoisonError::into_inner).extend(changes);
    }

    /// Takes the changes as a JSON array.
    pub(crate) fn take(&self) -> serde_json::Result<Vec<u8>> {
        let changes = mem::take(&mut *self.changes.lock().unwrap_or_else(PoisonError::into_inner));
        serde_json::to_vec(&changes)
    }
}

impl Feed {
    pub(crate) fn new(feed: ChangeFeed, opened: Arc<Opened>, runtime: Handle, is_blocking: bool) -> Self {
        let position = AtomicU64::new(feed.position().get());
        let read = Arc::new(ReadAhead { changes: Mutex::default(), position });
        let inner = Inner { feed: Arc::new(AsyncMutex::new(feed)), read, opened, runtime };
        Self { inner: Owned::new(inner), is_blocking }
    }
}

#[pymethods]
impl Feed {
    #[getter]
    fn position(&self, py: Python<'_>) -> PyResult<u64> {
        Ok(self.inner.get(py)?.read.position.load(Ordering::Relaxed))
    }

    /// Reads the next changes as a JSON array: with `wait` at least one, otherwise those that are there.
    fn next_batch(&self, py: Python<'_>, wait: bool) -> PyResult<Py<PyAny>> {
        let Inner { feed, read, opened, runtime } = self.inner.get(py)?;
        opened.get().map_err(|error| raise(py, &error))?;
        let (feed, read) = (Arc::clone(feed), Arc::clone(read));
        let work = async move {
            let mut feed = feed.lock().await;
            while read.is_empty() {
                let changes = feed.next_batch_now().await?;
                read.position.store(feed.position().get(), Ordering::Relaxed);
                let is_at_end = changes.is_empty();
                read.put(changes);
                if !is_at_end || !wait {
                    break;
                }
                feed.wait_for_commit().await;
            }
            drop(feed);
            Ok(Answer::Changes(read))
        };
        if self.is_blocking {
            let answer = block_on(py, runtime, false, Box::pin(work))?.map_err(|error| raise(py, &error))?;
            return answer.into_python(py);
        }
        start(py, OnCancel::Ends, Box::pin(work))
    }
}
