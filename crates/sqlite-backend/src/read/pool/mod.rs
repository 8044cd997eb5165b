//! The pool of readers and the queue of waiting reads.
//!
//! A caller that finds an idle reader hands its read to it and wakes it. Otherwise the caller puts the read into the
//! queue, and starts a reader if the limit permits. A reader that has answered takes the next read from the queue
//! itself, without a wakeup: while more reads wait than there are readers, no reader sleeps.

use std::{
    collections::HashMap,
    hint, mem,
    path::Path,
    sync::{
        Arc, Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    thread,
    time::{Duration, Instant},
};

use rusqlite::Connection;
use throughline_core::{ReadResult, Result, TenantId, backend::OwnerProcess};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

use super::{
    call::{Call, Times},
    reader::Reader,
};
use crate::{
    OpenError,
    adaptive_spin::{AdaptiveSpin, is_multicore},
    error::EngineError,
    fair_queue::{FairQueue, Queued as _},
    fork_barrier,
    reader_barrier::ReaderBarrier,
};

/// The readers of a store: at most this number for each tenant, and one more than that in total, started on demand.
/// When the pool is dropped, they end after their current read.
///
/// The queue is fair: a free reader serves the waiting tenant that has the fewest readers, regardless of the kind of
/// read. Among several such tenants it serves the one that has waited longest for its turn. Because of the additional
/// reader, a tenant without a reader never waits for the reads of one other tenant.
#[derive(Debug)]
pub(super) struct Pool {
    owner: OwnerProcess,
    path: Arc<Path>,
    is_read_only: bool,
    waiting: Arc<Waiting>,
    reader_barrier: Arc<ReaderBarrier>,
    adaptive_spin: AdaptiveSpin,
    size: u32,
    /// One permit for each reader and for the additional one; a reader releases it after it has closed its connection.
    permits: Arc<Semaphore>,
}

/// The reads that no reader has taken, and the readers without a read.
#[derive(Debug)]
pub(super) struct Waiting {
    state: Mutex<State>,
    /// The largest number of readers of one tenant.
    per_tenant: usize,
    /// The number of callers that wait for an answer.
    callers: AtomicUsize,
}

#[derive(Debug, Default)]
struct State {
    /// The queue. While a reader is idle, it only holds calls of tenants that have reached their limit of readers.
    calls: FairQueue<Call>,
    /// The number of readers of each tenant.
    busy: HashMap<TenantId, usize>,
    /// The condvars of the readers that sleep or are about to. The last one is the first to be woken, and has most of
    /// the file in its cache.
    idle: Vec<Arc<Condvar>>,
    /// The call of each reader that was woken for one.
    assigned: Vec<(Arc<Condvar>, Call)>,
    /// The number of waiting calls at which the pool looks for callers that have left.
    cleanup_at: usize,
    /// The last read arrived while its reader could have spun for it.
    came_within_spin: bool,
    closed: bool,
}

/// A caller that waits for an answer.
struct Waits<'a>(&'a AtomicUsize);

impl<'a> Waits<'a> {
    fn new(callers: &'a AtomicUsize) -> Self {
        callers.fetch_add(1, Relaxed);
        Self(callers)
    }
}

impl Drop for Waits<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Relaxed);
    }
}

/// The result of a push.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Pushed {
    /// A reader has the read.
    Taken,
    /// The read is in the queue. `is_first`: the tenant has no reader and no other read in the queue.
    Waits { is_first: bool },
}

/// The time for which a reader spins after the read of a lone caller, which may send the next one at once.
const READER_SPIN: Duration = Duration::from_micros(100);

/// The number of waiting reads below which the pool does not look for callers that have left.
const CLEANUP_MIN: usize = 64;

