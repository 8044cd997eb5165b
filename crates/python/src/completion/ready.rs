//! The answer of a call that completed at once.

use std::sync::{Mutex, MutexGuard, PoisonError};

use pyo3::{exceptions::PyStopIteration, prelude::*, sync::PyOnceLock};

/// An answer that is there: awaiting it suspends the task for one turn of its loop, or not at all.
#[pyclass(frozen, module = "throughline._throughline")]
pub(crate) struct Ready(Option<Mutex<Answered>>);

/// An answer, until its task has it.
struct Answered {
    answer: Option<Py<PyAny>>,
    suspends: bool,
}

impl Ready {
    /// Returns an awaitable for this answer.
    pub(crate) fn with(py: Python<'_>, answer: Py<PyAny>) -> PyResult<Py<PyAny>> {
        static NOTHING: PyOnceLock<Py<Ready>> = PyOnceLock::new();
        if answer.is_none(py) {
            let nothing = NOTHING.get_or_try_init(py, || Py::new(py, Self(None)))?;
            return Ok(nothing.clone_ref(py).into_any());
        }
        Self::made(py, answer, false)
    }

    /// Returns an awaitable for this answer that lets the other tasks of the loop run first.
    pub(crate) fn after_a_turn(py: Python<'_>, answer: Py<PyAny>) -> PyResult<Py<PyAny>> {
        Self::made(py, answer, true)
    }

    fn made(py: Python<'_>, answer: Py<PyAny>, suspends: bool) -> PyResult<Py<PyAny>> {
        let answered = Answered { answer: Some(answer), suspends };
        Ok(Py::new(py, Self(Some(Mutex::new(answered))))?.into_any())
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

    fn __next__(&self, py: Python<'_>) -> PyResult<Option<Py<PyAny>>> {
        let Some(answered) = &self.0 else { return Ok(None) };
        let mut answered: MutexGuard<'_, Answered> = answered.lock().unwrap_or_else(PoisonError::into_inner);
        if answered.suspends {
            answered.suspends = false;
            // A task that gets None goes on in the next turn of its loop.
            return Ok(Some(py.None()));
        }
        match answered.answer.take() {
            Some(answer) => Err(PyStopIteration::new_err((answer,))),
            None => Ok(None),
        }
    }
}
