use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::{Effect, ErrorKind, PersistError, Result, TenantId, keyed_queue::KeyedQueue};

/// The limits of a pipeline on running and waiting calls. A call beyond them fails as `Overloaded`.
///
/// Reads and writes have separate limits, so that a read never waits for a write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Admission {
    /// The most writes that run at the same time.
    pub writes: usize,
    /// The most reads that run at the same time.
    pub reads: usize,
    /// The most calls of each kind that wait. The queue serves tenants in rotation, so that the calls of one tenant do not wait
    /// behind all calls of another. When the queue is full, a tenant with less than an eighth of it can still add calls, up to
    /// twice this limit in total.
    pub waiting: usize,
}

impl Default for Admission {
    /// 1,024 writes, 1,024 reads, and 16,384 waiting calls of each.
    fn default() -> Self {
        Self { writes: 1024, reads: 1024, waiting: 16_384 }
    }
}

/// The admission queues at the edge.
#[derive(Debug)]
pub(super) struct AdmissionQueues {
    writes: AdmissionQueue,
    reads: AdmissionQueue,
}

#[derive(Debug)]
pub(super) struct AdmissionQueue {
    slots: Arc<Semaphore>,
    tenants: KeyedQueue<TenantId>,
    waiting: AtomicUsize,
    max_waiting: usize,
}

/// The time after which a refused caller should repeat its call.
const RETRY_AFTER: Duration = Duration::from_millis(50);

impl AdmissionQueues {
    pub(super) fn new(admission: Admission) -> Self {
        let queue = |slots: usize| AdmissionQueue {
            slots: Arc::new(Semaphore::new(slots.clamp(1, Semaphore::MAX_PERMITS))),
            tenants: KeyedQueue::new(),
            waiting: AtomicUsize::new(0),
            max_waiting: admission.waiting,
        };
        Self { writes: queue(admission.writes), reads: queue(admission.reads) }
    }

    pub(super) const fn queue(&self, is_write: bool) -> &AdmissionQueue {
        if is_write { &self.writes } else { &self.reads }
    }
}

impl AdmissionQueue {
    /// Returns a permit if one is free and no call waits.
    pub(super) fn try_enter(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.slots).try_acquire_owned().ok()
    }

    /// Waits for a permit. The queue serves tenants in rotation, so that a tenant with many waiting calls does not delay the
    /// others.
    pub(super) async fn enter(&self, tenant: &TenantId) -> Result<OwnedSemaphorePermit> {
        struct Waiting<'a>(&'a AtomicUsize);
        impl Drop for Waiting<'_> {
            fn drop(&mut self) {
                self.0.fetch_sub(1, Ordering::Relaxed);
            }
        }
        let before = self.waiting.fetch_add(1, Ordering::Relaxed);
        let _waiting = Waiting(&self.waiting);
        let max = self.max_waiting;
        // A tenant with few waiting calls is admitted beyond the limit.
        let is_full = before >= max.saturating_mul(2) || self.tenants.len_of(tenant) >= max / 8;
        if before >= max && is_full {
            return Err(PersistError::new(
                ErrorKind::Overloaded,
                format!("{before} calls are waiting already"),
            )
            .with_effect(Effect::NotApplied)
            .with_retry_after(RETRY_AFTER));
        }
        let _turn = self.tenants.acquire([tenant.clone()]).await;
        Ok(Arc::clone(&self.slots).acquire_owned().await.expect("the semaphore is never closed"))
    }
}
