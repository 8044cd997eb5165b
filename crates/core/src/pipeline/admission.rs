use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::{Effect, ErrorKind, PersistError, Result, TenantId, keyed_queue::KeyedQueue};

/// How many calls a pipeline lets in: so many run, so many more wait, the rest is refused as `Overloaded`.
///
/// Reads and writes are counted apart, so that a read never waits for a write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Admission {
    /// Writes that run at once.
    pub writes: usize,
    /// Reads that run at once.
    pub reads: usize,
    /// Calls of each sort that may wait for their turn. Tenants take turns, so that the calls of one do not wait behind
    /// all those of another; and when so many wait, a tenant with less than an eighth of them may still let calls wait,
    /// until there are twice as many.
    pub waiting: usize,
}

impl Default for Admission {
    /// 1 024 writes, 1 024 reads, and 16 384 waiting of each.
    fn default() -> Self {
        Self { writes: 1024, reads: 1024, waiting: 16_384 }
    }
}

/// The gate at the edge.
#[derive(Debug)]
pub(super) struct Gate {
    writes: Lane,
    reads: Lane,
}

#[derive(Debug)]
pub(super) struct Lane {
    slots: Arc<Semaphore>,
    tenants: KeyedQueue<TenantId>,
    waiting: AtomicUsize,
    max_waiting: usize,
}

/// What a refused caller is told to wait.
const RETRY_AFTER: Duration = Duration::from_millis(50);

impl Gate {
    pub(super) fn new(admission: Admission) -> Self {
        let lane = |slots: usize| Lane {
            slots: Arc::new(Semaphore::new(slots.clamp(1, Semaphore::MAX_PERMITS))),
            tenants: KeyedQueue::new(),
            waiting: AtomicUsize::new(0),
            max_waiting: admission.waiting,
        };
        Self { writes: lane(admission.writes), reads: lane(admission.reads) }
    }

    pub(super) const fn lane(&self, is_write: bool) -> &Lane {
        if is_write { &self.writes } else { &self.reads }
    }
}

impl Lane {
    /// A slot, if one is free and nobody waits before us.
    pub(super) fn try_enter(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.slots).try_acquire_owned().ok()
    }

    /// Waits for a slot. Tenants take turns: who has many calls waiting holds nobody else up.
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
        // A tenant who has not filled the room is let in all the same, while it has no great part of it.
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
        Ok(Arc::clone(&self.slots).acquire_owned().await.expect("the gate is never closed"))
    }
}
