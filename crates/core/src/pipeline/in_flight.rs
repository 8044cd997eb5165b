//! The calls in flight: counts them, runs detached work, and lets `close` wait for all of it.

use std::{
    future::Future,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
};

use tokio::{
    runtime::Handle,
    sync::{Notify, watch},
};

/// The running calls of a pipeline.
#[derive(Debug)]
pub(crate) struct InFlight {
    runtime: Handle,
    /// The receiver of a sender that a task on the runtime holds. It closes when the runtime ends.
    runtime_lives: watch::Receiver<()>,
    count: AtomicUsize,
    closing: AtomicBool,
    closing_begun: Notify,
    idle: Notify,
}

/// A running call. A drop ends it.
#[derive(Debug)]
pub(crate) struct InFlightGuard(Arc<InFlight>);

impl InFlight {
    pub(crate) fn new(runtime: Handle) -> Arc<Self> {
        let (held_by_task, runtime_lives) = watch::channel(());
        // The task ends with the pipeline, which has the only receiver.
        runtime.spawn(async move { held_by_task.closed().await });
        Arc::new(Self {
            runtime,
            runtime_lives,
            count: AtomicUsize::new(0),
            closing: AtomicBool::new(false),
            closing_begun: Notify::new(),
            idle: Notify::new(),
        })
    }

    /// Counts a new call. `None` once the pipeline is closing.
    pub(crate) fn enter(self: &Arc<Self>) -> Option<InFlightGuard> {
        // Count first and check second: `close` sets the flag first and reads the count second.
        self.count.fetch_add(1, Ordering::SeqCst);
        let in_flight = InFlightGuard(Arc::clone(self));
        if self.closing.load(Ordering::SeqCst) { None } else { Some(in_flight) }
    }

    /// Runs `work` to its end on the runtime of the pipeline.
    pub(crate) fn detach(self: &Arc<Self>, work: impl Future<Output = ()> + Send + 'static) {
        self.count.fetch_add(1, Ordering::SeqCst);
        let in_flight = InFlightGuard(Arc::clone(self));
        self.runtime.spawn(async move {
            let _in_flight = in_flight;
            work.await;
        });
    }

    pub(crate) const fn runtime(&self) -> &Handle {
        &self.runtime
    }

    /// The number of calls in flight.
    pub(crate) fn count(&self) -> usize {
        self.count.load(Ordering::SeqCst)
    }

    /// Whether the runtime has ended. Its timers panic from then on.
    pub(crate) fn runtime_has_ended(&self) -> bool {
        self.runtime_lives.has_changed().is_err()
    }

    /// Refuses further calls.
    pub(crate) fn begin_closing(&self) {
        self.closing.store(true, Ordering::SeqCst);
        self.closing_begun.notify_waiters();
    }

    /// Waits until further calls are refused.
    pub(crate) async fn closing_begun(&self) {
        // `notify_waiters` also wakes a future that was made before it and not polled yet.
        let begun = self.closing_begun.notified();
        if !self.is_closing() {
            begun.await;
        }
    }

    /// Whether further calls are refused.
    pub(crate) fn is_closing(&self) -> bool {
        self.closing.load(Ordering::SeqCst)
    }

    /// Waits until no call is in flight.
    pub(crate) async fn drained(&self) {
        loop {
            let idle = self.idle.notified();
            if self.count.load(Ordering::SeqCst) == 0 {
                return;
            }
            idle.await;
        }
    }
}

impl InFlightGuard {
    /// Admits a further call of the same task, even while the pipeline closes: `close` already waits for this guard.
    pub(crate) fn another(&self) -> Self {
        self.0.count.fetch_add(1, Ordering::SeqCst);
        Self(Arc::clone(&self.0))
    }
}

impl Drop for InFlightGuard {
    fn drop(&mut self) {
        if self.0.count.fetch_sub(1, Ordering::SeqCst) == 1 && self.0.closing.load(Ordering::SeqCst) {
            self.0.idle.notify_waiters();
        }
    }
}
