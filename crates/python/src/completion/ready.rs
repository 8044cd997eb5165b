//! The answer of a call that completed at once.

use std::sync::{Mutex, PoisonError};

use pyo3::{exceptions::PyStopIteration, prelude::*, sync::PyOnceLock};

/// An answer that is there: awaiting it does not suspend the task.
#[pyclass(frozen, module = "throughline._throughline")]
pub(crate) struct Ready(Option<Mutex<Option<Py<PyAny>>>>);

impl Ready {
    /// Returns an awaitable for this answer.
    pub(crate) fn with(py: Python<'_>, answer: Py<PyAny>) -> PyResult<Py<PyAny>> {
        static NOTHING: PyOnceLock<Py<Ready>> = PyOnceLock::new();
        if answer.is_none(py) {
            let nothing = NOTHING.get_or_try_init(py, || Py::new(py, Self(None)))?;
            return Ok(nothing.clone_ref(py).into_any());
        }
        Ok(Py::new(py, Self(Some(Mutex::new(Some(answer)))))?.into_any())
    }
}

#[pymethods]
impl Ready {
    fn __await__(this: PyRef<'_, Self>) -> PyRef<'_, Self> {
        this
    }

    fn __iter__(this: PyRef<'_, Self>) -> PyRef<'_, Self> {
        this
    }

    fn __next__(&self) -> PyResult<Option<Py<PyAny>>> {
        let Some(answer) = &self.0 else { return Ok(None) };
        match answer.lock().unwrap_or_else(PoisonError::into_inner).take() {
            Some(answer) => Err(PyStopIteration::new_err((answer,))),
            None => Ok(None),
        }
    }
}
