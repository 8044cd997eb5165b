//! Which call a thread is at work on.

use std::{cell::Cell, ptr, sync::Arc};

use super::CallState;

thread_local! {
    /// The call of the innermost layer that is being called or polled on this thread; null outside of any.
    static AT_WORK: Cell<*const CallState> = const { Cell::new(ptr::null()) };
}

/// While it lives, this thread is at work on a call.
#[must_use = "it ends when it is dropped"]
pub(crate) struct AtWork {
    before: *const CallState,
}

impl AtWork {
    pub(crate) fn on(call: &Arc<CallState>) -> Self {
        Self { before: AT_WORK.replace(Arc::as_ptr(call)) }
    }

    /// Whether a layer of this thread passes on the call of somebody else: neither the one it was given, nor one on behalf of
    /// that. In a task of the layer's own there is nothing to tell it by.
    pub(crate) fn is_on_another(call: &Arc<CallState>) -> bool {
        let at_work = AT_WORK.get();
        !at_work.is_null() && !call.lineage().any(|call| ptr::eq(at_work, call))
    }
}

impl Drop for AtWork {
    fn drop(&mut self) {
        AT_WORK.set(self.before);
    }
}
