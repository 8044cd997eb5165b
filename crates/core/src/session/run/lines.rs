//! Who waits for whom in this process: one line for each agent in a thread, first come, first served.

use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, Mutex, PoisonError},
};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::{AgentId, TenantId, ThreadId};

/// An agent of a tenant in a thread.
pub(super) type Key = (TenantId, AgentId, ThreadId);

/// The lines of a pipeline. There is one for a key while anybody stands in it.
#[derive(Clone, Default)]
pub(crate) struct Lines(Arc<Mutex<HashMap<Key, Arc<Semaphore>>>>);

impl Lines {
    /// Waits until everybody who came before has left.
    ///
    /// # Cancel safety
    /// Dropped, it has left the line.
    pub(super) async fn enter(&self, key: Key) -> Place {
        let head = Arc::clone(self.lock().entry(key.clone()).or_insert_with(|| Arc::new(Semaphore::new(1))));
        let mut place = Place { permit: None, head: Some(head.clone()), key, lines: self.clone() };
        // Nobody closes it.
        place.permit = head.acquire_owned().await.ok();
        place
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<Key, Arc<Semaphore>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Lines {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lines").field("keys", &self.lock().len()).finish()
    }
}

/// A place in a line: the first one, once it was entered.
#[derive(Debug)]
pub(super) struct Place {
    permit: Option<OwnedSemaphorePermit>,
    head: Option<Arc<Semaphore>>,
    key: Key,
    lines: Lines,
}

impl Drop for Place {
    fn drop(&mut self) {
        drop(self.permit.take());
        let mut lines = self.lines.lock();
        drop(self.head.take());
        // Whoever else stands in it holds it; it is handed out under this lock alone.
        if lines.get(&self.key).is_some_and(|head| Arc::strong_count(head) == 1) {
            lines.remove(&self.key);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{future::Future, pin::pin, task::Poll};

    use super::*;

    fn key(thread: &str) -> Key {
        (TenantId::default(), "agent".parse().unwrap(), thread.parse().unwrap())
    }

    async fn is_pending(future: &mut (impl Future + Unpin)) -> bool {
        std::future::poll_fn(|cx| Poll::Ready(std::pin::Pin::new(&mut *future).poll(cx).is_pending())).await
    }

    #[tokio::test]
    async fn a_line_is_first_come_first_served_and_leaves_nothing_behind() {
        let lines = Lines::default();
        let first = lines.enter(key("a")).await;
        let mut second = pin!(lines.enter(key("a")));
        let mut third = pin!(lines.enter(key("a")));
        assert!(is_pending(&mut second).await);
        assert!(is_pending(&mut third).await);
        // Another thread waits for nobody.
        drop(lines.enter(key("b")).await);
        drop(first);
        assert!(is_pending(&mut third).await);
        drop(second.await);
        drop(third.await);
        assert!(lines.lock().is_empty());
    }

    #[tokio::test]
    async fn whoever_gives_up_has_left_the_line() {
        let lines = Lines::default();
        let first = lines.enter(key("a")).await;
        let mut second = Box::pin(lines.enter(key("a")));
        assert!(is_pending(&mut second).await);
        drop(second);
        drop(first);
        assert!(lines.lock().is_empty());
    }
}
