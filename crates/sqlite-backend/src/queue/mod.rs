//! What waits for the writer: admitted writes, a tenant's in the order in which they came.

mod adaptive_spin;
mod pending;

use std::{
    hint, mem,
    sync::{Condvar, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use self::adaptive_spin::is_multicore;
pub(crate) use self::{
    adaptive_spin::AdaptiveSpin,
    pending::{Committed, Pending, Stage, Times, Work, Write},
};
use throughline_core::backend::closed;

use crate::fair_queue::FairQueue;

/// How long the writer stays awake for a lone caller, who has an answer and may have a next write: about what it costs
/// to be woken.
const WRITER_SPIN: Duration = Duration::from_micros(100);

/// Why the writer is awake.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Woken {
    /// There is something to write.
    ForWrites,
    /// Nobody has written for a while.
    Idle,
    /// There is nothing to write, and there will be nothing.
    Closed,
}

/// A queue with one reader, the writer's thread. Its bounds are kept by [`Admission`].
#[derive(Debug, Default)]
pub(crate) struct Queue {
    state: Mutex<QueueState>,
    arrived: Condvar,
}

#[derive(Debug, Default)]
struct QueueState {
    waiting: FairQueue<Pending>,
    /// The writer sleeps, and nobody has woken it yet.
    is_asleep: bool,
    /// The last write came within the time in which the writer could have waited for it awake.
    came_within_spin: bool,
    /// The writer is to have a look at how long it may sleep.
    is_woken: bool,
    closed: bool,
}

impl Queue {
    fn state(&self) -> MutexGuard<'_, QueueState> {
        // Nothing panics while it holds the lock, and every change is whole.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a write at the end of its tenant's; a closed queue answers it that the store is closed.
    pub(crate) fn push(&self, pending: Pending) {
        let mut state = self.state();
        if state.closed {
            drop(state);
            return pending.answer(Err(closed()));
        }
        state.waiting.push(pending);
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
        self.state().waiting.pop_if(fits)
    }

    /// Takes every write that has waited long enough at `now`, or that nobody waits for.
    pub(crate) fn take_timed_out(&self, now: Instant) -> Vec<Pending> {
        self.state().waiting.take_if(|pending| pending.times.timeout_at <= now || pending.is_abandoned())
    }

    /// Takes every write.
    pub(crate) fn take_all(&self) -> Vec<Pending> {
        self.state().waiting.take_if(|_| true)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.state().waiting.is_empty()
    }

    /// How many writes wait.
    pub(crate) fn len(&self) -> usize {
        self.state().waiting.len()
    }

    /// Waits for a write, for as long as `idle` if there is such a time.
    ///
    /// After a lone caller the writer looks out for a moment before it sleeps, if that was worth it the last time: see
    /// [`AdaptiveSpin`]. After several it sleeps at once, so that their next writes gather.
    pub(crate) fn wait(&self, after_a_lone_caller: bool, idle: Option<Duration>) -> Woken {
        let mut state = self.state();
        if !state.waiting.is_empty() {
            return Woken::ForWrites;
        }
        let begun = Instant::now();
        if after_a_lone_caller && state.came_within_spin && is_multicore() {
            while state.waiting.is_empty() && !state.closed && begun.elapsed() < WRITER_SPIN {
                drop(state);
                for _ in 0..16 {
                    hint::spin_loop();
                }
                state = self.state();
            }
        }
        while state.waiting.is_empty() && !state.closed {
            let left = idle.map(|idle| idle.saturating_sub(begun.elapsed()));
            if left.is_some_and(|left| left.is_zero()) || mem::take(&mut state.is_woken) {
                return Woken::Idle;
            }
            state.is_asleep = true;
            state = match left {
                Some(left) => {
                    self.arrived.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0
                }
                None => self.arrived.wait(state).unwrap_or_else(PoisonError::into_inner),
            };
            state.is_asleep = false;
        }
        // Once for the way of the write, and once for the way of the signal.
        state.came_within_spin = begun.elapsed() < 2 * WRITER_SPIN;
        if state.waiting.is_empty() { Woken::Closed } else { Woken::ForWrites }
    }

    /// Wakes a writer that sleeps, with nothing to write: how long it sleeps is to be found out anew.
    pub(crate) fn wake(&self) {
        let mut state = self.state();
        state.is_woken = true;
        self.changed(state);
    }

    /// Takes no further write. What was admitted is still applied.
    pub(crate) fn close(&self) {
        let mut state = self.state();
        state.closed = true;
        self.changed(state);
    }

    fn changed(&self, mut state: MutexGuard<'_, QueueState>) {
        // Woken once: those who come before it is awake need not do so again.
        let is_asleep = mem::take(&mut state.is_asleep);
        drop(state);
        if is_asleep {
            self.arrived.notify_one();
        }
    }
}