impl Waiting {
    fn new(per_tenant: usize) -> Self {
        Self { state: Mutex::default(), per_tenant, callers: AtomicUsize::new(0) }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // No code panics while it holds the lock, and every change is complete.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Hands a read to an idle reader, or puts it into the queue.
    fn push(&self, call: Call) -> Result<Pushed, EngineError> {
        let mut state = self.state();
        if state.closed {
            return Err(EngineError::ReadersClosed);
        }
        let busy = state.busy.get(call.tenant()).copied().unwrap_or_default();
        let idle = if busy < self.per_tenant { state.idle.pop() } else { None };
        let Some(wakeup) = idle else {
            let is_first = busy == 0 && state.calls.waiting_of(call.tenant()) == 0;
            state.calls.push(call);
            let left = state.remove_cancelled();
            drop(state);
            drop(left);
            return Ok(Pushed::Waits { is_first });
        };
        state.begin(call.tenant());
        state.assigned.push((Arc::clone(&wakeup), call));
        drop(state);
        wakeup.notify_one();
        Ok(Pushed::Taken)
    }

    /// Returns the next read for a reader that has ended one of this tenant. If there is none, the reader counts as
    /// idle from now on, and must [`wait`](Self::wait).
    pub(super) fn next_or_idle(&self, wakeup: &Arc<Condvar>, of: Option<&TenantId>) -> Option<Call> {
        let mut state = self.state();
        if let Some(tenant) = of {
            state.end(tenant);
        }
        let next = state.next(self.per_tenant);
        if next.is_none() && !state.closed {
            state.idle.push(Arc::clone(wakeup));
        }
        next
    }

    /// Whether at most one caller waits for an answer.
    pub(super) fn has_one_caller(&self) -> bool {
        self.callers.load(Relaxed) <= 1
    }

    /// Waits for the next read. Returns `None` when the pool is closed.
    ///
    /// After the read of a lone caller the reader spins for a moment before it sleeps, if a read arrived in time the
    /// last time: see [`AdaptiveSpin`].
    pub(super) fn wait(&self, wakeup: &Arc<Condvar>, after_lone_caller: bool) -> Option<Call> {
        self.wait_since(wakeup, after_lone_caller, Instant::now())
    }

    fn wait_since(&self, wakeup: &Arc<Condvar>, after_lone_caller: bool, begun: Instant) -> Option<Call> {
        let mut state = self.state();
        if after_lone_caller && state.came_within_spin && is_multicore() {
            while state.is_idle(wakeup) && begun.elapsed() < READER_SPIN {
                drop(state);
                for _ in 0..16 {
                    hint::spin_loop();
                }
                state = self.state();
            }
        }
        loop {
            while state.is_idle(wakeup) {
                state = wakeup.wait(state).unwrap_or_else(PoisonError::into_inner);
            }
            let next = state.take_assigned(wakeup).or_else(|| state.next(self.per_tenant));
            if next.is_some() || state.closed {
                // Twice the spin: once for the path of the read, and once for the path of the wakeup.
                state.came_within_spin = begun.elapsed() < 2 * READER_SPIN;
                return next;
            }
            state.idle.push(Arc::clone(wakeup));
        }
    }

    /// Accepts no further read, and ends every idle reader.
    fn close(&self) {
        let mut state = self.state();
        state.closed = true;
        let idle = mem::take(&mut state.idle);
        drop(state);
        for wakeup in idle {
            wakeup.notify_one();
        }
    }
}

impl State {
    fn is_idle(&self, wakeup: &Arc<Condvar>) -> bool {
        self.idle.iter().any(|idle| Arc::ptr_eq(idle, wakeup))
    }

    /// Records that a reader begins a read of this tenant.
    fn begin(&mut self, tenant: &TenantId) {
        match self.busy.get_mut(tenant) {
            Some(busy) => *busy += 1,
            None => drop(self.busy.insert(tenant.clone(), 1)),
        }
    }

    fn end(&mut self, tenant: &TenantId) {
        if let Some(busy) = self.busy.get_mut(tenant) {
            *busy -= 1;
            if *busy == 0 {
                self.busy.remove(tenant);
            }
        }
    }

    /// Takes the next read from the queue: from the tenant that has the fewest readers, and fewer than its limit.
    fn next(&mut self, per_tenant: usize) -> Option<Call> {
        let Self { calls, busy, .. } = self;
        let next = calls.pop_least(per_tenant, |tenant| busy.get(tenant).copied().unwrap_or_default())?;
        self.begin(next.tenant());
        Some(next)
    }

    fn take_assigned(&mut self, wakeup: &Arc<Condvar>) -> Option<Call> {
        let at = self.assigned.iter().position(|(to, _)| Arc::ptr_eq(to, wakeup))?;
        Some(self.assigned.swap_remove(at).1)
    }

