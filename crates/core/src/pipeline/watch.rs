//! The watch: a thread of the process that reports a layer or a backend that blocks its thread.
//!
//! Each thread that polls calls has a [`PollSlot`], in which it stores the current poll and the site at work with a few relaxed
//! stores. The watch reads the slots ten times a second while there are calls. It reports a poll in which one site has been at
//! work for [`KEPT`].

use std::{
    cell::Cell,
    collections::HashMap,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicU64, Ordering::Relaxed},
    },
    thread::{self, Thread},
    time::Duration,
};

use crate::{
    OpKind, Site,
    context::CallState,
    per_process::{Inherit, PerProcess},
};

/// The interval of the watch.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// The number of times that the watch must see the same site before it reports it.
const LOOKS: u32 = 5;

/// The time for which a site must block its thread before the watch reports it.
const KEPT: Duration = LOOK_EVERY.saturating_mul(LOOKS);

/// The number of idle intervals after which the watch sleeps until the next call.
const IDLE_LOOKS: u32 = 10;

/// The longest delay before the watch sees a call that began just as it fell asleep.
const ASLEEP: Duration = Duration::from_secs(5);

/// The poll of a thread. Only that thread writes to it.
#[derive(Debug, Default)]
struct PollSlot {
    /// Increases whenever the poll of a call begins or ends. Its parity has no meaning, because polls nest.
    turn: AtomicU64,
    /// The depth of nested polls.
    depth: AtomicU32,
    polled: AtomicU64,
    /// The site at work.
    site: AtomicU8,
    /// The name of the thread.
    name: Mutex<String>,
}

/// The pipeline, the operation and the site of a poll.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct At {
    polled: u64,
    site: u8,
}

/// Packs a pipeline and an operation into one number.
fn polled(pipeline: u32, operation: OpKind) -> u64 {
    (u64::from(pipeline) << 8) | operation as u64
}

impl At {
    fn of(slot: &PollSlot) -> Self {
        Self { polled: slot.polled.load(Relaxed), site: slot.site.load(Relaxed) }
    }

    fn pipeline(self) -> u32 {
        u32::try_from(self.polled >> 8).unwrap_or(u32::MAX)
    }

    fn operation(self) -> &'static str {
        let operation = self.polled & 0xff;
        let of = OpKind::ALL.iter().find(|kind| **kind as u64 == operation);
        of.map_or("a call", |kind| kind.as_str())
    }
}

thread_local! {
    static SLOT: Cell<Option<&'static PollSlot>> = const { Cell::new(None) };
    static LEASE: Lease = Lease::take();
}

/// The slot of a thread, until the thread ends. Slots are never freed; a new thread reuses a free one.
struct Lease(&'static PollSlot);

impl Lease {
    fn take() -> Self {
        let mut slots = slots();
        let slot = slots.free.pop().unwrap_or_else(|| {
            let slot: &'static PollSlot = Box::leak(Box::default());
            slots.all.push(slot);
            slot
        });
        let name = thread::current().name().unwrap_or("unnamed").to_owned();
        *slot.name.lock().unwrap_or_else(PoisonError::into_inner) = name;
        Self(slot)
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        SLOT.set(None);
        slots().free.push(self.0);
    }
}

#[derive(Default)]
struct Slots {
    all: Vec<&'static PollSlot>,
    free: Vec<&'static PollSlot>,
}

impl Inherit for Slots {
    fn inherit(_: &Mutex<Self>) -> Self {
        // A child has neither the threads of the slots nor the watch.
        WATCHING.store(false, Relaxed);
        Self::default()
    }
}

fn slots() -> MutexGuard<'static, Slots> {
    static SLOTS: PerProcess<Slots> = PerProcess::new();
    SLOTS.lock()
}

/// The slot of this thread. `None` while the thread ends.
#[inline]
fn slot() -> Option<&'static PollSlot> {
    SLOT.get().or_else(|| {
        let slot = LEASE.try_with(|lease| lease.0).ok();
        SLOT.set(slot);
        slot
    })
}

