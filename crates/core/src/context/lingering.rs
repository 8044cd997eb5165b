//! Writes that outlive the attempt that made them keep their call's place at the gate.

use std::sync::{
    Arc, Mutex, MutexGuard, PoisonError,
    atomic::{AtomicBool, Ordering},
};

use tokio::sync::OwnedSemaphorePermit;

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
    /// The place of the call, once the call itself has ended.
    place: Option<OwnedSemaphorePermit>,
}

impl Lingering {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The call has ended: its place is free when the last of its writes is over.
    pub(super) fn leave(&self, place: OwnedSemaphorePermit) {
        if !self.any.load(Ordering::Acquire) {
            return;
        }
        let mut state = self.lock();
        if state.writes > 0 {
            state.place = Some(place);
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
        if state.writes == 0 {
            state.place = None;
        }
    }
}
