use std::sync::{Arc, Mutex};

use throughline::{
    Context, PersistArgs, PersistRequest, Phase,
    plugin::{AsyncRequestFn, FromFn, NextRequest, from_fn},
};
use tokio::sync::Semaphore;

/// A layer in front of the store that records calls, and blocks writes until the test releases them.
#[derive(Clone)]
pub(crate) struct BlockingLayer(Arc<State>);

struct State {
    received: Mutex<Vec<(PersistArgs, Context)>>,
    /// The point at which a write blocks.
    blocks_at: BlocksAt,
    barrier: Semaphore,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum BlocksAt {
    Never,
    /// The store has not received the write.
    Before,
    /// The store has performed the write, but the answer is blocked.
    After,
}

impl BlockingLayer {
    fn new(blocks_at: BlocksAt) -> Self {
        Self(Arc::new(State { received: Mutex::default(), blocks_at, barrier: Semaphore::new(0) }))
    }

    /// Blocks nothing.
    pub(crate) fn open() -> Self {
        Self::new(BlocksAt::Never)
    }

    /// Blocks writes in front of the store.
    pub(crate) fn shut() -> Self {
        Self::new(BlocksAt::Before)
    }

    /// Blocks the answers of writes.
    pub(crate) fn answers() -> Self {
        Self::new(BlocksAt::After)
    }

    /// Releases `writes` blocked writes.
    pub(crate) fn release(&self, writes: usize) {
        self.0.barrier.add_permits(writes);
    }

    /// Returns the message id of each received call, or its operation.
    pub(crate) fn received(&self) -> Vec<String> {
        let received = self.0.received.lock().expect("no thread panics");
        let name = |(args, context): &(PersistArgs, Context)| {
            context.message().map_or_else(|| args.kind().to_string(), ToString::to_string)
        };
        received.iter().map(name).collect()
    }

    /// Returns the layer.
    pub(crate) fn layer(&self) -> FromFn<impl AsyncRequestFn> {
        let state = Arc::clone(&self.0);
        from_fn("blocking", Phase::Route, move |request: PersistRequest, next: NextRequest| {
            let state = Arc::clone(&state);
            async move {
                let blocks_at = if request.kind().is_write() { state.blocks_at } else { BlocksAt::Never };
                let call = (request.args.clone(), request.context.clone());
                state.received.lock().expect("no thread panics").push(call);
                let wait = async || state.barrier.acquire().await.expect("never closed").forget();
                if blocks_at == BlocksAt::Before {
                    wait().await;
                }
                let answer = next.run(request).await;
                if blocks_at == BlocksAt::After {
                    wait().await;
                }
                answer
            }
        })
    }
}
