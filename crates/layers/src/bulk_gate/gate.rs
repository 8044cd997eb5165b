//! Who waits, and until when.

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

use throughline_core::{Context, Effect, ErrorKind, PersistError, Result};

/// What the gate goes by.
#[derive(Debug, Clone, Copy)]
pub(super) struct Terms {
    pub(super) at_once: usize,
    pub(super) beside: usize,
    pub(super) quiet: Duration,
    pub(super) longest: Duration,
    pub(super) waiting: usize,
}

#[derive(Debug)]
pub(super) struct Gate {
    terms: Terms,
    places: Arc<Semaphore>,
    waiting: AtomicUsize,
    live: Mutex<Live>,
    /// Fewer live writes are under way than before.
    fewer: Notify,
}

#[derive(Debug, Default)]
struct Live {
    writes: usize,
    ended: Option<Instant>,
}

/// What a call holds while it goes on.
#[derive(Debug, Default)]
pub(super) struct Pass {
    _live: Option<LiveWrite>,
    _bulk: Option<Place>,
}

impl From<LiveWrite> for Pass {
    fn from(live: LiveWrite) -> Self {
        Self { _live: Some(live), _bulk: None }
    }
}

impl From<Place> for Pass {
    fn from(bulk: Place) -> Self {
        Self { _live: None, _bulk: Some(bulk) }
    }
}

impl Gate {
    pub(super) fn new(terms: Terms) -> Arc<Self> {
        let places = Arc::new(Semaphore::new(terms.at_once.clamp(1, Semaphore::MAX_PERMITS)));
        Arc::new(Self {
            terms,
            places,
            waiting: AtomicUsize::new(0),
            live: Mutex::default(),
            fewer: Notify::new(),
        })
    }

    /// A live write begins.
    pub(super) fn live(self: &Arc<Self>) -> LiveWrite {
        self.lock().writes += 1;
        LiveWrite(Arc::clone(self))
    }

    /// A place to wait in, before the bulk work begins.
    pub(super) fn wait(self: &Arc<Self>) -> Result<Waiting> {
        let before = self.waiting.fetch_add(1, Ordering::Relaxed);
        let waiting = Waiting { gate: Arc::clone(self), came: Instant::now() };
        if before < self.terms.waiting {
            return Ok(waiting);
        }
        let detail = format!("{before} bulk calls are waiting already");
        let error = PersistError::new(ErrorKind::Overloaded, detail).with_effect(Effect::NotApplied);
        Err(error.with_retry_after(self.terms.quiet.max(Duration::from_millis(50))))
    }

    /// Since when, or from when on, there is quiet; nothing while too much is under way.
    fn quiet_from(&self) -> Option<Instant> {
        let live = self.lock();
        let now = Instant::now();
        (live.writes <= self.terms.beside)
            .then(|| live.ended.map_or(now, |ended| later(ended, self.terms.quiet)))
    }

    /// Waits until live writes leave room, or until `latest`.
    async fn quiet(&self, latest: Instant) {
        loop {
            let mut fewer = pin!(self.fewer.notified());
            // Before the look, so that nothing that ends meanwhile is missed.
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
        // Nothing panics while it holds the lock.
        self.live.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A moment that is too far off to be told is a day off.
fn later(from: Instant, by: Duration) -> Instant {
    from.checked_add(by).unwrap_or_else(|| from + Duration::from_secs(24 * 3600))
}

/// A live write that is under way.
#[derive(Debug)]
pub(super) struct LiveWrite(Arc<Gate>);

impl Drop for LiveWrite {
    fn drop(&mut self) {
        let mut live = self.0.lock();
        live.writes -= 1;
        live.ended = Some(Instant::now());
        let leaves_room = live.writes == self.0.terms.beside;
        drop(live);
        if leaves_room {
            self.0.fewer.notify_waiters();
        }
    }
}

/// Bulk work that has not begun.
#[derive(Debug)]
pub(super) struct Waiting {
    gate: Arc<Gate>,
    came: Instant,
}

impl Waiting {
    /// Waits for the turn of the call. Left before its end, it has held nothing.
    pub(super) async fn turn(self, context: Context) -> Place {
        let place = Arc::clone(&self.gate.places).acquire_owned().await.expect("the gate is never closed");
        self.gate.quiet(later(self.came, self.gate.terms.longest)).await;
        Place { permit: Some(place), context }
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.gate.waiting.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The place of bulk work, held until nothing of its call goes on.
#[derive(Debug)]
pub(super) struct Place {
    permit: Option<OwnedSemaphorePermit>,
    context: Context,
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Some(permit) = self.permit.take() {
            self.context.release_after_writes(permit);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gate(beside: usize, longest: Duration) -> Arc<Gate> {
        Gate::new(Terms { at_once: 1, beside, quiet: Duration::ZERO, longest, waiting: 1 })
    }

    #[tokio::test(start_paused = true)]
    async fn bulk_work_may_begin_beside_so_many_live_writes() {
        let gate = gate(1, Duration::from_secs(10));
        let _one = gate.live();
        assert!(gate.quiet_from().is_some());
        let two = gate.live();
        assert!(gate.quiet_from().is_none());
        let begun = Instant::now();
        let ends = async {
            sleep_until(begun + Duration::from_secs(1)).await;
            drop(two);
        };
        tokio::join!(gate.quiet(begun + Duration::from_secs(10)), ends);
        assert_eq!(begun.elapsed(), Duration::from_secs(1), "it is told, and does not look by and by");
    }

    #[tokio::test(start_paused = true)]
    async fn a_wait_without_end_does_not_overflow() {
        let gate = gate(0, Duration::MAX);
        let live = gate.live();
        let waits = gate.quiet(later(Instant::now(), Duration::MAX));
        tokio::join!(waits, async move { drop(live) });
    }
}
