//! Whole numbers that Python passes. `Invalid` names an argument whose number is out of range.

use std::fmt::Display;

use pyo3::{
    exceptions::{PyOverflowError, PyTypeError},
    prelude::*,
};

use crate::error::{invalid, raise, wrong_type};

/// A type that holds the numbers of an argument.
pub(crate) trait Whole: for<'a, 'py> FromPyObject<'a, 'py, Error = PyErr> + Display {
    const MAX: Self;
}

impl Whole for u32 {
    const MAX: Self = Self::MAX;
}

impl Whole for u64 {
    const MAX: Self = Self::MAX;
}

impl Whole for usize {
    const MAX: Self = Self::MAX;
}

/// Takes the number of an argument. `None` stays `None`.
pub(crate) fn optional<T: Whole>(value: Option<&Bound<'_, PyAny>>, argument: &str) -> PyResult<Option<T>> {
    value.filter(|value| !value.is_none()).map(|value| whole(value, argument)).transpose()
}

/// Takes the number of an argument.
pub(crate) fn whole<T: Whole>(value: &Bound<'_, PyAny>, argument: &str) -> PyResult<T> {
    let py = value.py();
    value.extract().map_err(|error: PyErr| {
        if error.is_instance_of::<PyOverflowError>(py) {
            return raise(py, &invalid(format!("{argument}: {value} is not between 0 and {}", T::MAX)));
        }
        if error.is_instance_of::<PyTypeError>(py) {
            return wrong_type(format!("argument '{argument}': {}", error.value(py)));
        }
        error
    })
}
