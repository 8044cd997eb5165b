use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use throughline::{
    Admitted, Backend, Capabilities, Durability, ErrorKind, OpKind, PersistError, Reply, Result,
    messages::Add,
};
use tokio::sync::Semaphore;

/// A store that answers adds only on request, with a refusal.
#[derive(Clone)]
pub(crate) struct Slow(Arc<State>);

struct State {
    received: AtomicUsize,
    barrier: Semaphore,
}

impl Slow {
    pub(crate) fn new() -> Self {
        Self(Arc::new(State { received: AtomicUsize::new(0), barrier: Semaphore::new(0) }))
    }

    /// Returns the number of received adds.
    pub(crate) fn received(&self) -> usize {
        self.0.received.load(Ordering::Relaxed)
    }

    /// Answers one add.
    pub(crate) fn answer(&self) {
        self.0.barrier.add_permits(1);
    }
}

impl Backend for Slow {
    fn name(&self) -> &str {
        "slow"
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities::new(Durability::Volatile).with_operations(&[OpKind::Add])
    }

    async fn add(&self, _: Admitted<'_, Add>) -> Result<Reply<Add>> {
        self.0.received.fetch_add(1, Ordering::Relaxed);
        self.0.barrier.acquire().await.expect("never closed").forget();
        Err(PersistError::new(ErrorKind::Denied, "not that one"))
    }
}
