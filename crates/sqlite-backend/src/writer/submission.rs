use std::sync::Arc;

use throughline_core::{
    Result, TenantId,
    backend::{QueueCapacity, QueuePermit},
};
use tokio::sync::oneshot;

use crate::{
    health::HealthState,
    queue::{Committed, Pending, Queue, Times, Work},
};

/// The way of work to the writer.
#[derive(Debug, Clone)]
pub(crate) struct Submission {
    pub(crate) queue: Arc<Queue>,
    pub(crate) admission: Arc<QueueCapacity>,
    pub(crate) health_state: Arc<HealthState>,
}

impl Submission {
    /// Waits for a permit.
    pub(crate) async fn enter(&self, tenant: &TenantId, bytes: usize, times: Times) -> Result<QueuePermit> {
        self.health_state.admit()?;
        self.admission.enter(tenant, bytes, times.timeout_at).await
    }

    /// Sends work to the writer. Returns the channel on which the writer answers it, also after a panic.
    ///
    /// If the caller drops the channel before the writer has taken the work, the work is not done.
    pub(crate) fn send(
        &self,
        permit: QueuePermit,
        work: Work,
        bytes: usize,
        times: Times,
    ) -> oneshot::Receiver<Result<Committed>> {
        let (pending, answer) = Pending::new(work, times, bytes, permit);
        self.queue.push(pending);
        answer
    }

    /// Closes the queue to further work.
    pub(super) fn close(&self) {
        self.admission.close();
        self.queue.close();
    }
}
