use std::{sync::Arc, time::Instant};

use tokio::{
    sync::{AcquireError, OwnedSemaphorePermit, Semaphore, TryAcquireError},
    time::timeout_at,
};

use crate::keyed_queue::KeyedQueue;
use crate::{Effect, ErrorKind, PersistError, Result, TenantId};

/// Bounds what waits for the writer of a store: so many operations, so many bytes. Tenants wait in a [`KeyedQueue`].
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> throughline_core::Result<()> {
/// use std::time::{Duration, Instant};
///
/// use throughline_core::{ErrorKind, TenantId, backend::QueueCapacity};
///
/// let (admission, tenant) = (QueueCapacity::new(1, 1 << 20), TenantId::default());
/// let soon = || Instant::now() + Duration::from_millis(1);
/// let slot = admission.enter(&tenant, 100, soon()).await?;
/// let error = admission.enter(&tenant, 100, soon()).await.unwrap_err();
/// assert_eq!(error.kind(), ErrorKind::Overloaded);
/// drop(slot);
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

/// A place among what waits for a writer. Dropping it gives it back.
#[derive(Debug)]
#[must_use = "the place is given back when this is dropped"]
pub struct QueuePermit {
    _operation: OwnedSemaphorePermit,
    _bytes: OwnedSemaphorePermit,
}

impl QueueCapacity {
    /// Lets so many operations in at once, and so many bytes.
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

    /// Takes a place, waiting for it until `give_up`; tenants take turns. What is larger than everything that may wait has it
    /// for itself.
    ///
    /// Dropping the future takes none.
    ///
    /// # Errors
    /// `Overloaded` when there was no place in time; `Unavailable` once it was [closed](Self::close). Nothing was applied.
    pub async fn enter(&self, tenant: &TenantId, bytes: usize, give_up: Instant) -> Result<QueuePermit> {
        // What is larger than the queue waits until it has the queue for itself.
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
        match timeout_at(give_up.into(), waiting).await {
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

    /// Whether no more than one operation is inside.
    #[must_use]
    pub fn has_one(&self) -> bool {
        self.operations.available_permits() + 1 >= self.operation_limit
    }

    /// Lets nobody in any more.
    pub fn close(&self) {
        self.operations.close();
        self.bytes.close();
    }

    /// How many operations would be let in at once.
    #[cfg(test)]
    pub(crate) fn free(&self) -> (usize, usize) {
        (self.operations.available_permits(), self.bytes.available_permits())
    }
}

/// What a store that was closed answers to a write.
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
    async fn both_bounds_hold_and_are_given_back() {
        let admission = QueueCapacity::new(2, 100);
        let first = admission.enter(&tenant(), 60, soon()).await.unwrap();
        let error = admission.enter(&tenant(), 60, soon()).await.unwrap_err();
        assert_eq!((error.kind(), error.effect()), (ErrorKind::Overloaded, Effect::NotApplied));
        let second = admission.enter(&tenant(), 40, soon()).await.unwrap();
        assert_eq!(admission.free(), (0, 0));
        assert!(!admission.has_one());
        assert_eq!(admission.enter(&tenant(), 0, soon()).await.unwrap_err().kind(), ErrorKind::Overloaded);
        drop(first);
        assert!(admission.has_one());
        drop(second);
        assert_eq!(admission.free(), (2, 100));
    }

    #[tokio::test]
    async fn what_is_larger_than_the_queue_has_it_for_itself() {
        let admission = QueueCapacity::new(2, 100);
        let all = admission.enter(&tenant(), 1 << 40, soon()).await.unwrap();
        assert_eq!(admission.free(), (1, 0));
        drop(all);
        assert_eq!(admission.free(), (2, 100));
    }

    #[tokio::test]
    async fn who_waits_is_let_in_by_who_leaves_and_sent_away_by_the_end() {
        let admission = Arc::new(QueueCapacity::new(1, 100));
        let first = admission.enter(&tenant(), 1, soon()).await.unwrap();
        let far = Instant::now() + Duration::from_secs(60);
        let waiting = tokio::spawn({
            let admission = Arc::clone(&admission);
            async move { admission.enter(&tenant(), 1, far).await.map(drop) }
        });
        tokio::task::yield_now().await;
        drop(first);
        waiting.await.unwrap().unwrap();
        let _first = admission.enter(&tenant(), 1, soon()).await.unwrap();
        let waiting = tokio::spawn({
            let admission = Arc::clone(&admission);
            async move { admission.enter(&tenant(), 1, far).await.map(drop) }
        });
        tokio::task::yield_now().await;
        admission.close();
        assert_eq!(waiting.await.unwrap().unwrap_err().kind(), ErrorKind::Unavailable);
    }

    #[tokio::test]
    async fn a_tenant_with_many_waiting_holds_no_other_up() {
        let admission = Arc::new(QueueCapacity::new(1, 100));
        let far = Instant::now() + Duration::from_secs(60);
        let order = Arc::new(std::sync::Mutex::new(Vec::new()));
        let first = admission.enter(&tenant(), 1, soon()).await.unwrap();
        let mut waiting = Vec::new();
        for name in ["busy", "busy", "busy", "other"] {
            let (admission, order) = (Arc::clone(&admission), Arc::clone(&order));
            waiting.push(tokio::spawn(async move {
                let slot = admission.enter(&name.parse().unwrap(), 1, far).await.unwrap();
                order.lock().unwrap().push(name);
                drop(slot);
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
