//! The answers of calls, before they are Python objects.

use std::sync::Arc;

use pyo3::{
    prelude::*,
    types::{PyBytes, PyTuple},
};
use serde::Serialize;
use throughline::{
    Message, PersistError, Result, TenantId,
    messages::{Added, ContentUpdated, Page, Watermark},
};

use crate::{
    draft::{DraftParts, DraftWriter},
    engine::Engine,
    error::{invalid, raise},
    feed::ReadAhead,
    message, page,
    store::Opened,
};

/// The answer of a call. The thread of the caller makes the object, all of a batch at once.
pub(crate) enum Answer {
    Nothing,
    Number(u64),
    Json(Vec<u8>),
    Added(Added),
    Message(Option<Message>),
    Page {
        page: Page,
        is_forward: bool,
    },
    Settled(ContentUpdated),
    Watermark(Watermark),
    Draft(Box<DraftParts>),
    /// The changes that a feed has read. They leave it when the caller has them.
    Changes(Arc<ReadAhead>),
    Engine {
        opened: Arc<Opened>,
        tenant: TenantId,
        is_blocking: bool,
    },
}

impl Answer {
    /// Returns the JSON of a value, which the caller's thread did not have to encode.
    pub(crate) fn json(value: &impl Serialize) -> Result<Self> {
        serde_json::to_vec(value).map(Self::Json).map_err(|error| {
            let detail = format!("the answer cannot be encoded: {error}");
            PersistError::new(throughline::ErrorKind::Internal, detail)
        })
    }

    /// Makes the object.
    pub(crate) fn into_python(self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        Ok(match self {
            Self::Nothing => py.None(),
            Self::Number(number) => number.into_pyobject(py)?.into_any().unbind(),
            Self::Json(json) => PyBytes::new(py, &json).into_any().unbind(),
            Self::Added(added) => Py::new(py, message::Added::new(added))?.into_any(),
            Self::Message(None) => py.None(),
            Self::Message(Some(found)) => Py::new(py, message::Message::new(found))?.into_any(),
            Self::Page { page, is_forward } => Py::new(py, page::Page::new(page, is_forward))?.into_any(),
            Self::Settled(ContentUpdated { thread, id, revision, state, deduplicated }) => {
                let facts = (thread.as_str(), id.as_str(), revision.get(), state.as_str(), deduplicated);
                facts.into_pyobject(py)?.into_any().unbind()
            }
            Self::Watermark(Watermark { bytes, revision }) => {
                PyTuple::new(py, [bytes, revision.get()])?.into_any().unbind()
            }
            Self::Changes(read) => {
                let json = read.take().map_err(|error| {
                    raise(py, &invalid(format!("the changes cannot be encoded: {error}")))
                })?;
                PyBytes::new(py, &json).into_any().unbind()
            }
            Self::Draft(parts) => Py::new(py, DraftWriter::new(*parts))?.into_any(),
            Self::Engine { opened, tenant, is_blocking } => {
                Py::new(py, Engine::new(opened, tenant, is_blocking))?.into_any()
            }
        })
    }

    /// Drops an answer whose caller has left.
    pub(crate) fn discard(self) {
        match self {
            Self::Draft(parts) => parts.abandon(),
            Self::Engine { opened, .. } => opened.close_in_background(),
            _ => {}
        }
    }
}
