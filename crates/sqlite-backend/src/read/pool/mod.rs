//! The readers of a store, and who waits for them.
//!
//! Whoever finds a reader idle hands the read to it and wakes it. Whoever finds none puts the read in line, and starts a
//! reader if there may be another. A reader that has answered takes the next read from the line by itself, without anybody to
//! wake it: while there is more to read than there are readers, none of them sleeps.

use std::{
    collections::HashMap,
    mem,
    path::Path,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread,
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
    error::EngineError,
    fair_queue::{FairQueue, Queued as _},
    reader_barrier::ReaderBarrier,
};

/// So many readers at most for each tenant, and one more than that for all of them, started as they are needed. Dropped, they end
/// after what they are at.
///
/// The queue is fair: a reader that becomes free serves the waiting tenant that has the fewest readers, whatever is read, and of
/// several such tenants the one that waits for its turn longest. The additional reader is there so that a tenant which has none never
/// waits for the reads of one other tenant.
#[derive(Debug)]
pub(super) struct Pool {
    owner: OwnerProcess,
    path: Arc<Path>,
    waiting: Arc<Waiting>,
    reader_barrier: Arc<ReaderBarrier>,
    size: u32,
    /// One for each reader and for the additional one; it is given up when the connection is closed.
    seats: Arc<Semaphore>,
}

/// The reads that no reader has taken, and the readers that have none.
#[derive(Debug)]
pub(super) struct Waiting {
    state: Mutex<State>,
    /// How many readers one tenant may have.
    for_each: usize,
}

#[derive(Debug, Default)]
struct State {
    /// The queue. While a reader is idle, there are only calls in it of tenants that have as many readers as they may.
    calls: FairQueue<Call>,
    /// How many readers each tenant has.
    busy: HashMap<TenantId, usize>,
    /// The bells of those who sleep, and of those who are about to: the last one is the first to be woken, and has most of
    /// the file in its cache.
    idle: Vec<Arc<Condvar>>,
    /// What each of those has in hand who were woken for it.
    handed: Vec<(Arc<Condvar>, Call)>,
    /// How many have to wait before it is looked for those whose callers have left.
    look_at: usize,
    closed: bool,
}

/// What became of a read that was brought.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Pushed {
    /// A reader has it in hand.
    InHand,
    /// It is in the queue. `is_first`: the tenant has no reader, and no other read in the queue.
    Waits { is_first: bool },
}

/// How few reads may wait without a look for those whose callers have left.
const FEW: usize = 64;

impl Waiting {
    fn new(for_each: usize) -> Self {
        Self { state: Mutex::default(), for_each }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing panics while it holds the lock, and every change is whole.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Hands a read to an idle reader, or puts it in the queue.
    fn push(&self, call: Call) -> Result<Pushed, EngineError> {
        let mut state = self.state();
        if state.closed {
            return Err(EngineError::ReadersClosed);
        }
        let busy = state.busy.get(call.tenant()).copied().unwrap_or_default();
        let idle = if busy < self.for_each { state.idle.pop() } else { None };
        let Some(bell) = idle else {
            let is_first = busy == 0 && state.calls.waiting_of(call.tenant()) == 0;
            state.calls.push(call);
            let left = state.take_left();
            drop(state);
            drop(left);
            return Ok(Pushed::Waits { is_first });
        };
        state.begin(call.tenant());
        state.handed.push((Arc::clone(&bell), call));
        drop(state);
        bell.notify_one();
        Ok(Pushed::InHand)
    }

    /// The next read for a reader that has come to the end of one, which was of this tenant. Without one it counts as idle from now on,
    /// and has to [`wait`](Self::wait).
    pub(super) fn is_free(&self, bell: &Arc<Condvar>, of: Option<&TenantId>) -> Option<Call> {
        let mut state = self.state();
        if let Some(tenant) = of {
            state.end(tenant);
        }
        let next = state.next(self.for_each);
        if next.is_none() && !state.closed {
            state.idle.push(Arc::clone(bell));
        }
        next
    }

    /// Waits for the next read. There is none when the readers are closed.
    pub(super) fn wait(&self, bell: &Arc<Condvar>) -> Option<Call> {
        let mut state = self.state();
        loop {
            while state.idle.iter().any(|idle| Arc::ptr_eq(idle, bell)) {
                state = bell.wait(state).unwrap_or_else(PoisonError::into_inner);
            }
            let next = state.take_handed(bell).or_else(|| state.next(self.for_each));
            if next.is_some() || state.closed {
                return next;
            }
            state.idle.push(Arc::clone(bell));
        }
    }

    /// Takes no further read, and sends every reader home who has none.
    fn close(&self) {
        let mut state = self.state();
        state.closed = true;
        let idle = mem::take(&mut state.idle);
        drop(state);
        for bell in idle {
            bell.notify_one();
        }
    }
}

impl State {
    /// A reader has a read of this tenant in hand.
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