/// Marks this thread as polling a call until it is dropped.
#[must_use = "it ends when it is dropped"]
pub(super) struct Polling(Option<(&'static PollSlot, At)>);

impl Polling {
    #[inline]
    pub(super) fn on(pipeline: &Watched, call: &CallState) -> Self {
        let Some(slot) = slot() else { return Self(None) };
        let before = At::of(slot);
        slot.polled.store(polled(pipeline.0, call.shape.kind()), Relaxed);
        slot.site.store(CallState::EDGE, Relaxed);
        slot.depth.store(slot.depth.load(Relaxed) + 1, Relaxed);
        slot.turn.store(slot.turn.load(Relaxed) + 1, Relaxed);
        if !WATCHING.load(Relaxed) {
            wake();
        }
        Self(Some((slot, before)))
    }
}

impl Drop for Polling {
    #[inline]
    fn drop(&mut self) {
        let Some((slot, before)) = self.0 else { return };
        slot.polled.store(before.polled, Relaxed);
        slot.site.store(before.site, Relaxed);
        slot.depth.store(slot.depth.load(Relaxed) - 1, Relaxed);
        slot.turn.store(slot.turn.load(Relaxed) + 1, Relaxed);
    }
}

/// Marks a site of the polled pipeline as at work until it is dropped; then the next outer site is at work.
#[must_use = "it ends when it is dropped"]
pub(crate) struct AtSite {
    slot: Option<&'static PollSlot>,
    outer: u8,
}

impl AtSite {
    /// Ignores a site of an inner pipeline: the watch reports the layer that contains that pipeline.
    #[inline]
    pub(crate) fn new(call: &CallState, site: u8) -> Self {
        let slot = if call.is_of_the_outermost_pipeline() { SLOT.get() } else { None };
        if let Some(slot) = slot {
            slot.site.store(site, Relaxed);
        }
        Self { slot, outer: CallState::outside(site) }
    }
}

impl Drop for AtSite {
    #[inline]
    fn drop(&mut self) {
        if let Some(slot) = self.slot {
            slot.site.store(self.outer, Relaxed);
        }
    }
}

/// A pipeline whose sites the watch knows by name.
#[derive(Debug)]
pub(super) struct Watched(u32);

#[derive(Default)]
struct Pipelines(HashMap<u32, Arc<[Site]>>);

impl Inherit for Pipelines {
    fn inherit(_: &Mutex<Self>) -> Self {
        // Each call of a pipeline of the parent is refused in a child.
        Self::default()
    }
}

fn pipelines() -> MutexGuard<'static, Pipelines> {
    static PIPELINES: PerProcess<Pipelines> = PerProcess::new();
    PIPELINES.lock()
}

impl Watched {
    pub(super) fn new(sites: &Arc<[Site]>) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(1);
        let id = NEXT.fetch_add(1, Relaxed);
        pipelines().0.insert(id, Arc::clone(sites));
        Self(id)
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        pipelines().0.remove(&self.0);
    }
}

/// Whether the watch checks the slots.
static WATCHING: AtomicBool = AtomicBool::new(false);

/// The thread of the watch, from the first call on. Without the thread there are no reports; calls are not affected.
#[derive(Default)]
struct Watch(Option<Option<Thread>>);

impl Inherit for Watch {
    fn inherit(_: &Mutex<Self>) -> Self {
        Self::default()
    }
}

#[cold]
fn wake() {
    static WATCH: PerProcess<Watch> = PerProcess::new();
    if WATCHING.swap(true, Relaxed) {
        return;
    }
    let begin = || thread::Builder::new().name("throughline-watch".to_owned()).spawn(watch);
    let mut known = WATCH.lock();
    if let Some(thread) = known.0.get_or_insert_with(|| begin().ok().map(|handle| handle.thread().clone())) {
        thread.unpark();
    }
}

/// The last state of a slot.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Seen {
    turn: u64,
    at: At,
    looks: u32,
}

impl Seen {
    /// Compares a slot with its last state. Returns true when one site has blocked the thread long enough for a report, once for
    /// each poll.
    fn look(&mut self, slot: &PollSlot) -> bool {
        let now = Self { turn: slot.turn.load(Relaxed), at: At::of(slot), looks: 0 };
        let is_the_same = (self.turn, self.at) == (now.turn, now.at) && slot.depth.load(Relaxed) > 0;
        *self = if is_the_same { Self { looks: self.looks.saturating_add(1), ..*self } } else { now };
        self.looks == LOOKS
    }
}

