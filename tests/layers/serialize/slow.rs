use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use throughline::{
    Admitted, Backend, Capabilities, Durability, ErrorKind, OpKind, PersistError, Reply, Result,
    messages::Add,
};
use tokio::sync::Semaphore;

/// A store that answers additions when it is told to, and refuses them then.
#[derive(Clone)]
pub(crate) struct Slow(Arc<State>);

struct State {
    came: AtomicUsize,
    told: Semaphore,
}

impl Slow {
    pub(crate) fn new() -> Self {
        Self(Arc::new(State { came: AtomicUsize::new(0), told: Semaphore::new(0) }))
    }

    /// How many additions came.
    pub(crate) fn came(&self) -> usize {
        self.0.came.load(Ordering::Relaxed)
    }

    /// Lets one end.
    pub(crate) fn answer(&self) {
        self.0.told.add_permits(1);
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
        self.0.came.fetch_add(1, Ordering::Relaxed);
        self.0.told.acquire().await.expect("never closed").forget();
        Err(PersistError::new(ErrorKind::Denied, "not that one"))
    }
}
