//! One `inotify` instance of the process, which says whether anyone opened the `-shm` of a store.
//!
//! A user has 128 instances by default, and thousands of watches. So the stores of a process share the instance, and each has a watch.

use std::{
    collections::HashMap,
    path::Path,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, Weak,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use nix::{
    errno::Errno,
    sys::inotify::{AddWatchFlags, InitFlags, Inotify, WatchDescriptor},
};
use throughline_core::backend::OwnerProcess;

/// How long a count of the descriptors holds where no watch can be set.
const FRESH: Duration = Duration::from_millis(10);

#[derive(Debug)]
struct Watches {
    owner: OwnerProcess,
    events: Inotify,
    /// The watches of one `-shm` have one descriptor.
    news: HashMap<WatchDescriptor, Vec<Weak<AtomicBool>>>,
}

/// None while no store is open.
static WATCHES: Mutex<Option<Watches>> = Mutex::new(None);

fn watches() -> MutexGuard<'static, Option<Watches>> {
    let mut watches = WATCHES.lock().unwrap_or_else(PoisonError::into_inner);
    // A forked child would take the events of its parent.
    watches.take_if(|watches| !watches.owner.is_current());
    watches
}

impl Watches {
    fn new() -> nix::Result<Self> {
        let events = Inotify::init(InitFlags::IN_NONBLOCK | InitFlags::IN_CLOEXEC)?;
        Ok(Self { owner: OwnerProcess::current(), events, news: HashMap::new() })
    }

    /// Hands the events that have come to the watches that they are for.
    fn take_events(&self) -> nix::Result<()> {
        loop {
            match self.events.read_events() {
                Ok(events) => {
                    for event in events {
                        if event.mask.contains(AddWatchFlags::IN_Q_OVERFLOW) {
                            self.news.values().for_each(|watches| tell(watches));
                        } else if let Some(watches) = self.news.get(&event.wd) {
                            tell(watches);
                        }
                    }
                }
                Err(Errno::EAGAIN) => return Ok(()),
                Err(Errno::EINTR) => {}
                Err(error) => return Err(error),
            }
        }
    }
}

fn tell(watches: &[Weak<AtomicBool>]) {
    for news in watches.iter().filter_map(Weak::upgrade) {
        news.store(true, Ordering::Relaxed);
    }
}

/// Says whether anyone opened the index since the last look.
#[derive(Debug)]
pub(super) enum Watch {
    Events {
        descriptor: WatchDescriptor,
        news: Arc<AtomicBool>,
    },
    /// There is none: the descriptors are counted again after a while.
    Clock(Option<Instant>),
}

impl Watch {
    pub(super) fn on(index: &Path) -> Self {
        let watch = || -> nix::Result<Self> {
            let mut watches = watches();
            let mut shared = match watches.take() {
                Some(shared) => shared,
                None => Watches::new()?,
            };
            let added = shared.events.add_watch(index, AddWatchFlags::IN_OPEN);
            let news = Arc::<AtomicBool>::default();
            if let Ok(descriptor) = added {
                shared.news.entry(descriptor).or_default().push(Arc::downgrade(&news));
            }
            // Without a watch it is of no use.
            *watches = Some(shared).filter(|shared| !shared.news.is_empty());
            let descriptor = added?;
            Ok(Self::Events { descriptor, news })
        };
        watch().unwrap_or(Self::Clock(None))
    }

    pub(super) const fn is_clock(&self) -> bool {
        matches!(self, Self::Clock(_))
    }

    pub(super) fn has_news(&mut self) -> bool {
        if let Self::Events { news, .. } = self {
            if watches().as_ref().is_some_and(|watches| watches.take_events().is_ok()) {
                return news.swap(false, Ordering::Relaxed);
            }
            *self = Self::Clock(None);
        }
        let Self::Clock(counted) = self else { return false };
        let has_news = counted.is_none_or(|at| at.elapsed() >= FRESH);
        if has_news {
            *counted = Some(Instant::now());
        }
        has_news
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        let Self::Events { descriptor, news } = self else { return };
        let mut watches = watches();
        let Some(shared) = &mut *watches else { return };
        let Some(of_index) = shared.news.get_mut(descriptor) else { return };
        of_index.retain(|other| !std::ptr::eq(other.as_ptr(), Arc::as_ptr(news)) && other.strong_count() > 0);
        if of_index.is_empty() {
            shared.news.remove(descriptor);
            // It is gone already where the file is.
            let _ = shared.events.rm_watch(*descriptor);
        }
        if shared.news.is_empty() {
            *watches = None;
        }
    }
}
