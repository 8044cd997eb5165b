//! Writes that outlive the attempt that made them keep what their call holds: its place at the gate, its turn in a thread.

use std::sync::{
    Arc, Mutex, MutexGuard, PoisonError,
    atomic::{AtomicBool, Ordering},
};

use super::CallState;

/// The writes of a call that a layer has stopped waiting for and that go on.
#[derive(Default)]
pub(super) struct Lingering {
    /// Whether there has ever been one: most calls end without a look at the rest.
    any: AtomicBool,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    writes: usize,
    /// What the call holds, once the call itself has ended.
    held: Vec<Box<dyn Send>>,
}

impl Lingering {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The call has ended: what it holds is let go when the last of its writes is over.
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

/// One write that goes on by itself.
pub(crate) struct Lingers(Arc<CallState>);

impl Lingers {
    pub(super) fn new(call: &Arc<CallState>) -> Self {
        let lingering = &call.outermost().lingering;
        lingering.any.store(true, Ordering::Release);
        lingering.lock().writes += 1;
        Self(Arc::clone(call))
    }
}

impl Drop for Lingers {
    fn drop(&mut self) {
        let mut state = self.0.outermost().lingering.lock();
        state.writes -= 1;
        let held = if state.writes == 0 { std::mem::take(&mut state.held) } else { Vec::new() };
        // Letting go takes locks of its own.
        drop(state);
        drop(held);
    }
}
