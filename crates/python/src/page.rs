//! A page of messages. Its values are made when a program asks for them, and long JSON without the interpreter lock.

use pyo3::{
    prelude::*,
    sync::PyOnceLock,
    types::{PyBytes, PyDict, PyList, PyString},
};
use throughline::messages::{self, PageFrom};

use crate::{
    decode::Decoder,
    error::{invalid, raise},
    json::detached_if_long,
    message::{Damaged, Message},
};

/// A page of the messages of a thread.
#[pyclass(frozen, module = "throughline._throughline")]
pub(crate) struct Page {
    page: messages::Page,
    is_forward: bool,
    messages: PyOnceLock<Py<PyList>>,
}

impl Page {
    pub(crate) const fn new(page: messages::Page, is_forward: bool) -> Self {
        Self { page, is_forward, messages: PyOnceLock::new() }
    }

    fn content_bytes(&self) -> usize {
        self.page.messages.iter().map(|message| message.content.byte_len() + 1).sum()
    }
}

#[pymethods]
impl Page {
    #[getter]
    fn messages<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyList>> {
        let made = self.messages.get_or_try_init(py, || {
            let each = self.page.messages.iter().map(|message| Message::new(message.clone()));
            let each: Vec<Py<Message>> = each.map(|message| Py::new(py, message)).collect::<PyResult<_>>()?;
            Ok::<_, PyErr>(PyList::new(py, each)?.unbind())
        })?;
        Ok(made.bind(py).clone())
    }

    #[getter]
    fn json<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyBytes>> {
        let encode = || {
            let mut json = Vec::with_capacity(self.content_bytes() + 512 * self.page.messages.len() + 2);
            serde_json::to_writer(&mut json, &self.page.messages).map(|()| json)
        };
        let json = detached_if_long(py, self.content_bytes(), encode);
        let json =
            json.map_err(|error| raise(py, &invalid(format!("the page cannot be encoded: {error}"))))?;
        Ok(PyBytes::new(py, &json))
    }

    #[getter]
    fn contents_json<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        let join = || {
            let mut json = Vec::with_capacity(self.content_bytes() + 2);
            json.push(b'[');
            for message in &self.page.messages {
                if json.len() > 1 {
                    json.push(b',');
                }
                json.extend_from_slice(message.content.as_json().as_bytes());
            }
            json.push(b']');
            json
        };
        PyBytes::new(py, &detached_if_long(py, self.content_bytes(), join))
    }

    /// Returns the content of each message, and the value under a name in its metadata, as Python values.
    #[pyo3(signature = (metadata, *, text = None))]
    #[expect(clippy::needless_pass_by_value, reason = "PyO3 extracts a tuple by value")]
    fn rows<'py>(
        &self,
        py: Python<'py>,
        metadata: &str,
        text: Option<(Bound<'py, PyString>, Bound<'py, PyString>)>,
    ) -> PyResult<Bound<'py, PyList>> {
        let mut decoder = Decoder::new(py);
        let mut rows = Vec::with_capacity(self.page.messages.len());
        for message in &self.page.messages {
            let content = message.content.as_json();
            let value =
                message.metadata.get(metadata).map(|value| decoder.decode(value.get())).transpose()?;
            if let (Some((member, marker)), Some(value)) = (&text, &value)
                && let Ok(value) = value.cast::<PyDict>()
                && value.get_item(member)?.is_some_and(|found| found.eq(marker).unwrap_or(false))
                && let Some(content) = decoder.decode_only_string(content)
            {
                value.set_item(member, content)?;
                rows.push((None, Some(value.clone().into_any())));
                continue;
            }
            rows.push((Some(decoder.decode(content)?), value));
        }
        PyList::new(py, rows)
    }

    #[getter]
    const fn has_more(&self) -> bool {
        self.page.has_more
    }

    #[getter]
    fn next(&self) -> Option<u64> {
        let from = if self.is_forward { PageFrom::Start } else { PageFrom::End };
        match self.page.next(from)? {
            PageFrom::After(seq) | PageFrom::Before(seq) => Some(seq.get()),
            PageFrom::Start | PageFrom::End => None,
        }
    }

    #[getter]
    const fn last_seq(&self) -> u64 {
        self.page.last_seq.get()
    }

    #[getter]
    fn first_open(&self) -> Option<u64> {
        self.page.first_open.map(throughline::Seq::get)
    }

    #[getter]
    const fn position(&self) -> u64 {
        self.page.position.get()
    }

    #[getter]
    fn damaged(&self) -> Vec<Damaged> {
        self.page.damaged.iter().map(Damaged::of).collect()
    }

    const fn __len__(&self) -> usize {
        self.page.messages.len()
    }

    const fn __bool__(&self) -> bool {
        !self.page.messages.is_empty()
    }

    fn __repr__(&self) -> String {
        let messages::Page { thread, messages, has_more, .. } = &self.page;
        let has_more = if *has_more { "True" } else { "False" };
        format!("<Page of {:?}: {} messages, has_more={has_more}>", thread.as_str(), messages.len())
    }
}
