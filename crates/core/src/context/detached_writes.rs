//! Detached writes: writes that outlive their attempt keep the permits of their call.

use std::sync::{
    Arc, Mutex, MutexGuard, PoisonError,
    atomic::{AtomicBool, Ordering},
};

use super::CallState;

/// The detached writes of a call: a layer stopped waiting for them, and they still run.
#[derive(Default)]
pub(super) struct DetachedWrites {
    /// Whether there was ever a detached write. Most calls end without a look at `state`.
    any: AtomicBool,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    writes: usize,
    /// The permits of the call, after the call itself has ended.
    held: Vec<Box<dyn Send>>,
}

impl DetachedWrites {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ends the call. `held` is dropped when the last detached write has ended.
    pub(super) fn leave(&self, held: impl Send + 'static) {
        if !self.any.load(Ordering::Acquire) {
            return;
        }
        let mut state = self.lock();
        if state.writes > 0 {
            state.held.push(Box::new(held));
        }
    }
}

/// One detached write.
pub(crate) struct DetachedWrite(Arc<CallState>);

impl DetachedWrite {
    pub(super) fn new(call: &Arc<CallState>) -> Self {
        let detached_writes = &call.outermost().detached_writes;
        detached_writes.any.store(true, Ordering::Release);
        detached_writes.lock().writes += 1;
        Self(Arc::clone(call))
    }
}

impl Drop for DetachedWrite {
    fn drop(&mut self) {
        let mut state = self.0.outermost().detached_writes.lock();
        state.writes -= 1;
        let held = if state.writes == 0 { std::mem::take(&mut state.held) } else { Vec::new() };
        // The drop of a permit takes other locks.
        drop(state);
        drop(held);
    }
}
