use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::TenantId;

/// Tenants who take turns: each waits in a line of its own, and only the first of each line goes on to wait with the
/// others. However long one line is, nobody else waits behind more than one of it.
///
/// For what several tenants wait for together, such as a place in the queue of a store. Somebody who finds a place free
/// need not take a turn.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> throughline_core::Result<()> {
/// use std::sync::Arc;
///
/// use throughline_core::{TenantId, backend::Turns};
/// use tokio::sync::Semaphore;
///
/// let (turns, places) = (Turns::new(), Arc::new(Semaphore::new(8)));
/// let tenant: TenantId = "acme".parse()?;
/// let turn = turns.take(&tenant).await; // behind the others of this tenant
/// let place = Arc::clone(&places).acquire_owned().await; // behind one of each other tenant
/// drop(turn);
/// # drop(place);
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Default)]
pub struct Turns {
    /// Those that somebody is in.
    lines: Mutex<HashMap<TenantId, Arc<Line>>>,
}

/// One place at the front. Everyone who is in the line has a hold on it.
#[derive(Debug)]
struct Line {
    front: Arc<Semaphore>,
}

/// The first place in the line of a tenant: dropped, it is the next one's.
#[derive(Debug)]
#[must_use = "the turn is over when this is dropped"]
pub struct Turn<'a> {
    _first: OwnedSemaphorePermit,
    // After the permit, which keeps the line in use.
    _line: InLine<'a>,
}

/// A place in a line, which goes away with the last who is in it.
#[derive(Debug)]
struct InLine<'a> {
    turns: &'a Turns,
    tenant: TenantId,
    /// Let go under the lock of the map, so that of two who leave at once the second sees that the first is gone.
    line: Option<Arc<Line>>,
}

impl Turns {
    /// Nobody waits.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Waits until nobody of this tenant is before.
    ///
    /// Cancelled, it leaves the line.
    pub async fn take(&self, tenant: &TenantId) -> Turn<'_> {
        let empty = || Arc::new(Line { front: Arc::new(Semaphore::new(1)) });
        let line = Arc::clone(self.lines().entry(tenant.clone()).or_insert_with(empty));
        let front = Arc::clone(&line.front).acquire_owned();
        let in_line = InLine { turns: self, tenant: tenant.clone(), line: Some(line) };
        let first = front.await.expect("a line is never closed");
        Turn { _first: first, _line: in_line }
    }

    /// How many of this tenant are in line, the first of them included.
    #[must_use]
    pub fn waiting(&self, tenant: &TenantId) -> usize {
        // The map has a hold on the line too.
        self.lines().get(tenant).map_or(0, |line| Arc::strong_count(line) - 1)
    }

    fn lines(&self) -> MutexGuard<'_, HashMap<TenantId, Arc<Line>>> {
        // Nothing panics while it holds the lock.
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for InLine<'_> {
    fn drop(&mut self) {
        let mut lines = self.turns.lines();
        // Everyone who is in the line has a hold on it, and gets it and lets it go under this lock.
        drop(self.line.take());
        if lines.get(&self.tenant).is_some_and(|line| Arc::strong_count(line) == 1) {
            lines.remove(&self.tenant);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    #[tokio::test]
    async fn a_long_line_holds_nobody_else_up() {
        let (turns, places) = (Turns::new(), Arc::new(Semaphore::new(0)));
        let order = Mutex::new(Vec::new());
        let wait = async |tenant: &str| {
            let turn = turns.take(&tenant.parse().unwrap()).await;
            let place = places.acquire().await.unwrap();
            drop(turn);
            order.lock().unwrap().push(tenant.to_owned());
            place.forget();
        };
        let lines = async {
            tokio::join!(wait("a"), wait("a"), wait("a"), wait("b"), wait("b"), wait("c"));
        };
        let serve = async {
            for _ in 0..6 {
                // Everyone who can goes to stand where they wait.
                tokio::task::yield_now().await;
                places.add_permits(1);
            }
        };
        tokio::join!(lines, serve);
        assert_eq!(*order.lock().unwrap(), ["a", "b", "c", "a", "b", "a"]);
        assert!(turns.lines().is_empty());
    }

    #[tokio::test]
    async fn who_leaves_a_line_leaves_nothing_behind() {
        let turns = Turns::new();
        let tenant = "a".parse().unwrap();
        let first = turns.take(&tenant).await;
        {
            let mut second = std::pin::pin!(turns.take(&tenant));
            assert!(
                std::future::poll_fn(|cx| std::task::Poll::Ready(second.as_mut().poll(cx).is_pending()))
                    .await
            );
            assert_eq!(turns.waiting(&tenant), 2);
        }
        assert_eq!(turns.waiting(&tenant), 1);
        drop(first);
        assert!(turns.lines().is_empty());
        drop(turns.take(&tenant).await);
    }
}
