//! Errors of the pipeline as exceptions of `throughline.errors`.

use std::{error::Error as StdError, fmt};

use pyo3::{
    PyTypeInfo as _,
    exceptions::{PyRuntimeError, PyTypeError},
    intern,
    prelude::*,
    sync::PyOnceLock,
    types::{PyDict, PyType},
};
use throughline::{BoxError, Effect, ErrorKind, IdempotencyKey, MessageId, OpKind, PersistError, ThreadId};

static BY_CODE: PyOnceLock<Py<PyDict>> = PyOnceLock::new();

fn class_of<'py>(py: Python<'py>, code: &str) -> PyResult<Bound<'py, PyAny>> {
    let by_code = BY_CODE.get_or_try_init(py, || {
        let classes = py.import("throughline.errors")?.getattr("BY_CODE")?;
        Ok::<_, PyErr>(classes.cast_into::<PyDict>()?.unbind())
    })?;
    match by_code.bind(py).get_item(code)? {
        Some(class) => Ok(class),
        None => by_code.bind(py).as_any().get_item("internal"),
    }
}

const fn effect(effect: Effect) -> &'static str {
    match effect {
        Effect::NotApplied => "notApplied",
        Effect::Applied => "applied",
        Effect::Unknown => "unknown",
    }
}

/// Makes the exception of an error, with the exception of a plugin as its cause.
pub(crate) fn raise(py: Python<'_>, error: &PersistError) -> PyErr {
    exception(py, error).map_or_else(|failed| failed, |exception| PyErr::from_value(exception))
}

fn exception<'py>(py: Python<'py>, error: &PersistError) -> PyResult<Bound<'py, PyAny>> {
    let raised = raised_by_plugin(error);
    if let Some(own) = raised.filter(|raised| raised.is_own) {
        return Ok(own.exception.bind(py).clone());
    }
    let facts = PyDict::new(py);
    facts.set_item(intern!(py, "detail"), error.detail())?;
    facts.set_item(intern!(py, "effect"), effect(error.effect()))?;
    facts.set_item(intern!(py, "site"), error.site().map(throughline::Site::name))?;
    facts.set_item(intern!(py, "retry_after"), error.retry_after().map(|after| after.as_secs_f64()))?;
    facts.set_item(intern!(py, "is_transient"), error.is_transient())?;
    facts.set_item(intern!(py, "key"), error.idempotency_key().map(IdempotencyKey::as_str))?;
    facts.set_item(intern!(py, "operation"), error.operation().map(OpKind::as_str))?;
    facts.set_item(intern!(py, "thread"), error.thread().map(ThreadId::as_str))?;
    facts.set_item(intern!(py, "message"), error.message().map(MessageId::as_str))?;
    facts.set_item(intern!(py, "batch_index"), error.batch_index())?;
    facts.set_item(intern!(py, "attempts"), error.attempts())?;
    let exception = class_of(py, error.code())?.call((text(error),), Some(&facts))?;
    if let Some(raised) = raised {
        exception.setattr(intern!(py, "__cause__"), raised.exception.bind(py))?;
    }
    Ok(exception)
}

/// Returns the text of an error with the texts of its sources, which an exception does not have otherwise.
fn text(error: &PersistError) -> String {
    let mut text = error.to_string();
    let mut source = StdError::source(error);
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text.push_str(": ");
            text.push_str(&cause_text);
        }
        source = cause.source();
    }
    text
}

/// Makes the exception for a handle of the parent of a forked process.
pub(crate) fn forked(py: Python<'_>) -> PyErr {
    let text = "this process was forked from the one that opened the store: open the store in the child, before any use, or fork \
                before a store is opened";
    let made = class_of(py, "forked").and_then(|class| class.call1((text,)));
    made.map_or_else(|failed| failed, PyErr::from_value)
}

/// Makes an `Invalid` for an argument.
pub(crate) fn invalid(detail: impl Into<String>) -> PersistError {
    PersistError::new(ErrorKind::Invalid, detail.into()).with_effect(Effect::NotApplied)
}

/// An exception that a plugin raised.
#[derive(Debug)]
pub(crate) struct Raised {
    exception: Py<PyAny>,
    /// Whether it is an error of a call of this package, which the caller receives as it is.
    is_own: bool,
    text: String,
}

impl fmt::Display for Raised {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl StdError for Raised {}

fn raised_by_plugin(error: &PersistError) -> Option<&Raised> {
    let mut source = StdError::source(error);
    while let Some(cause) = source {
        if let Some(raised) = cause.downcast_ref() {
            return Some(raised);
        }
        source = cause.source();
    }
    None
}

/// Makes the error of a call whose plugin raised an exception. The error of the rest of the pipeline, which the plugin let pass,
/// stays what it was.
pub(crate) fn of_plugin(
    py: Python<'_>,
    exception: &Bound<'_, PyAny>,
    passed: Option<PersistError>,
) -> PersistError {
    let name = |kind: &Bound<'_, PyType>| {
        kind.name().map_or_else(|_| "an exception".to_owned(), |name| name.to_string())
    };
    let kind = exception.get_type();
    let text = format!("raised {}", name(&kind));
    let is_cancelled = kind.is_subclass(&asyncio_cancelled(py)).unwrap_or(false);
    let code = exception.getattr(intern!(py, "code")).and_then(|code| code.extract::<String>());
    let is_own = base_class(py).is_ok_and(|base| exception.is_instance(&base).unwrap_or(false));
    if is_own {
        if let Some(passed) = passed {
            return passed;
        }
        let of_code = |code: &str| ErrorKind::ALL.iter().copied().find(|kind| kind.code() == code);
        let kind = code.ok().and_then(|code| of_code(&code)).unwrap_or(ErrorKind::Internal);
        let detail = exception.getattr(intern!(py, "detail")).and_then(|detail| detail.extract::<String>());
        let error = PersistError::new(kind, detail.unwrap_or(text));
        let effect = exception.getattr(intern!(py, "effect")).and_then(|effect| effect.extract::<String>());
        return match effect.as_deref() {
            Ok("applied") => error.with_effect(Effect::Applied),
            Ok("unknown") => error.with_effect(Effect::Unknown),
            // The pipeline knows how far the call has come.
            _ => error,
        };
    }
    let kind = if is_cancelled { ErrorKind::Cancelled } else { ErrorKind::Internal };
    let raised = Raised { exception: exception.clone().unbind(), is_own: false, text: text.clone() };
    PersistError::new(kind, text).with_source(BoxError::from(raised))
}

fn base_class(py: Python<'_>) -> PyResult<Bound<'_, PyAny>> {
    py.import("throughline.errors")?.getattr("ThroughlineError")
}

fn asyncio_cancelled(py: Python<'_>) -> Bound<'_, PyAny> {
    let class = py.import("asyncio").and_then(|asyncio| asyncio.getattr("CancelledError"));
    class.unwrap_or_else(|_| PyRuntimeError::type_object(py).into_any())
}

/// Makes a `TypeError`.
pub(crate) fn wrong_type(text: impl Into<String>) -> PyErr {
    PyTypeError::new_err(text.into())
}
