//! The call that the current thread polls.

use std::{cell::Cell, ptr, sync::Arc};

use super::CallState;

thread_local! {
    /// The call of the innermost layer that this thread calls or polls; null outside of a call.
    static AT_WORK: Cell<*const CallState> = const { Cell::new(ptr::null()) };
}

/// Marks this thread as working on a call until it is dropped.
#[must_use = "it ends when it is dropped"]
pub(crate) struct AtWork {
    before: *const CallState,
}

impl AtWork {
    #[inline]
    pub(crate) fn on(call: &Arc<CallState>) -> Self {
        Self { before: AT_WORK.replace(Arc::as_ptr(call)) }
    }

    /// Whether a layer on this thread forwards a foreign call: neither the call that it received, nor a child of that call. In a
    /// task that the layer spawned, the thread has no call, so that this returns `false`.
    #[inline]
    pub(crate) fn is_on_another(call: &Arc<CallState>) -> bool {
        let at_work = AT_WORK.get();
        !at_work.is_null() && !call.lineage().any(|call| ptr::eq(at_work, call))
    }
}

impl Drop for AtWork {
    #[inline]
    fn drop(&mut self) {
        AT_WORK.set(self.before);
    }
}
