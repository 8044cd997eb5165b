use std::{sync::Arc, time::Instant};

use throughline_core::{Effect, ErrorKind, PersistError, Result};
use tokio::{
    sync::{AcquireError, OwnedSemaphorePermit, Semaphore, TryAcquireError},
    time::timeout_at,
};

/// Bounds what waits for the writer: so many operations, so many bytes.
#[derive(Debug)]
pub(crate) struct Admission {
    operations: Arc<Semaphore>,
    bytes: Arc<Semaphore>,
    operation_limit: usize,
    byte_limit: usize,
}

/// A place in the queue. Dropping it gives it back.
#[derive(Debug)]
pub(crate) struct Slot {
    _operation: OwnedSemaphorePermit,
    _bytes: OwnedSemaphorePermit,
}

impl Admission {
    pub(crate) fn new(operations: usize, bytes: usize) -> Self {
        Self {
            operations: Arc::new(Semaphore::new(operations)),
            bytes: Arc::new(Semaphore::new(bytes)),
            operation_limit: operations,
            byte_limit: bytes,
        }
    }

    /// Takes a place, waiting for it until `give_up`. Dropping the future takes none.
    pub(crate) async fn enter(&self, bytes: usize, give_up: Instant) -> Result<Slot> {
        // What is larger than the queue waits until it has the queue for itself.
        let bytes = u32::try_from(bytes.min(self.byte_limit)).unwrap_or(u32::MAX);
        let operation = take(&self.operations, 1, give_up).await?;
        let bytes = take(&self.bytes, bytes, give_up).await?;
        Ok(Slot { _operation: operation, _bytes: bytes })
    }

    /// Whether no more than one operation is inside.
    pub(crate) fn has_one(&self) -> bool {
        self.operations.available_permits() + 1 >= self.operation_limit
    }

    /// Lets nobody in any more.
    pub(crate) fn close(&self) {
        self.operations.close();
        self.bytes.close();
    }

    /// How many operations would be let in at once.
    #[cfg(test)]
    pub(crate) fn free(&self) -> (usize, usize) {
        (self.operations.available_permits(), self.bytes.available_permits())
    }
}

async fn take(semaphore: &Arc<Semaphore>, permits: u32, give_up: Instant) -> Result<OwnedSemaphorePermit> {
    match Arc::clone(semaphore).try_acquire_many_owned(permits) {
        Ok(permit) => Ok(permit),
        Err(TryAcquireError::Closed) => Err(closed()),
        Err(TryAcquireError::NoPermits) => {
            let waiting = Arc::clone(semaphore).acquire_many_owned(permits);
            match timeout_at(give_up.into(), waiting).await {
                Ok(permit) => permit.map_err(|_: AcquireError| closed()),
                Err(_) => {
                    Err(PersistError::new(ErrorKind::Overloaded, "the queue of the writer stayed full")
                        .with_effect(Effect::NotApplied))
                }
            }
        }
    }
}

pub(crate) fn closed() -> PersistError {
    PersistError::new(ErrorKind::Unavailable, "the store is closed").with_effect(Effect::NotApplied)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn soon() -> Instant {
        Instant::now() + Duration::from_millis(5)
    }

    #[tokio::test]
    async fn both_bounds_hold_and_are_given_back() {
        let admission = Admission::new(2, 100);
        let first = admission.enter(60, soon()).await.unwrap();
        let error = admission.enter(60, soon()).await.unwrap_err();
        assert_eq!((error.kind(), error.effect()), (ErrorKind::Overloaded, Effect::NotApplied));
        let second = admission.enter(40, soon()).await.unwrap();
        assert_eq!(admission.free(), (0, 0));
        assert!(!admission.has_one());
        assert_eq!(admission.enter(0, soon()).await.unwrap_err().kind(), ErrorKind::Overloaded);
        drop(first);
        assert!(admission.has_one());
        drop(second);
        assert_eq!(admission.free(), (2, 100));
    }

    #[tokio::test]
    async fn what_is_larger_than_the_queue_has_it_for_itself() {
        let admission = Admission::new(2, 100);
        let all = admission.enter(1 << 40, soon()).await.unwrap();
        assert_eq!(admission.free(), (1, 0));
        drop(all);
        assert_eq!(admission.free(), (2, 100));
    }

    #[tokio::test]
    async fn who_waits_is_let_in_by_who_leaves_and_sent_away_by_the_end() {
        let admission = Arc::new(Admission::new(1, 100));
        let first = admission.enter(1, soon()).await.unwrap();
        let far = Instant::now() + Duration::from_secs(60);
        let waiting = tokio::spawn({
            let admission = Arc::clone(&admission);
            async move { admission.enter(1, far).await.map(drop) }
        });
        tokio::task::yield_now().await;
        drop(first);
        waiting.await.unwrap().unwrap();
        let _first = admission.enter(1, soon()).await.unwrap();
        let waiting = tokio::spawn({
            let admission = Arc::clone(&admission);
            async move { admission.enter(1, far).await.map(drop) }
        });
        tokio::task::yield_now().await;
        admission.close();
        assert_eq!(waiting.await.unwrap().unwrap_err().kind(), ErrorKind::Unavailable);
    }
}
