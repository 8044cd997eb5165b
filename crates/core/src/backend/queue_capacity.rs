use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::{
    sync::{AcquireError, OwnedSemaphorePermit, Semaphore, TryAcquireError},
    time::timeout_at,
};

use crate::keyed_queue::KeyedQueue;
use crate::{Effect, ErrorKind, PersistError, Result, TenantId};

/// The capacity of a store's write queue: a limit on its operations and on their bytes. Tenants wait in a
/// [`KeyedQueue`].
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> throughline_core::Result<()> {
/// use std::time::{Duration, Instant};
///
/// use throughline_core::{ErrorKind, TenantId, backend::QueueCapacity};
///
/// let (queue, tenant) = (QueueCapacity::new(1, 1 << 20), TenantId::default());
/// let soon = || Instant::now() + Duration::from_millis(1);
/// let permit = queue.enter(&tenant, 100, soon()).await?;
/// let error = queue.enter(&tenant, 100, soon()).await.unwrap_err();
/// assert_eq!(error.kind(), ErrorKind::Overloaded);
/// drop(permit);
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct QueueCapacity {
    operations: Arc<Semaphore>,
    bytes: Arc<Semaphore>,
    operation_limit: usize,
    byte_limit: usize,
    tenants: KeyedQueue<TenantId>,
}

/// The right of one operation to wait in the queue of a writer. Dropping it returns the operation and its bytes to
/// the queue.
#[derive(Debug)]
#[must_use = "the capacity is returned when this is dropped"]
pub struct QueuePermit {
    _operation: OwnedSemaphorePermit,
    _bytes: OwnedSemaphorePermit,
}

impl QueueCapacity {
    /// Creates a queue that admits this number of operations and this number of bytes at the same time.
    #[must_use]
    pub fn new(operations: usize, bytes: usize) -> Self {
        Self {
            operations: Arc::new(Semaphore::new(operations)),
            bytes: Arc::new(Semaphore::new(bytes)),
            operation_limit: operations,
            byte_limit: bytes,
            tenants: KeyedQueue::new(),
        }
    }

    /// Acquires a permit for one operation of `bytes` estimated bytes. It waits until `deadline`; tenants are served
    /// in rotation. An operation that is larger than the byte limit acquires the whole limit, so it waits until no
    /// other operation holds bytes.
    ///
    /// # Cancel safety
    /// Dropping the future acquires no permit.
    ///
    /// # Errors
    /// `Overloaded` if there was no capacity before `deadline`; `Unavailable` after [`close`](Self::close). Nothing
    /// was applied.
    pub async fn enter(&self, tenant: &TenantId, bytes: usize, deadline: Instant) -> Result<QueuePermit> {
        // An operation that is larger than the queue waits until it has the queue for itself.
        let bytes = u32::try_from(bytes.min(self.byte_limit)).unwrap_or(u32::MAX);
        match self.try_enter(bytes) {
            Err(TryAcquireError::NoPermits) => {}
            entered => return entered.map_err(|_| closed()),
        }
        let waiting = async {
            let _front = self.tenants.acquire([tenant.clone()]).await;
            let operation = Arc::clone(&self.operations).acquire_owned().await?;
            let bytes = Arc::clone(&self.bytes).acquire_many_owned(bytes).await?;
            Ok(QueuePermit { _operation: operation, _bytes: bytes })
        };
        match timeout_at(deadline.into(), waiting).await {
            Ok(entered) => entered.map_err(|_: AcquireError| closed()),
            Err(_) => Err(PersistError::new(ErrorKind::Overloaded, "the queue of the writer stayed full")
                .with_effect(Effect::NotApplied)),
        }
    }

    fn try_enter(&self, bytes: u32) -> Result<QueuePermit, TryAcquireError> {
        let operation = Arc::clone(&self.operations).try_acquire_owned()?;
        let bytes = Arc::clone(&self.bytes).try_acquire_many_owned(bytes)?;
        Ok(QueuePermit { _operation: operation, _bytes: bytes })
    }

    /// Whether the queue holds at most one operation.
    #[must_use]
    pub fn has_one(&self) -> bool {
        self.operations.available_permits() + 1 >= self.operation_limit
    }

    /// Refuses all waiting and later operations as `Unavailable`.
    pub fn close(&self) {
        self.operations.close();
        self.bytes.close();
    }

    /// Returns the number of operations and the number of bytes that are free.
    #[cfg(test)]
    pub(crate) fn free(&self) -> (usize, usize) {
        (self.operations.available_permits(), self.bytes.available_permits())
    }
}

/// The most time that a call ends before its deadline.
const DEADLINE_MARGIN: Duration = Duration::from_millis(10);

/// Returns the instant until which a call waits for a permit: a little before its deadline, so that the caller still learns
/// that the call was not applied, or `wait_limit` from now for a call without a deadline.
#[must_use]
pub fn wait_until(deadline: Option<Instant>, wait_limit: Duration) -> Instant {
    let now = Instant::now();
    match deadline {
        Some(deadline) => deadline - (deadline.saturating_duration_since(now) / 8).min(DEADLINE_MARGIN),
        None => now + wait_limit,
    }
}

/// Returns the error of a write that the writer dropped without an answer.
#[must_use]
pub fn unanswered() -> PersistError {
    PersistError::new(ErrorKind::Internal, "the writer dropped a write without an answer")
        .with_effect(Effect::Unknown)
}

/// Returns the error of a closed store for a write.
#[must_use]
pub fn closed() -> PersistError {
    PersistError::new(ErrorKind::Unavailable, "the store is closed").with_effect(Effect::NotApplied)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn tenant() -> TenantId {
        "t".parse().unwrap()
    }

    fn soon() -> Instant {
        Instant::now() + Duration::from_millis(5)
    }

    #[tokio::test]
    async fn permits_hold_both_limits_and_return_them_when_dropped() {
        let queue = QueueCapacity::new(2, 100);
        let first = queue.enter(&tenant(), 60, soon()).await.unwrap();
        let error = queue.enter(&tenant(), 60, soon()).await.unwrap_err();
        assert_eq!((error.kind(), error.effect()), (ErrorKind::Overloaded, Effect::NotApplied));
        let second = queue.enter(&tenant(), 40, soon()).await.unwrap();
        assert_eq!(queue.free(), (0, 0));
        assert!(!queue.has_one());
        assert_eq!(queue.enter(&tenant(), 0, soon()).await.unwrap_err().kind(), ErrorKind::Overloaded);
        drop(first);
        assert!(queue.has_one());
        drop(second);
        assert_eq!(queue.free(), (2, 100));
    }

    #[tokio::test]
    async fn an_operation_larger_than_the_queue_takes_the_whole_queue() {
        let queue = QueueCapacity::new(2, 100);
        let all = queue.enter(&tenant(), 1 << 40, soon()).await.unwrap();
        assert_eq!(queue.free(), (1, 0));
        drop(all);
        assert_eq!(queue.free(), (2, 100));
    }

    #[tokio::test]
    async fn a_dropped_permit_admits_a_waiter_and_close_refuses_it() {
        let queue = Arc::new(QueueCapacity::new(1, 100));
        let first = queue.enter(&tenant(), 1, soon()).await.unwrap();
        let far = Instant::now() + Duration::from_secs(60);
        let waiting = tokio::spawn({
            let queue = Arc::clone(&queue);
            async move { queue.enter(&tenant(), 1, far).await.map(drop) }
        });
        tokio::task::yield_now().await;
        drop(first);
        waiting.await.unwrap().unwrap();
        let _first = queue.enter(&tenant(), 1, soon()).await.unwrap();
        let waiting = tokio::spawn({
            let queue = Arc::clone(&queue);
            async move { queue.enter(&tenant(), 1, far).await.map(drop) }
        });
        tokio::task::yield_now().await;
        queue.close();
        assert_eq!(waiting.await.unwrap().unwrap_err().kind(), ErrorKind::Unavailable);
    }

    #[tokio::test]
    async fn a_tenant_with_many_waiters_does_not_delay_another_tenant() {
        let queue = Arc::new(QueueCapacity::new(1, 100));
        let far = Instant::now() + Duration::from_secs(60);
        let order = Arc::new(std::sync::Mutex::new(Vec::new()));
        let first = queue.enter(&tenant(), 1, soon()).await.unwrap();
        let mut waiting = Vec::new();
        for name in ["busy", "busy", "busy", "other"] {
            let (queue, order) = (Arc::clone(&queue), Arc::clone(&order));
            waiting.push(tokio::spawn(async move {
                let permit = queue.enter(&name.parse().unwrap(), 1, far).await.unwrap();
                order.lock().unwrap().push(name);
                drop(permit);
            }));
            tokio::task::yield_now().await;
        }
        drop(first);
        for waiting in waiting {
            waiting.await.unwrap();
        }
        assert_eq!(*order.lock().unwrap(), ["busy", "other", "busy", "busy"]);
    }
}
