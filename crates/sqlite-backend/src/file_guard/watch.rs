//! The `inotify` instance of the process, which reports that a program opened the `-shm` of a store.
//!
//! By default a user has 128 instances, and thousands of watches. So the stores of a process share one instance, and
//! each has a watch.

use std::{
    collections::HashMap,
    mem,
    path::Path,
    sync::{
        Arc, Mutex, Weak,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use nix::{
    errno::Errno,
    sys::inotify::{AddWatchFlags, InitFlags, Inotify, WatchDescriptor},
};
use throughline_core::backend::{Inherit, PerProcess};

/// How long a count of the descriptors is valid if no watch can be set.
const FRESH: Duration = Duration::from_millis(10);

#[derive(Debug, Default)]
struct Watches {
    /// `None` while no store is open.
    events: Option<Inotify>,
    /// All watches of one `-shm` have the same descriptor.
    news: HashMap<WatchDescriptor, Vec<Weak<AtomicBool>>>,
}

static WATCHES: PerProcess<Watches> = PerProcess::new();

impl Inherit for Watches {
    fn inherit(parent: &Mutex<Self>) -> Self {
        // A forked child would consume the events of its parent. It closes its copy of the instance, if no thread of
        // the parent used it at the fork.
        drop(parent.try_lock().map(|mut watches| mem::take(&mut *watches)));
        Self::default()
    }
}

impl Watches {
    fn add(&mut self, index: &Path) -> nix::Result<(WatchDescriptor, Arc<AtomicBool>)> {
        let events = match self.events.take() {
            Some(events) => events,
            None => Inotify::init(InitFlags::IN_NONBLOCK | InitFlags::IN_CLOEXEC)?,
        };
        let added = events.add_watch(index, AddWatchFlags::IN_OPEN);
        let news = Arc::<AtomicBool>::default();
        if let Ok(descriptor) = added {
            self.news.entry(descriptor).or_default().push(Arc::downgrade(&news));
        }
        // Without a watch the instance is useless.
        self.events = Some(events).filter(|_| !self.news.is_empty());
        Ok((added?, news))
    }

    fn remove(&mut self, descriptor: WatchDescriptor, news: &Arc<AtomicBool>) {
        let (Some(events), Some(of_index)) = (&self.events, self.news.get_mut(&descriptor)) else { return };
        of_index.retain(|other| !std::ptr::eq(other.as_ptr(), Arc::as_ptr(news)) && other.strong_count() > 0);
        if of_index.is_empty() {
            self.news.remove(&descriptor);
            // The kernel removes it together with the file.
            let _ = events.rm_watch(descriptor);
        }
        if self.news.is_empty() {
            self.events = None;
        }
    }

    /// Delivers the pending events to their watches.
    fn take_events(&self) -> nix::Result<()> {
        let events = self.events.as_ref().ok_or(Errno::ENOENT)?;
        loop {
            match events.read_events() {
                Ok(events) => {
                    for event in events {
                        if event.mask.contains(AddWatchFlags::IN_Q_OVERFLOW) {
                            self.news.values().for_each(|watches| set_all(watches));
                        } else if let Some(watches) = self.news.get(&event.wd) {
                            set_all(watches);
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

fn set_all(watches: &[Weak<AtomicBool>]) {
    for news in watches.iter().filter_map(Weak::upgrade) {
        news.store(true, Ordering::Relaxed);
    }
}

/// Reports whether a program opened the index since the last check.
#[derive(Debug)]
pub(super) enum Watch {
    Events {
        descriptor: WatchDescriptor,
        news: Arc<AtomicBool>,
    },
    /// No watch could be set: the store counts the descriptors again after a while.
    Clock(Option<Instant>),
}

impl Watch {
    pub(super) fn on(index: &Path) -> Self {
        match WATCHES.lock().add(index) {
            Ok((descriptor, news)) => Self::Events { descriptor, news },
            Err(_) => Self::Clock(None),
        }
    }

    pub(super) const fn is_clock(&self) -> bool {
        matches!(self, Self::Clock(_))
    }

    pub(super) fn has_news(&mut self) -> bool {
        if let Self::Events { news, .. } = self {
            if WATCHES.lock().take_events().is_ok() {
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
        if let Self::Events { descriptor, news } = self {
            WATCHES.lock().remove(*descriptor, news);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_forked_child_waits_for_no_watch_that_its_parent_holds() {
        let parent = Mutex::new(Watches::default());
        let _held = parent.lock().unwrap();
        assert!(Watches::inherit(&parent).events.is_none());
    }

    #[test]
    fn a_forked_child_closes_the_instance_of_its_parent() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let parent = Mutex::new(Watches::default());
        if let Err(error) = parent.lock().unwrap().add(file.path()) {
            eprintln!(
                "SKIPPED: what a forked child inherits of inotify ({error}: the user has no instance left)"
            );
            return;
        }
        assert!(Watches::inherit(&parent).events.is_none());
        assert!(parent.lock().unwrap().events.is_none());
    }
}
