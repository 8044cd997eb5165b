//! Counts what is running, keeps alive what its caller left, and lets `close` wait for all of it.

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

/// The calls of a pipeline that have begun and not ended.
#[derive(Debug)]
pub(crate) struct InFlight {
    runtime: Handle,
    /// Its sender is held by a task on the runtime, and goes with that task when the runtime ends.
    runtime_lives: watch::Receiver<()>,
    count: AtomicUsize,
    closing: AtomicBool,
    idle: Notify,
}

/// One call in flight.
#[derive(Debug)]
pub(crate) struct Ticket(Arc<InFlight>);

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
            idle: Notify::new(),
        })
    }

    /// Counts a call in; nothing once the pipeline is closing.
    pub(crate) fn enter(self: &Arc<Self>) -> Option<Ticket> {
        // Counted first and checked second: `close` sets the flag first and reads the count second.
        self.count.fetch_add(1, Ordering::SeqCst);
        let ticket = Ticket(Arc::clone(self));
        if self.closing.load(Ordering::SeqCst) { None } else { Some(ticket) }
    }

    /// Runs `work` to its end on the runtime of the pipeline, whoever dropped it and wherever.
    pub(crate) fn detach(self: &Arc<Self>, work: impl Future<Output = ()> + Send + 'static) {
        self.count.fetch_add(1, Ordering::SeqCst);
        let ticket = Ticket(Arc::clone(self));
        self.runtime.spawn(async move {
            let _ticket = ticket;
            work.await;
        });
    }

    pub(crate) const fn runtime(&self) -> &Handle {
        &self.runtime
    }

    /// How many calls are in flight.
    pub(crate) fn count(&self) -> usize {
        self.count.load(Ordering::SeqCst)
    }

    /// Whether the runtime has ended. Its timers panic from then on.
    pub(crate) fn runtime_has_ended(&self) -> bool {
        self.runtime_lives.has_changed().is_err()
    }

    /// Lets nothing in any more.
    pub(crate) fn begin_closing(&self) {
        self.closing.store(true, Ordering::SeqCst);
    }

    /// Whether nothing is let in any more.
    pub(crate) fn is_closing(&self) -> bool {
        self.closing.load(Ordering::SeqCst)
    }

    /// Waits until nothing is in flight.
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

impl Ticket {
    /// Admits one more call, also while the pipeline closes: `close` already waits for this ticket.
    pub(crate) fn another(&self) -> Self {
        self.0.count.fetch_add(1, Ordering::SeqCst);
        Self(Arc::clone(&self.0))
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        if self.0.count.fetch_sub(1, Ordering::SeqCst) == 1 && self.0.closing.load(Ordering::SeqCst) {
            self.0.idle.notify_waiters();
        }
    }
}
