use std::sync::Arc;

use throughline_core::{Result, TenantId, backend::QueueCapacity};
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
    /// Waits for a permit and sends work to the writer. Returns the channel on which the writer answers it, also after a
    /// panic.
    ///
    /// If the caller drops the channel before the writer has taken the work, the work is not done.
    pub(crate) async fn send(
        &self,
        tenant: &TenantId,
        work: Work,
        bytes: usize,
        times: Times,
    ) -> Result<oneshot::Receiver<Result<Committed>>> {
        self.health_state.admit()?;
        let slot = self.admission.enter(tenant, bytes, times.timeout_at).await?;
        let (pending, answer) = Pending::new(work, times, bytes, slot);
        self.queue.push(pending);
        Ok(answer)
    }

    /// Closes the queue to further work.
    pub(super) fn close(&self) {
        self.admission.close();
        self.queue.close();
    }
}
