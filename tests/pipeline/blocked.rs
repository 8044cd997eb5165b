//! A store that blocks each write until the test opens its barriers.

use std::sync::Arc;

use throughline::{
    Admitted, Backend, Capabilities, Operation, ReadArgs, Reply, Result,
    memory::MemoryBackend,
    messages::{Add, Batch, Delete, Reserve, Update, UpdateContent},
};
use tokio::sync::Semaphore;

/// A memory store with two barriers: one before each write, and one between the write and its answer.
pub(crate) struct BlockedStore {
    store: MemoryBackend,
    barriers: Arc<Barriers>,
}

/// The barriers: each permit lets one write pass.
#[derive(Debug)]
pub(crate) struct Barriers {
    /// The barrier before the write; open from the start if the test adds permits.
    pub(crate) before: Semaphore,
    /// The barrier between the write and its answer.
    pub(crate) after: Semaphore,
    /// Has one permit for each write that has reached the store.
    pub(crate) arrived: Semaphore,
}

/// A number of permits with which a barrier never blocks.
pub(crate) const OPEN: usize = 1 << 20;

impl BlockedStore {
    pub(crate) fn new(before: usize, after: usize) -> (Self, Arc<Barriers>) {
        let barriers = Arc::new(Barriers {
            before: Semaphore::new(before),
            after: Semaphore::new(after),
            arrived: Semaphore::new(0),
        });
        (Self { store: MemoryBackend::new(), barriers: Arc::clone(&barriers) }, barriers)
    }

    async fn write<O: Operation>(&self, write: impl Future<Output = Result<Reply<O>>>) -> Result<Reply<O>> {
        self.barriers.arrived.add_permits(1);
        self.barriers.before.acquire().await.expect("never closed").forget();
        let reply = write.await;
        self.barriers.after.acquire().await.expect("never closed").forget();
        reply
    }
}

impl Barriers {
    /// Waits until a write has reached the store.
    pub(crate) async fn arrival(&self) {
        self.arrived.acquire().await.expect("never closed").forget();
    }
}

impl Backend for BlockedStore {
    fn name(&self) -> &str {
        "blocked"
    }

    fn capabilities(&self) -> Capabilities {
        self.store.capabilities()
    }

    async fn add(&self, call: Admitted<'_, Add>) -> Result<Reply<Add>> {
        self.write(self.store.add(call)).await
    }

    async fn reserve(&self, call: Admitted<'_, Reserve>) -> Result<Reply<Reserve>> {
        self.write(self.store.reserve(call)).await
    }

    async fn update_content(&self, call: Admitted<'_, UpdateContent>) -> Result<Reply<UpdateContent>> {
        self.write(self.store.update_content(call)).await
    }

    async fn update(&self, call: Admitted<'_, Update>) -> Result<Reply<Update>> {
        self.write(self.store.update(call)).await
    }

    async fn delete(&self, call: Admitted<'_, Delete>) -> Result<Reply<Delete>> {
        self.write(self.store.delete(call)).await
    }

    async fn batch(&self, call: Admitted<'_, Batch>) -> Result<Reply<Batch>> {
        self.write(self.store.batch(call)).await
    }

    async fn read(&self, call: Admitted<'_, ReadArgs>) -> Result<Reply<ReadArgs>> {
        self.store.read(call).await
    }
}