    /// Takes the next read from the queue: one of the tenant that has the fewest readers, and not as many as it may have.
    fn next(&mut self, for_each: usize) -> Option<Call> {
        let Self { calls, busy, .. } = self;
        let next = calls.pop_least(for_each, |tenant| busy.get(tenant).copied().unwrap_or_default())?;
        self.begin(next.tenant());
        Some(next)
    }

    fn take_handed(&mut self, bell: &Arc<Condvar>) -> Option<Call> {
        let at = self.handed.iter().position(|(to, _)| Arc::ptr_eq(to, bell))?;
        Some(self.handed.swap_remove(at).1)
    }

    /// Takes the reads out of the line whose callers have left, when they may have become as many as the others.
    fn take_left(&mut self) -> Vec<Call> {
        if self.calls.len() < self.look_at.max(FEW) {
            return Vec::new();
        }
        let left = self.calls.take_if(|call| call.stage.is_left());
        self.look_at = 2 * self.calls.len();
        left
    }
}

impl Pool {
    /// Starts the first reader, and opens its connection.
    pub(super) async fn open(
        path: Arc<Path>,
        size: u32,
        reader_barrier: Arc<ReaderBarrier>,
    ) -> Result<Self, OpenError> {
        let seats = Arc::new(Semaphore::new(size as usize + 1));
        let owner = OwnerProcess::current();
        let pool =
            Self { owner, path, waiting: Arc::new(Waiting::new(size as usize)), reader_barrier, size, seats };
        let failed = |source| OpenError::Io { path: pool.path.to_path_buf(), source };
        let (opened, on_opened) = oneshot::channel();
        pool.start(|mut reader, seat| {
            let connected = reader.connect().map(drop);
            let is_open = connected.is_ok();
            // Before: the first read finds it free.
            reader.stand_by();
            // Whoever opens may have left: the readers are closed then.
            drop(opened.send(connected));
            if is_open {
                reader.work();
            }
            drop(seat);
        })
        .map_err(failed)?;
        match on_opened.await {
            Ok(opened) => opened.map_err(|error| OpenError::sqlite(&pool.path, error))?,
            Err(_) => return Err(failed(std::io::Error::other("the thread of a reader ended"))),
        }
        Ok(pool)
    }

    /// Starts a thread, unless there are as many as may be.
    fn start(&self, run: impl FnOnce(Reader, OwnedSemaphorePermit) + Send + 'static) -> std::io::Result<()> {
        let Ok(seat) = Arc::clone(&self.seats).try_acquire_owned() else { return Ok(()) };
        let name = format!("throughline-reader-{}", self.started());
        let reader =
            Reader::new(Arc::clone(&self.path), Arc::clone(&self.waiting), Arc::clone(&self.reader_barrier));
        thread::Builder::new().name(name).spawn(move || run(reader, seat)).map(drop)
    }

    /// How many readers there are.
    fn started(&self) -> usize {
        self.size as usize + 1 - self.seats.available_permits()
    }

    /// Does `work` on a reader, which is waited for until `timeout_at`, and interrupted at the deadline.
    ///
    /// Dropped, the future takes back what no reader has begun; what one has begun ends soon.
    pub(super) async fn run(
        &self,
        tenant: TenantId,
        times: Times,
        work: impl FnOnce(&Connection) -> Result<ReadResult> + Send + 'static,
    ) -> Result<ReadResult> {
        let (call, caller) = Call::new(tenant, times.deadline, Box::new(work));
        let Pushed::Waits { is_first } = self.waiting.push(call)? else {
            return caller.answer().await;
        };
        if is_first || self.started() < self.size as usize {
            // One that does not start is done without: there is one at least, and it takes this read when it is free.
            drop(self.start(|reader, seat| {
                reader.work();
                drop(seat);
            }));
        }
        caller.answer_if_begun_by(times.timeout_at).await
    }

    /// Waits until everything was read that somebody waits for and every connection is closed.
    pub(super) async fn close(&self) {
        self.waiting.close();
        if self.seats.acquire_many(self.size + 1).await.is_ok() {
            self.seats.close();
        }
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        // In a forked child no reader is there, and the lock of one that held it stays locked.
        if self.owner.is_current() {
            self.waiting.close();
        }
    }
}

#[cfg(test)]
mod tests;
