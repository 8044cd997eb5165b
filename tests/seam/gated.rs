//! A store that waits for the test before it does anything.

use std::sync::Arc;

use throughline::{
    Admitted, Backend, Capabilities, Operation, ReadArgs, Reply, Result,
    memory::MemoryBackend,
    messages::{Add, Batch, Delete, Reserve, Update, UpdateContent},
};
use tokio::sync::Semaphore;

/// The memory store behind two gates: one before the write, one between the write and its answer.
pub(crate) struct Gated {
    store: MemoryBackend,
    gates: Arc<Gates>,
}

/// The gates: a permit lets one write through.
#[derive(Debug)]
pub(crate) struct Gates {
    /// Opened from the start unless the test closes it.
    pub(crate) before: Semaphore,
    /// Opened from the start unless the test closes it.
    pub(crate) after: Semaphore,
    /// One permit for each write that has reached the store.
    pub(crate) arrived: Semaphore,
}

pub(crate) const OPEN: usize = 1 << 20;

impl Gated {
    pub(crate) fn new(before: usize, after: usize) -> (Self, Arc<Gates>) {
        let gates = Arc::new(Gates {
            before: Semaphore::new(before),
            after: Semaphore::new(after),
            arrived: Semaphore::new(0),
        });
        (Self { store: MemoryBackend::new(), gates: Arc::clone(&gates) }, gates)
    }

    async fn write<O: Operation>(&self, write: impl Future<Output = Result<Reply<O>>>) -> Result<Reply<O>> {
        self.gates.arrived.add_permits(1);
        self.gates.before.acquire().await.expect("never closed").forget();
        let reply = write.await;
        self.gates.after.acquire().await.expect("never closed").forget();
        reply
    }
}

impl Gates {
    /// Waits until a write has reached the store.
    pub(crate) async fn arrival(&self) {
        self.arrived.acquire().await.expect("never closed").forget();
    }
}

impl Backend for Gated {
    fn name(&self) -> &str {
        "gated"
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
