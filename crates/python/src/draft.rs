//! The writer of a draft.

use std::sync::Arc;

use pyo3::prelude::*;
use throughline::{Draft, Result, messages::Watermark};
use tokio::{
    runtime::Handle,
    sync::{Mutex as AsyncMutex, watch},
};

use crate::{
    answer::Answer,
    completion::{OnCancel, block_on, start},
    error::raise,
    json,
    message::Message,
    process::Owned,
    store::Opened,
};

/// A reserved draft, on its way to its program.
pub(crate) struct DraftParts {
    pub(crate) draft: Draft,
    pub(crate) opened: Arc<Opened>,
    pub(crate) runtime: Handle,
    pub(crate) is_blocking: bool,
}

impl DraftParts {
    /// Abandons a message whose program has left before it had the draft.
    pub(crate) fn abandon(self) {
        let Self { mut draft, opened, runtime, .. } = self;
        drop(runtime.spawn(async move {
            // A message that stays open is recovered when its lease expires.
            drop(draft.abandon("the caller was cancelled").await);
            drop(opened);
        }));
    }
}

/// The writer of one open message.
#[pyclass(frozen, module = "throughline._throughline")]
pub(crate) struct DraftWriter {
    inner: Owned<Inner>,
    message: throughline::Message,
    deduplicated: bool,
    is_blocking: bool,
}

struct Inner {
    /// Its calls run one at a time, in their order.
    draft: Arc<AsyncMutex<Draft>>,
    watermark: watch::Receiver<Watermark>,
    runtime: Handle,
    /// Keeps the store open.
    _opened: Arc<Opened>,
}

impl DraftWriter {
    pub(crate) fn new(parts: DraftParts) -> Self {
        let DraftParts { draft, opened, runtime, is_blocking } = parts;
        let (message, deduplicated, watermark) =
            (draft.reserved().clone(), draft.deduplicated(), draft.watch());
        let draft = Arc::new(AsyncMutex::new(draft));
        let inner = Inner { draft, watermark, runtime, _opened: opened };
        Self { inner: Owned::new(inner), message, deduplicated, is_blocking }
    }

    fn call<F>(&self, py: Python<'_>, work: impl FnOnce(Arc<AsyncMutex<Draft>>) -> F) -> PyResult<Py<PyAny>>
    where
        F: Future<Output = Result<Answer>> + Send + 'static,
    {
        let inner = self.inner.get(py)?;
        let work = Box::pin(work(Arc::clone(&inner.draft)));
        if self.is_blocking {
            let answer = block_on(py, &inner.runtime, true, work)?.map_err(|error| raise(py, &error))?;
            return answer.into_python(py);
        }
        start(py, OnCancel::Leaves, work)
    }
}

#[pymethods]
impl DraftWriter {
    #[getter]
    fn message(&self) -> Message {
        Message::new(self.message.clone())
    }

    #[getter]
    const fn deduplicated(&self) -> bool {
        self.deduplicated
    }

    #[getter]
    fn committed(&self, py: Python<'_>) -> PyResult<(u64, u64)> {
        let Watermark { bytes, revision } = *self.inner.get(py)?.watermark.borrow();
        Ok((bytes, revision.get()))
    }

    fn append(&self, py: Python<'_>, text: &Bound<'_, PyAny>) -> PyResult<Py<PyAny>> {
        if let Ok(text) = text.extract::<String>() {
            return self.call(py, |draft| async move {
                draft.lock().await.append(text).await?;
                Ok(Answer::Nothing)
            });
        }
        let blocks = json::content(text)?;
        self.call(py, |draft| async move {
            draft.lock().await.append_blocks(blocks).await?;
            Ok(Answer::Nothing)
        })
    }

    fn replace(&self, py: Python<'_>, content: &Bound<'_, PyAny>) -> PyResult<Py<PyAny>> {
        let content = json::content(content)?;
        self.call(py, |draft| async move {
            draft.lock().await.replace(content).await?;
            Ok(Answer::Nothing)
        })
    }

    fn flush(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        self.call(py, |draft| async move { Ok(Answer::Watermark(draft.lock().await.flush().await?)) })
    }

    fn finish(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        self.call(py, |draft| async move { Ok(Answer::Settled(draft.lock().await.finish().await?)) })
    }

    fn abandon(&self, py: Python<'_>, reason: String) -> PyResult<Py<PyAny>> {
        self.call(py, |draft| async move { Ok(Answer::Settled(draft.lock().await.abandon(reason).await?)) })
    }

    fn __repr__(&self) -> String {
        format!("<DraftWriter of {:?}>", self.message.id.as_str())
    }
}
