//! A message, whose attributes are made when a program reads them.

use pyo3::{
    intern,
    prelude::*,
    types::{PyBytes, PyDict, PyString},
};
use throughline::{ids::AttachmentKey, messages};

use crate::{
    decode::Decoder,
    error::{invalid, raise},
    json,
};

/// A stored message.
#[pyclass(frozen, module = "throughline._throughline", eq, hash)]
#[derive(PartialEq)]
pub(crate) struct Message(throughline::Message);

impl std::hash::Hash for Message {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        (&self.0.thread, &self.0.id, self.0.revision).hash(state);
    }
}

impl Eq for Message {}

impl Message {
    pub(crate) const fn new(message: throughline::Message) -> Self {
        Self(message)
    }
}

/// Whether the JSON has an escape of a surrogate, which may have no other half.
fn may_have_lone_surrogates(json: &str) -> bool {
    json.contains("\\ud") || json.contains("\\uD")
}

/// Joins the texts of decoded blocks as [`throughline::Message::text`] does, but keeps lone surrogates, which a string of Python can
/// hold.
fn join_texts<'py>(blocks: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyString>> {
    let py = blocks.py();
    let mut texts = Vec::new();
    for block in blocks.try_iter()? {
        let block = block?;
        let text = match block.cast::<PyDict>() {
            Ok(members) => members.get_item(intern!(py, "text"))?,
            Err(_) => Some(block),
        };
        texts.extend(text.and_then(|text| text.cast_into::<PyString>().ok()).filter(|text| !is_empty(text)));
    }
    Ok(PyString::new(py, " ").call_method1(intern!(py, "join"), (texts,))?.cast_into()?)
}

fn is_empty(text: &Bound<'_, PyString>) -> bool {
    text.len().is_ok_and(|length| length == 0)
}

#[pymethods]
impl Message {
    #[staticmethod]
    fn from_json(json: &Bound<'_, PyAny>) -> PyResult<Self> {
        json::wire(json.py(), json::text_of(json)?, "the message").map(Self)
    }

    #[getter]
    fn id(&self) -> &str {
        self.0.id.as_str()
    }

    #[getter]
    fn thread(&self) -> &str {
        self.0.thread.as_str()
    }

    #[getter]
    fn tenant(&self) -> &str {
        self.0.tenant.as_str()
    }

    #[getter]
    const fn seq(&self) -> u64 {
        self.0.seq.get()
    }

    #[getter]
    fn role<'py>(&self, py: Python<'py>) -> Bound<'py, PyString> {
        PyString::intern(py, self.0.role.as_str())
    }

    #[getter]
    fn state<'py>(&self, py: Python<'py>) -> Bound<'py, PyString> {
        PyString::intern(py, self.0.state.as_str())
    }

    #[getter]
    const fn revision(&self) -> u64 {
        self.0.revision.get()
    }

    #[getter]
    fn content<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        Decoder::new(py).decode(self.0.content.as_json())
    }

    #[getter]
    fn content_json<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        PyBytes::new(py, self.0.content.as_json().as_bytes())
    }

    #[getter]
    fn text<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyString>> {
        let content = &self.0.content;
        let text = json::detached_if_long(py, content.byte_len(), || {
            (!may_have_lone_surrogates(content.as_json())).then(|| self.0.text())
        });
        match text {
            Some(text) => Ok(PyString::new(py, &text)),
            None => join_texts(&self.content(py)?),
        }
    }

    #[getter]
    fn metadata<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        Decoder::new(py).decode(&self.metadata_text(py)?)
    }

    #[getter]
    fn metadata_json<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyBytes>> {
        Ok(PyBytes::new(py, self.metadata_text(py)?.as_bytes()))
    }

    #[getter]
    fn attachments(&self) -> Vec<&str> {
        self.0.attachments.iter().map(AttachmentKey::as_str).collect()
    }

    #[getter]
    fn abandon_reason(&self) -> Option<&str> {
        self.0.abandon_reason.as_deref()
    }

    #[getter]
    fn created_at(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        json::time(py, self.0.created_at.as_micros())
    }

    #[getter]
    fn updated_at(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        json::time(py, self.0.updated_at.as_micros())
    }

    #[getter]
    const fn created_at_micros(&self) -> i64 {
        self.0.created_at.as_micros()
    }

    #[getter]
    const fn updated_at_micros(&self) -> i64 {
        self.0.updated_at.as_micros()
    }

    #[getter]
    fn json<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyBytes>> {
        let json = json::detached_if_long(py, self.0.content.byte_len(), || serde_json::to_vec(&self.0));
        let json =
            json.map_err(|error| raise(py, &invalid(format!("the message cannot be encoded: {error}"))))?;
        Ok(PyBytes::new(py, &json))
    }

    fn __repr__(&self) -> String {
        let throughline::Message { id, seq, role, state, .. } = &self.0;
        format!("<Message {:?} seq={} role={role} state={state}>", id.as_str(), seq.get())
    }
}

impl Message {
    fn metadata_text(&self, py: Python<'_>) -> PyResult<String> {
        serde_json::to_string(&self.0.metadata)
            .map_err(|error| raise(py, &invalid(format!("the metadata cannot be encoded: {error}"))))
    }
}

/// The answer to `add`.
#[pyclass(frozen, module = "throughline._throughline")]
pub(crate) struct Added(messages::Added);

impl Added {
    pub(crate) const fn new(added: messages::Added) -> Self {
        Self(added)
    }
}

#[pymethods]
impl Added {
    #[staticmethod]
    fn from_json(json: &Bound<'_, PyAny>) -> PyResult<Self> {
        json::wire(json.py(), json::text_of(json)?, "the answer to `add`").map(Self)
    }

    #[getter]
    fn message(&self) -> Message {
        Message(self.0.message.clone())
    }

    #[getter]
    fn id(&self) -> &str {
        self.0.message.id.as_str()
    }

    #[getter]
    const fn seq(&self) -> u64 {
        self.0.message.seq.get()
    }

    #[getter]
    const fn deduplicated(&self) -> bool {
        self.0.deduplicated
    }

    fn __repr__(&self) -> String {
        let messages::Added { message, deduplicated } = &self.0;
        let deduplicated = if *deduplicated { "True" } else { "False" };
        format!("<Added {:?} seq={} deduplicated={deduplicated}>", message.id.as_str(), message.seq.get())
    }
}

/// A message that the store cannot decode.
#[pyclass(frozen, module = "throughline._throughline")]
pub(crate) struct Damaged {
    #[pyo3(get)]
    id: Option<String>,
    #[pyo3(get)]
    seq: Option<u64>,
    #[pyo3(get)]
    detail: String,
}

impl Damaged {
    pub(crate) fn of(damaged: &messages::DamagedMessage) -> Self {
        Self {
            id: damaged.id.as_ref().map(|id| id.as_str().to_owned()),
            seq: damaged.seq.map(throughline::Seq::get),
            detail: damaged.to_error().detail().to_owned(),
        }
    }
}

#[pymethods]
impl Damaged {
    #[staticmethod]
    fn from_json(json: &Bound<'_, PyAny>) -> PyResult<Self> {
        json::wire(json.py(), json::text_of(json)?, "the damaged message").map(|damaged| Self::of(&damaged))
    }

    fn __repr__(&self) -> String {
        format!("<Damaged id={:?} seq={:?}: {}>", self.id, self.seq, self.detail)
    }
}
