//! What waits for the writer: admitted writes, in the order in which they came.

mod admission;
mod delivery;
mod pending;

use std::{
    collections::VecDeque,
    sync::{Condvar, Mutex, MutexGuard, PoisonError},
    time::Instant,
};

pub(crate) use self::{
    admission::{Admission, Slot, closed},
    delivery::Delivery,
    pending::{Committed, Pending, Reply, Stage, Times, Write},
};

/// A queue with one reader, the writer's thread. Its bounds are kept by [`Admission`].
#[derive(Debug, Default)]
pub(crate) struct Queue {
    state: Mutex<State>,
    arrived: Condvar,
}

#[derive(Debug, Default)]
struct State {
    waiting: VecDeque<Pending>,
    /// The writer sleeps and has to be woken.
    asleep: bool,
    closed: bool,
}

impl Queue {
    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing panics while it holds the lock, and every change is whole.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a write at the end; a closed queue answers it that the store is closed.
    pub(crate) fn push(&self, pending: Pending) {
        let mut state = self.state();
        if state.closed {
            drop(state);
            return pending.answer(Err(closed()));
        }
        state.waiting.push_back(pending);
        self.changed(state);
    }

    /// Puts writes back that were taken too early, in their order.
    pub(crate) fn put_back(&self, writes: Vec<Pending>) {
        let mut state = self.state();
        for pending in writes.into_iter().rev() {
            state.waiting.push_front(pending);
        }
    }

    /// Takes the first write, if `fits` says so.
    pub(crate) fn pop_if(&self, fits: impl FnOnce(&Pending) -> bool) -> Option<Pending> {
        let mut state = self.state();
        if state.waiting.front().is_some_and(fits) { state.waiting.pop_front() } else { None }
    }

    /// Takes every write that has waited long enough at `now`, or that nobody waits for.
    pub(crate) fn take_given_up(&self, now: Instant) -> Vec<Pending> {
        let mut state = self.state();
        let over = |pending: &Pending| pending.times.give_up <= now || pending.is_abandoned();
        if !state.waiting.iter().any(over) {
            return Vec::new();
        }
        let (given_up, waiting) = state.waiting.drain(..).partition(over);
        state.waiting = waiting;
        Vec::from(given_up)
    }

    /// Takes every write.
    pub(crate) fn take_all(&self) -> Vec<Pending> {
        self.state().waiting.drain(..).collect()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.state().waiting.is_empty()
    }

    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.state().waiting.len()
    }

    /// Waits for a write. False when there is none and there will be none.
    ///
    /// It sleeps at once: looking out for a while first was measured to win nothing, also for a single caller.
    pub(crate) fn wait(&self) -> bool {
        let mut state = self.state();
        loop {
            if !state.waiting.is_empty() {
                return true;
            }
            if state.closed {
                return false;
            }
            state.asleep = true;
            state = self.arrived.wait(state).unwrap_or_else(PoisonError::into_inner);
            state.asleep = false;
        }
    }

    /// Takes no further write. What was admitted is still applied.
    pub(crate) fn close(&self) {
        let mut state = self.state();
        state.closed = true;
        self.changed(state);
    }

    fn changed(&self, state: MutexGuard<'_, State>) {
        let asleep = state.asleep;
        drop(state);
        if asleep {
            self.arrived.notify_one();
        }
    }
}
