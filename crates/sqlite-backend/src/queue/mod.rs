//! The queue of the writer: admitted writes, in arrival order for each tenant.

mod pending;

use std::{
    hint, mem,
    sync::{Condvar, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use throughline_core::backend::closed;

pub(crate) use self::pending::{Committed, Pending, Stage, Times, Work, Write, lost};
use crate::{adaptive_spin::is_multicore, fair_queue::FairQueue};

/// The time for which the writer spins after a write of a lone caller, which may send the next one at once: about the
/// cost of a wakeup.
const WRITER_SPIN: Duration = Duration::from_micros(100);

/// The reason why the writer woke up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Woken {
    /// A write waits.
    ForWrites,
    /// No write has arrived for a while.
    Idle,
    /// The queue is empty and closed.
    Closed,
}

/// A queue with one consumer, the writer thread. `QueueCapacity` enforces its bounds.
#[derive(Debug, Default)]
pub(crate) struct Queue {
    state: Mutex<QueueState>,
    arrived: Condvar,
}

#[derive(Debug, Default)]
struct QueueState {
    waiting: FairQueue<Pending>,
    /// The writer sleeps, and no caller has woken it yet.
    is_asleep: bool,
    /// The last write arrived while the writer could have spun for it.
    came_within_spin: bool,
    /// The writer must compute again how long it may sleep.
    is_woken: bool,
    closed: bool,
}

impl Queue {
    fn state(&self) -> MutexGuard<'_, QueueState> {
        // No code panics while it holds the lock, and every change is complete.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a write to the queue of its tenant. A closed queue answers it with an error.
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

    /// Takes the first write if `fits` accepts it.
    pub(crate) fn pop_if(&self, fits: impl FnOnce(&Pending) -> bool) -> Option<Pending> {
        self.state().waiting.pop_if(fits)
    }

    /// Takes every write that has timed out at `now`, or whose caller has left.
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

    /// Returns how many writes wait.
    pub(crate) fn len(&self) -> usize {
        self.state().waiting.len()
    }

    /// Waits for a write, for at most `idle` if that is set.
    ///
    /// After a write of a lone caller the writer spins for a moment before it sleeps, if a write arrived in time the
    /// last time: see [`AdaptiveSpin`](crate::adaptive_spin::AdaptiveSpin). After several callers it sleeps at once, so that their next writes gather.
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
        // Twice the spin: once for the path of the write, and once for the path of the wakeup.
        state.came_within_spin = begun.elapsed() < 2 * WRITER_SPIN;
        if state.waiting.is_empty() { Woken::Closed } else { Woken::ForWrites }
    }

    /// Wakes a sleeping writer without a write, so that it computes again how long it may sleep.
    pub(crate) fn wake(&self) {
        let mut state = self.state();
        state.is_woken = true;
        self.changed(state);
    }

    /// Closes the queue to further writes. The writer still applies the admitted ones.
    pub(crate) fn close(&self) {
        let mut state = self.state();
        state.closed = true;
        self.changed(state);
    }

    fn changed(&self, mut state: MutexGuard<'_, QueueState>) {
        // Callers that arrive before the writer runs need not wake it again.
        let is_asleep = mem::take(&mut state.is_asleep);
        drop(state);
        if is_asleep {
            self.arrived.notify_one();
        }
    }
}
