//! The queue of bulk calls, which wait until few live writes run.

use std::{
    pin::pin,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::{
    select,
    sync::{Notify, OwnedSemaphorePermit, Semaphore},
    time::{Instant, sleep_until},
};

use throughline_core::{Context, Effect, ErrorKind, PersistError, Result, TenantId, keyed_queue::KeyedQueue};

/// The settings of the queue.
#[derive(Debug, Clone, Copy)]
pub(super) struct Settings {
    pub(super) at_once: usize,
    pub(super) max_live_writes: usize,
    pub(super) quiet: Duration,
    pub(super) longest: Duration,
    pub(super) waiting: usize,
}

#[derive(Debug)]
pub(super) struct BulkQueue {
    settings: Settings,
    permits: Arc<Semaphore>,
    /// Only the first waiting call of each tenant waits for a permit, so that the permits go to the tenants in rotation.
    tenants: KeyedQueue<TenantId>,
    waiting: AtomicUsize,
    live: Mutex<Live>,
    /// Notifies the waiting calls that a live write ended.
    fewer: Notify,
}

#[derive(Debug, Default)]
struct Live {
    writes: usize,
    ended: Option<Instant>,
}

/// The guard that a call holds until it has answered.
#[derive(Debug, Default)]
pub(super) struct CallGuard {
    _live: Option<LiveWrite>,
    _bulk: Option<BulkPermit>,
}

impl From<LiveWrite> for CallGuard {
    fn from(live: LiveWrite) -> Self {
        Self { _live: Some(live), _bulk: None }
    }
}

impl From<BulkPermit> for CallGuard {
    fn from(permit: BulkPermit) -> Self {
        Self { _live: None, _bulk: Some(permit) }
    }
}

impl BulkQueue {
    pub(super) fn new(settings: Settings) -> Arc<Self> {
        let permits = Arc::new(Semaphore::new(settings.at_once.clamp(1, Semaphore::MAX_PERMITS)));
        Arc::new(Self {
            settings,
            permits,
            tenants: KeyedQueue::new(),
            waiting: AtomicUsize::new(0),
            live: Mutex::default(),
            fewer: Notify::new(),
        })
    }

    /// Registers a live write that starts.
    pub(super) fn live(self: &Arc<Self>) -> LiveWrite {
        self.lock().writes += 1;
        LiveWrite(Arc::clone(self))
    }

    /// Registers a waiting bulk call, or refuses it when too many wait.
    pub(super) fn wait(self: &Arc<Self>) -> Result<Waiting> {
        let before = self.waiting.fetch_add(1, Ordering::Relaxed);
        let waiting = Waiting { queue: Arc::clone(self), arrived: Instant::now() };
        if before < self.settings.waiting {
            return Ok(waiting);
        }
        let detail = format!("{before} bulk calls are waiting already");
        let error = PersistError::new(ErrorKind::Overloaded, detail).with_effect(Effect::NotApplied);
        Err(error.with_retry_after(self.settings.quiet.max(Duration::from_millis(50))))
    }

    /// Returns the instant from which bulk work may start; `None` while too many live writes run.
    fn quiet_from(&self) -> Option<Instant> {
        let live = self.lock();
        let now = Instant::now();
        (live.writes <= self.settings.max_live_writes)
            .then(|| live.ended.map_or(now, |ended| later(ended, self.settings.quiet)))
    }

    /// Waits until few enough live writes run, or until `latest`.
    async fn quiet(&self, latest: Instant) {
        loop {
            let mut fewer = pin!(self.fewer.notified());
            // Registered before the check, so that no notification is missed.
            fewer.as_mut().enable();
            let now = Instant::now();
            let from = self.quiet_from();
            if now >= latest || from.is_some_and(|from| from <= now) {
                return;
            }
            select! {
                () = sleep_until(from.unwrap_or(latest).min(latest)) => {}
                () = fewer => {}
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Live> {
        // No code panics while it holds the lock.
        self.live.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Adds two times; an instant that overflows becomes one day from now.
fn later(from: Instant, by: Duration) -> Instant {
    from.checked_add(by).unwrap_or_else(|| from + Duration::from_secs(24 * 3600))
}

/// A running live write.
#[derive(Debug)]
pub(super) struct LiveWrite(Arc<BulkQueue>);

impl Drop for LiveWrite {
    fn drop(&mut self) {
        let mut live = self.0.lock();
        live.writes -= 1;
        live.ended = Some(Instant::now());
        let may_start = live.writes == self.0.settings.max_live_writes;
        drop(live);
        if may_start {
            self.0.fewer.notify_waiters();
        }
    }
}

/// A bulk call that waits.
#[derive(Debug)]
pub(super) struct Waiting {
    queue: Arc<BulkQueue>,
    arrived: Instant,
}

impl Waiting {
    /// Waits until the call may start. A dropped wait holds no permit.
    pub(super) async fn acquire(self, context: Context) -> BulkPermit {
        let first = self.queue.tenants.acquire([context.tenant().clone()]).await;
        let permit =
            Arc::clone(&self.queue.permits).acquire_owned().await.expect("the semaphore is never closed");
        drop(first);
        self.queue.quiet(later(self.arrived, self.queue.settings.longest)).await;
        BulkPermit { permit: Some(permit), context }
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.queue.waiting.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The permit of a bulk call, held until all of the call's writes have ended.
#[derive(Debug)]
pub(super) struct BulkPermit {
    permit: Option<OwnedSemaphorePermit>,
    context: Context,
}

impl Drop for BulkPermit {
    fn drop(&mut self) {
        if let Some(permit) = self.permit.take() {
            self.context.release_after_writes(permit);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn queue(max_live_writes: usize, longest: Duration) -> Arc<BulkQueue> {
        BulkQueue::new(Settings { at_once: 1, max_live_writes, quiet: Duration::ZERO, longest, waiting: 1 })
    }

    #[tokio::test(start_paused = true)]
    async fn bulk_work_starts_at_the_allowed_number_of_live_writes() {
        let queue = queue(1, Duration::from_secs(10));
        let _one = queue.live();
        assert!(queue.quiet_from().is_some());
        let two = queue.live();
        assert!(queue.quiet_from().is_none());
        let begun = Instant::now();
        let ends = async {
            sleep_until(begun + Duration::from_secs(1)).await;
            drop(two);
        };
        tokio::join!(queue.quiet(begun + Duration::from_secs(10)), ends);
        assert_eq!(begun.elapsed(), Duration::from_secs(1), "a notification ends the wait, without polling");
    }

    #[tokio::test(start_paused = true)]
    async fn an_endless_wait_does_not_overflow() {
        let queue = queue(0, Duration::MAX);
        let live = queue.live();
        let waits = queue.quiet(later(Instant::now(), Duration::MAX));
        tokio::join!(waits, async move { drop(live) });
    }
}
