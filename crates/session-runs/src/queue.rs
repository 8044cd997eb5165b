//! The fair queues of a pipeline's runs: one for each agent and thread.

use throughline_core::{
    AgentId, TenantId, ThreadId,
    keyed_queue::{KeyedPermit, KeyedQueue},
};

type RunKey = (TenantId, AgentId, ThreadId);

/// The permit of one run. The next run of the same agent and thread waits until it is dropped.
pub(crate) type Permit = KeyedPermit<RunKey>;

/// The queues, which all handles of the pipeline share.
#[derive(Debug, Default)]
pub(crate) struct RunQueue(KeyedQueue<RunKey>);

impl RunQueue {
    /// Waits for the earlier runs of this process.
    pub(crate) async fn acquire(&self, key: RunKey) -> Permit {
        self.0.acquire([key]).await
    }
}
