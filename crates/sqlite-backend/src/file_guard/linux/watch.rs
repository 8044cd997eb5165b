//! The `inotify` instance of the process, which reports that a program opened the `-shm` of a store.
//!
//! By default a user has 128 instances, and thousands of watches. So the stores of a process share one instance, and
//! each has a watch.

use std::{
    collections::HashMap,
    fs, mem,
    os::fd::{AsFd as _, AsRawFd as _},
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

/// How long after an event a count of the descriptors can miss the one that was opened. The kernel creates the event
/// before the process has the descriptor: of 300,000 counts right after an event 50 missed it (Linux 6.18), and a
/// thread can lose the processor between the two.
const UNSURE: Duration = Duration::from_millis(100);

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
        // the parent used it at the fork. If another thread created it during the fork, the child has no such descriptor, or
        // one of its own with this number.
        if let Ok(mut watches) = parent.try_lock() {
            match mem::take(&mut *watches).events {
                Some(events) if !is_inotify(&events) => mem::forget(events),
                events => drop(events),
            }
        }
        Self::default()
    }
}

/// Returns whether the descriptor of this number is that of an instance.
fn is_inotify(events: &Inotify) -> bool {
    let number = events.as_fd().as_raw_fd();
    let target = fs::read_link(format!("/proc/self/fd/{number}"));
    target.is_ok_and(|target| target.as_os_str() == "anon_inode:inotify")
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
pub(super) struct Watch {
    /// `None` if no watch could be set.
    events: Option<Events>,
    last_event: Option<Instant>,
}

#[derive(Debug)]
struct Events {
    descriptor: WatchDescriptor,
    news: Arc<AtomicBool>,
}

impl Watch {
    pub(super) fn on(index: &Path) -> Self {
        let events = WATCHES.lock().add(index).ok();
        let events = events.map(|(descriptor, news)| Events { descriptor, news });
        Self { events, last_event: None }
    }

    /// Creates one that reports nothing, as where the user has no `inotify` instance left.
    #[cfg(test)]
    pub(super) const fn none() -> Self {
        Self { events: None, last_event: None }
    }

    /// Returns whether a program may have opened the index although the last check found no event. Also once after the time in
    /// which a count can miss it: that count cannot.
    pub(super) fn is_unsure(&mut self) -> bool {
        let is_unsure = self.events.is_none() || self.last_event.is_some();
        if self.last_event.is_some_and(|at| at.elapsed() >= UNSURE) {
            self.last_event = None;
        }
        is_unsure
    }

    /// Returns whether there is an event since the last call. False if there is no watch: it is
    /// [unsure](Self::is_unsure) then.
    pub(super) fn has_news(&mut self) -> bool {
        let Some(events) = &self.events else { return false };
        if WATCHES.lock().take_events().is_err() {
            self.events = None;
            return false;
        }
        let has_news = events.news.swap(false, Ordering::Relaxed);
        if has_news {
            self.last_event = Some(Instant::now());
        }
        has_news
    }
}

impl Drop for Events {
    fn drop(&mut self) {
        WATCHES.lock().remove(self.descriptor, &self.news);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_watch_is_unsure_until_the_first_check_after_its_time() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let mut watch = Watch::on(file.path());
        if watch.events.is_none() {
            eprintln!("SKIPPED: what a watch reports after an event (the user has no inotify instance left)");
            return;
        }
        assert!(!watch.is_unsure());
        // Long ago: no check was made in between.
        watch.last_event = Instant::now().checked_sub(UNSURE);
        assert!(watch.is_unsure());
        assert!(!watch.is_unsure());
    }

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
