//! JSON that crosses between Python and the library, as text: numbers, doubled keys and their order survive.

use pyo3::{
    intern,
    prelude::*,
    sync::PyOnceLock,
    types::{PyBytes, PyString, PyTuple},
};
use serde_json::value::RawValue;
use throughline::{Content, MessageId, Metadata, PersistError};

use crate::error::{invalid, raise, wrong_type};

/// The length from which work on JSON releases the interpreter.
const LONG: usize = 64 * 1024;

static ENCODE: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
static ENCODE_ASCII: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
static LOADS: PyOnceLock<Py<PyAny>> = PyOnceLock::new();

fn encoder(py: Python<'_>, ascii: bool) -> PyResult<Py<PyAny>> {
    let options = pyo3::types::PyDict::new(py);
    options.set_item("ensure_ascii", ascii)?;
    options.set_item("allow_nan", false)?;
    options.set_item("separators", (",", ":"))?;
    Ok(py.import("json")?.getattr("JSONEncoder")?.call((), Some(&options))?.getattr("encode")?.unbind())
}

/// Encodes a value as JSON. A lone surrogate becomes an escape, which UTF-8 can hold.
fn encode(py: Python<'_>, value: &Bound<'_, PyAny>) -> PyResult<String> {
    let encode = ENCODE.get_or_try_init(py, || encoder(py, false))?;
    let text = encode.bind(py).call1((value,))?.cast_into::<PyString>()?;
    if let Ok(text) = text.to_str() {
        return Ok(text.to_owned());
    }
    let encode = ENCODE_ASCII.get_or_try_init(py, || encoder(py, true))?;
    Ok(encode.bind(py).call1((value,))?.cast_into::<PyString>()?.to_str()?.to_owned())
}

/// Decodes JSON with `json.loads`.
pub(crate) fn loads(py: Python<'_>, json: &str) -> PyResult<Py<PyAny>> {
    let loads =
        LOADS.get_or_try_init(py, || Ok::<_, PyErr>(py.import("json")?.getattr("loads")?.unbind()))?;
    loads.call1(py, (json,))
}

/// Whether work on a JSON text of this length takes long.
pub(crate) const fn is_long(length: usize) -> bool {
    length >= LONG
}

/// Runs work on `length` bytes, detached from the interpreter if it is long.
pub(crate) fn detached_if_long<T: Send>(py: Python<'_>, length: usize, work: impl FnOnce() -> T + Send) -> T {
    if is_long(length) { py.detach(work) } else { work() }
}

/// Takes content: a text, the bytes of a JSON array of blocks, or blocks.
pub(crate) fn content(value: &Bound<'_, PyAny>) -> PyResult<Content> {
    let py = value.py();
    let refused = |error: &dyn std::fmt::Display| raise(py, &invalid(format!("the content {error}")));
    if let Ok(text) = value.cast::<PyString>() {
        return match text.to_str() {
            Ok(text) => Ok(detached_if_long(py, text.len(), || Content::text(text))),
            Err(_) => {
                let block = format!("[{{\"type\":\"text\",\"text\":{}}}]", encode(py, value)?);
                Content::from_json(block).map_err(|error| refused(&error))
            }
        };
    }
    let json = match value.cast::<PyBytes>() {
        Ok(bytes) => match std::str::from_utf8(bytes.as_bytes()) {
            Ok(json) => json.to_owned(),
            Err(_) => return Err(refused(&"is not UTF-8")),
        },
        Err(_) => match encode(py, value) {
            Ok(json) => json,
            Err(error) => {
                let detail = format!("cannot be encoded as JSON: {}", error.value(py));
                let refused = refused(&detail);
                refused.set_cause(py, Some(error));
                return Err(refused);
            }
        },
    };
    detached_if_long(py, json.len(), || Content::from_json(json)).map_err(|error| refused(&error))
}

/// Takes the text of JSON: bytes, or a string.
pub(crate) fn text_of<'a>(value: &'a Bound<'_, PyAny>) -> PyResult<&'a str> {
    if let Ok(bytes) = value.cast::<PyBytes>() {
        return std::str::from_utf8(bytes.as_bytes())
            .map_err(|_| raise(value.py(), &invalid("the JSON is not UTF-8")));
    }
    match value.cast::<PyString>() {
        Ok(text) => text.to_str(),
        Err(_) => Err(wrong_type(format!("JSON is bytes or str, and not {}", value.get_type().name()?))),
    }
}

