//! The reader barrier: it stops new readers while the writer truncates the WAL.
//!
//! SQLite can truncate the WAL only while no reader uses it. Short reads in close succession leave no such moment: the
//! next one begins before the last one ends. So readers pass this barrier, and the writer closes it for a moment. A
//! running read continues and never waits for the writer; the writer reopens the barrier when the wait takes too long.

use std::{
    sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError, Weak},
    time::Duration,
};

use rusqlite::Connection;

use crate::health::HealthState;

/// The barrier of a store. Only the writer closes it.
#[derive(Debug, Default)]
pub(crate) struct ReaderBarrier {
    state: Mutex<BarrierState>,
    opened: Condvar,
    left: Condvar,
    parked: Mutex<Vec<Weak<Parked>>>,
    /// The health state to which readers report that the disk cannot read.
    health_state: OnceLock<Arc<HealthState>>,
}

/// The slot in which an idle reader parks its connection, so that the writer can close it.
#[derive(Debug, Default)]
pub(crate) struct Parked(Mutex<Option<Connection>>);

impl Parked {
    /// Stores a connection, or takes the parked one.
    pub(crate) fn replace(&self, connection: Option<Connection>) -> Option<Connection> {
        std::mem::replace(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner), connection)
    }
}

#[derive(Debug, Default)]
struct BarrierState {
    /// The number of running reads.
    active: usize,
    is_closed: bool,
    /// The number of readers that wait for the barrier to open.
    #[cfg(test)]
    waiting: usize,
}

/// A running read, until it is dropped.
#[derive(Debug)]
pub(crate) struct ActiveReader<'a>(&'a ReaderBarrier);

/// The closed barrier: no read runs until this is dropped.
#[derive(Debug)]
pub(crate) struct ClosedBarrier<'a>(&'a ReaderBarrier);

impl ReaderBarrier {
    fn state(&self) -> MutexGuard<'_, BarrierState> {
        // No code panics while it holds the lock, and every change is complete.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes the readers report to this health state from now on.
    pub(crate) fn report_to(&self, health_state: Arc<HealthState>) {
        // The store sets it once.
        drop(self.health_state.set(health_state));
    }

    /// Records that a read failed because the disk could not read.
    pub(crate) fn is_unreadable(&self) {
        if let Some(health_state) = self.health_state.get() {
            health_state.set_unreadable(true);
        }
    }

    /// Returns a new slot for the connection of a reader.
    pub(crate) fn park(&self) -> Arc<Parked> {
        let parked = Arc::<Parked>::default();
        let mut all = self.parked.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|parked| parked.strong_count() > 0);
        all.push(Arc::downgrade(&parked));
        parked
    }

    /// Closes the connections of all readers once no read runs, so that SQLite releases its locks and descriptors of
    /// the file. The readers open new connections with their next reads. Does nothing if a read runs for longer than
    /// `limit`.
    pub(crate) fn close_connections(&self, limit: Duration) {
        let Some(_closed) = self.close(limit) else { return };
        let parked = self.parked.lock().unwrap_or_else(PoisonError::into_inner);
        for parked in parked.iter().filter_map(Weak::upgrade) {
            drop(parked.replace(None));
        }
    }

    /// Returns whether no read runs at the moment.
    #[cfg(target_os = "linux")]
    pub(crate) fn is_idle(&self) -> bool {
        self.state().active == 0
    }

    /// Begins a read. Waits while the barrier is closed.
    pub(crate) fn enter(&self) -> ActiveReader<'_> {
        let mut state = self.state();
        while state.is_closed {
            #[cfg(test)]
            {
                state.waiting += 1;
            }
            state = self.opened.wait(state).unwrap_or_else(PoisonError::into_inner);
            #[cfg(test)]
            {
                state.waiting -= 1;
            }
        }
        state.active += 1;
        ActiveReader(self)
    }

    /// Stops new readers and waits until no read runs. Returns `None`, with the barrier open again, if that takes
    /// longer than `limit`.
    pub(crate) fn close(&self, limit: Duration) -> Option<ClosedBarrier<'_>> {
        let mut state = self.state();
        state.is_closed = true;
        let closed = ClosedBarrier(self);
        let waited = self.left.wait_timeout_while(state, limit, |state| state.active > 0);
        state = waited.unwrap_or_else(PoisonError::into_inner).0;
        let is_empty = state.active == 0;
        // Before the barrier opens again, which takes the lock.
        drop(state);
        is_empty.then_some(closed)
    }
}

#[cfg(test)]
impl ReaderBarrier {
    pub(crate) fn is_closed(&self) -> bool {
        self.state().is_closed
    }

    fn waiting(&self) -> usize {
        self.state().waiting
    }
}

impl Drop for ActiveReader<'_> {
    fn drop(&mut self) {
        let mut state = self.0.state();
        state.active -= 1;
        let is_waited_for = state.is_closed && state.active == 0;
        drop(state);
        if is_waited_for {
            self.0.left.notify_one();
        }
    }
}

impl Drop for ClosedBarrier<'_> {
    fn drop(&mut self) {
        self.0.state().is_closed = false;
        self.0.opened.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use std::{
        panic::{AssertUnwindSafe, catch_unwind},
        sync::Mutex,
        thread,
    };

    use super::*;

    const FAR: Duration = Duration::from_secs(3600);

    #[test]
    fn closes_after_running_reads_end_and_new_readers_wait() {
        let (barrier, order) = (ReaderBarrier::default(), Mutex::new(Vec::new()));
        let record = |event| order.lock().unwrap().push(event);
        thread::scope(|scope| {
            let [first, second] = [barrier.enter(), barrier.enter()];
            let closing = scope.spawn(|| {
                let closed = barrier.close(FAR);
                record(if closed.is_some() { "closed" } else { "not closed" });
            });
            while !barrier.is_closed() {
                thread::yield_now();
            }
            let entering = scope.spawn(|| {
                let _inside = barrier.enter();
                record("entered");
            });
            // A reader that did not wait would have finished.
            while barrier.waiting() == 0 && !entering.is_finished() {
                thread::yield_now();
            }
            record("left");
            drop(first);
            record("left");
            drop(second);
            closing.join().unwrap();
        });
        assert_eq!(order.into_inner().unwrap(), ["left", "left", "closed", "entered"]);
    }

    #[test]
    fn a_long_read_keeps_the_barrier_open() {
        let barrier = ReaderBarrier::default();
        let active = barrier.enter();
        assert!(barrier.close(Duration::ZERO).is_none());
        assert!(!barrier.is_closed());
        drop((barrier.enter(), active));
        let closed = barrier.close(Duration::ZERO);
        assert!(closed.is_some() && barrier.is_closed());
        drop(closed);
        assert!(!barrier.is_closed());
    }

    #[test]
    fn a_panic_leaves_the_barrier_open_without_active_readers() {
        let barrier = ReaderBarrier::default();
        let panics = |run: &dyn Fn()| assert!(catch_unwind(AssertUnwindSafe(run)).is_err());
        panics(&|| {
            let _inside = barrier.enter();
            panic!("a read");
        });
        panics(&|| {
            let _closed = barrier.close(Duration::ZERO).unwrap();
            panic!("a fold");
        });
        assert!(!barrier.is_closed() && barrier.close(Duration::ZERO).is_some());
    }
}
