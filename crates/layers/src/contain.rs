//! Code of the host that must not fail a call.

use std::panic::{AssertUnwindSafe, catch_unwind};

/// Runs a hook and contains its panic: `None` when it panicked.
pub(crate) fn contain_panic<T>(hook: impl FnOnce() -> T) -> Option<T> {
    catch_unwind(AssertUnwindSafe(hook)).ok()
}