fn watch() {
    let mut seen: Vec<Seen> = Vec::new();
    let mut idle = 0;
    loop {
        thread::park_timeout(if WATCHING.load(Relaxed) { LOOK_EVERY } else { ASLEEP });
        let slots = slots().all.clone();
        seen.resize(slots.len(), Seen::default());
        let mut is_idle = true;
        for (slot, seen) in slots.into_iter().zip(&mut seen) {
            let turn = seen.turn;
            if seen.look(slot) {
                let thread = slot.name.lock().unwrap_or_else(PoisonError::into_inner).clone();
                // The subscriber is host code: if it panics, the watch continues.
                drop(catch_unwind(AssertUnwindSafe(|| report(seen.at, &thread))));
            }
            is_idle &= seen.turn == turn && slot.depth.load(Relaxed) == 0;
        }
        idle = if is_idle { idle + 1 } else { 0 };
        WATCHING.store(idle < IDLE_LOOKS, Relaxed);
    }
}

fn report(at: At, thread: &str) {
    let sites = pipelines().0.get(&at.pipeline()).cloned();
    let site = sites.as_ref().and_then(|sites| sites.get(usize::from(at.site))).unwrap_or(&Site::Edge);
    let operation = at.operation();
    let millis = u64::try_from(KEPT.as_millis()).unwrap_or(u64::MAX);
    tracing::warn!(
        site = site.name(),
        operation,
        thread,
        millis,
        "a layer or a backend blocks its thread: no other call runs there until it returns"
    );
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        PersistRequest, Persistence, Phase,
        plugin::{NextRequest, from_fn},
    };

    #[test]
    fn a_poll_is_reported_once_when_one_site_has_kept_it_for_five_looks() {
        let slot = PollSlot::default();
        slot.depth.store(1, Relaxed);
        slot.turn.store(7, Relaxed);
        let mut seen = Seen::default();
        let reports = |seen: &mut Seen| (0..20).filter(|_| seen.look(&slot)).count();
        assert_eq!(reports(&mut seen), 1);
        // Another poll of the same site.
        slot.turn.store(9, Relaxed);
        assert_eq!(reports(&mut seen), 1);
        // Nothing is polled.
        slot.depth.store(0, Relaxed);
        assert_eq!(reports(&mut seen), 0);
    }

    struct Nowhere;

    impl crate::Backend for Nowhere {
        fn name(&self) -> &str {
            "nowhere"
        }

        fn capabilities(&self) -> crate::Capabilities {
            crate::Capabilities::new(crate::Durability::Volatile)
        }
    }

    /// Fails before the test times out if the watch hangs.
    fn wait_until(is_watching: bool) {
        let begin = std::time::Instant::now();
        while WATCHING.load(Relaxed) != is_watching {
            assert!(begin.elapsed() < std::time::Duration::from_secs(30), "watching: {}", !is_watching);
            thread::yield_now();
        }
    }

    #[tokio::test]
    async fn the_watch_sleeps_while_nothing_is_polled_and_a_poll_wakes_it() {
        let sees_the_watch = from_fn("sees", Phase::Observe, |request: PersistRequest, next: NextRequest| {
            wait_until(true);
            next.run(request)
        });
        let db = Persistence::builder().layer(sees_the_watch).backend(Nowhere).build().unwrap();
        for _ in 0..2 {
            db.thread("t").get("m".parse().unwrap()).await.unwrap_err();
            wait_until(false);
        }
    }

    #[test]
    fn a_poll_that_goes_from_site_to_site_is_not_reported() {
        let slot = PollSlot::default();
        slot.depth.store(1, Relaxed);
        let mut seen = Seen::default();
        for site in 0..100 {
            slot.polled.store(polled(1, OpKind::Add), Relaxed);
            slot.site.store(site, Relaxed);
            assert!(!seen.look(&slot));
        }
        assert_eq!((seen.at.pipeline(), seen.at.operation(), seen.at.site), (1, "add", 99));
    }
}