    /// Removes the reads whose callers have left from the queue, when these may be as many as the others.
    fn remove_cancelled(&mut self) -> Vec<Call> {
        if self.calls.len() < self.cleanup_at.max(CLEANUP_MIN) {
            return Vec::new();
        }
        let left = self.calls.take_if(|call| call.stage.is_cancelled());
        self.cleanup_at = 2 * self.calls.len();
        left
    }
}

impl Pool {
    /// Starts the first reader, and opens its connection.
    pub(super) async fn open(
        path: Arc<Path>,
        is_read_only: bool,
        size: u32,
        reader_barrier: Arc<ReaderBarrier>,
    ) -> Result<Self, OpenError> {
        let permits = Arc::new(Semaphore::new(size as usize + 1));
        let owner = OwnerProcess::current();
        let pool = Self {
            owner,
            path,
            is_read_only,
            waiting: Arc::new(Waiting::new(size as usize)),
            reader_barrier,
            adaptive_spin: AdaptiveSpin::new(),
            size,
            permits,
        };
        let failed = |source| OpenError::Io { path: pool.path.to_path_buf(), source };
        let (opened, on_opened) = oneshot::channel();
        pool.start(|mut reader, permit| {
            let inside = fork_barrier::enter();
            let connected = reader.connect().map(drop);
            let is_open = connected.is_ok();
            // Before the answer, so that the first read finds it idle.
            reader.mark_idle();
            drop(inside);
            // The caller that opens the store may have left: the readers are closed then.
            drop(opened.send(connected));
            if is_open {
                reader.work();
            }
            drop(permit);
        })
        .map_err(failed)?;
        match on_opened.await {
            Ok(opened) => opened.map_err(|error| OpenError::sqlite(&pool.path, error))?,
            Err(_) => return Err(failed(std::io::Error::other("the thread of a reader ended"))),
        }
        Ok(pool)
    }

    /// Starts a reader thread unless the limit is reached.
    fn start(&self, run: impl FnOnce(Reader, OwnedSemaphorePermit) + Send + 'static) -> std::io::Result<()> {
        let Ok(permit) = Arc::clone(&self.permits).try_acquire_owned() else { return Ok(()) };
        let name = format!("throughline-reader-{}", self.started());
        let (waiting, barrier) = (Arc::clone(&self.waiting), Arc::clone(&self.reader_barrier));
        let reader = Reader::new(Arc::clone(&self.path), self.is_read_only, waiting, barrier);
        thread::Builder::new().name(name).spawn(move || run(reader, permit)).map(drop)
    }

    /// Returns how many readers exist.
    fn started(&self) -> usize {
        self.size as usize + 1 - self.permits.available_permits()
    }

    /// Runs `work` on a reader. Waits for the reader until `timeout_at`, and interrupts it at the deadline.
    ///
    /// If the future is dropped, a read that has not begun is withdrawn, and a running one ends soon.
    pub(super) async fn run(
        &self,
        tenant: TenantId,
        times: Times,
        work: impl FnOnce(&Connection) -> Result<ReadResult> + Send + 'static,
    ) -> Result<ReadResult> {
        let (call, caller) = Call::new(tenant, times.deadline, Box::new(work));
        let _waiting = Waits::new(&self.waiting.callers);
        let Pushed::Waits { is_first } = self.waiting.push(call)? else {
            return caller.answer_soon(&self.adaptive_spin, || self.waiting.has_one_caller()).await;
        };
        if is_first || self.started() < self.size as usize {
            // A reader that cannot start is not needed: there is at least one, which takes this read when it is free.
            drop(self.start(|reader, permit| {
                reader.work();
                drop(permit);
            }));
        }
        caller.answer_if_begun_by(times.timeout_at).await
    }

    /// Waits until all waited-for reads are answered and every connection is closed.
    pub(super) async fn close(&self) {
        self.waiting.close();
        if self.permits.acquire_many(self.size + 1).await.is_ok() {
            self.permits.close();
        }
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        // A forked child has no readers, and a lock that one of them held stays locked.
        if self.owner.is_current() {
            self.waiting.close();
        }
    }
}

#[cfg(test)]
mod tests;