/// Takes metadata: a mapping, or the text of a JSON object. `None` is empty.
pub(crate) fn metadata(value: Option<&Bound<'_, PyAny>>) -> PyResult<Metadata> {
    let Some(value) = value.filter(|value| !value.is_none()) else { return Ok(Metadata::new()) };
    let py = value.py();
    let encoded;
    let json = if value.is_instance_of::<PyBytes>() || value.is_instance_of::<PyString>() {
        text_in(value, "metadata")?
    } else {
        encoded = encode(py, value).map_err(|error| {
            let refused =
                raise(py, &invalid(format!("the metadata cannot be encoded as JSON: {}", error.value(py))));
            refused.set_cause(py, Some(error));
            refused
        })?;
        &encoded
    };
    let metadata = detached_if_long(py, json.len(), || serde_json::from_str(json));
    metadata.map_err(|error| raise(py, &invalid(format!("the metadata is not a JSON object: {error}"))))
}

/// Decodes arguments in the wire format.
pub(crate) fn wire<'a, T: serde::Deserialize<'a> + Send>(
    py: Python<'_>,
    json: &'a str,
    subject: &str,
) -> PyResult<T> {
    detached_if_long(py, json.len(), || serde_json::from_str(json))
        .map_err(|error| raise(py, &unreadable(subject, &error)))
}

fn unreadable(subject: &str, error: &serde_json::Error) -> PersistError {
    invalid(format!("{subject} cannot be read: {error}"))
}

/// Returns the JSON of content.
#[pyfunction]
#[pyo3(name = "content_json", signature = (content))]
pub(crate) fn content_json<'py>(content: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyBytes>> {
    Ok(PyBytes::new(content.py(), self::content(content)?.as_json().as_bytes()))
}

/// Returns the text of an argument.
fn text_in<'a>(json: &'a Bound<'_, PyAny>, argument: &str) -> PyResult<&'a str> {
    let Ok(bytes) = json.cast::<PyBytes>() else { return text_of(json) };
    let failed = |error| raise(json.py(), &invalid(format!("{argument}: not UTF-8: {error}")));
    str::from_utf8(bytes.as_bytes()).map_err(failed)
}

/// Checks a JSON text that becomes a part of another one: it is exactly one value, and an object if one is needed.
#[pyfunction]
#[pyo3(signature = (json, argument, is_object))]
pub(crate) fn one_value<'py>(json: &Bound<'py, PyAny>, argument: &str, is_object: bool) -> PyResult<String> {
    let py = json.py();
    let text = text_in(json, argument)?;
    let value: &RawValue = serde_json::from_str(text)
        .map_err(|error| raise(py, &invalid(format!("{argument}: not one JSON value: {error}"))))?;
    if is_object && !value.get().starts_with('{') {
        return Err(raise(py, &invalid(format!("{argument}: not a JSON object"))));
    }
    Ok(value.get().to_owned())
}

/// Returns a new UUID of version 7.
#[pyfunction]
pub(crate) fn mint_id() -> String {
    MessageId::mint().as_str().to_owned()
}

fn at<'a>(json: &'a str, path: &Bound<'_, PyTuple>) -> PyResult<Option<&'a RawValue>> {
    let py = path.py();
    let mut value: &RawValue = wire(py, json, "the JSON")?;
    for name in path.iter() {
        let name = name.cast_into::<PyString>()?;
        let object: std::collections::HashMap<&str, &RawValue> = match serde_json::from_str(value.get()) {
            Ok(object) => object,
            // Another kind of value, or keys with escapes, which no name of the wire format has.
            Err(_) => return Ok(None),
        };
        let Some(&found) = object.get(name.to_str()?) else { return Ok(None) };
        value = found;
    }
    Ok(Some(value))
}

/// Returns the JSON text of a field of nested objects.
#[pyfunction]
#[pyo3(signature = (json, *path))]
pub(crate) fn raw_get<'py>(
    json: &Bound<'py, PyAny>,
    path: &Bound<'py, PyTuple>,
) -> PyResult<Option<Bound<'py, PyBytes>>> {
    let found = at(text_of(json)?, path)?;
    Ok(found.map(|value| PyBytes::new(json.py(), value.get().as_bytes())))
}

/// Returns the JSON text of each item of an array in nested objects.
#[pyfunction]
#[pyo3(signature = (json, *path))]
pub(crate) fn raw_items<'py>(
    json: &Bound<'py, PyAny>,
    path: &Bound<'py, PyTuple>,
) -> PyResult<Vec<Bound<'py, PyBytes>>> {
    let py = json.py();
    let Some(array) = at(text_of(json)?, path)? else { return Ok(Vec::new()) };
    let items: Vec<&RawValue> = wire(py, array.get(), "the array")?;
    Ok(items.into_iter().map(|item| PyBytes::new(py, item.get().as_bytes())).collect())
}

/// Returns a time as a `datetime` in UTC.
pub(crate) fn time(py: Python<'_>, micros: i64) -> PyResult<Py<PyAny>> {
    static TIME: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    let time = TIME.get_or_try_init(py, || {
        Ok::<_, PyErr>(py.import("throughline.models")?.getattr(intern!(py, "_time"))?.unbind())
    })?;
    time.call1(py, (micros,))
}
