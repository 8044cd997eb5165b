//! What is known of the disk.

use std::{
    io,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{sync, task::spawn_blocking, time::Instant};

use super::FreeSpace;
use throughline_core::{Effect, ErrorKind, PersistError, Result};

/// What has changed, as the hook is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum DiskChange {
    /// Writes that grow the store are refused from now on.
    Closed {
        /// What is free, in bytes.
        free: u64,
    },
    /// They are taken again.
    Opened {
        /// What is free, in bytes.
        free: u64,
    },
    /// The space cannot be measured any more; everything stays as it was.
    Unmeasured(io::ErrorKind),
    /// It can be measured again.
    Measured {
        /// What is free, in bytes.
        free: u64,
    },
}

type Hook = Arc<dyn Fn(DiskChange) + Send + Sync>;

/// One disk, its marks, and what was last seen of it.
pub(super) struct Watch {
    pub(super) space: Arc<dyn FreeSpace>,
    pub(super) low: u64,
    pub(super) high: u64,
    pub(super) every: Duration,
    pub(super) hook: Option<Hook>,
    pub(super) seen: Mutex<Seen>,
    /// One look at a time: those who come meanwhile wait for what it finds.
    pub(super) looking: sync::Mutex<()>,
}

#[derive(Debug, Default)]
pub(super) struct Seen {
    looked: Option<Instant>,
    /// What was free when it was last measured to be too little; nothing while it is open.
    closed: Option<u64>,
    is_unmeasured: bool,
}

impl Watch {
    /// Whether the store may grow, where the last look is recent enough to say.
    pub(super) fn known(&self) -> Option<Result<()>> {
        let seen = self.seen();
        let is_recent = seen.looked.is_some_and(|looked| looked.elapsed() < self.every);
        is_recent.then(|| self.verdict(seen.closed))
    }

    /// Looks, unless somebody else just has. Left before its end, it has not looked.
    pub(super) async fn look(&self) -> Result<()> {
        let _only = self.looking.lock().await;
        if let Some(known) = self.known() {
            return known;
        }
        let space = Arc::clone(&self.space);
        let measured = spawn_blocking(move || space.free()).await;
        let measured = measured.unwrap_or_else(|panicked| Err(io::Error::other(panicked)));
        self.note(measured)
    }

    fn note(&self, measured: io::Result<u64>) -> Result<()> {
        let mut changes = Vec::new();
        let mut seen = self.seen();
        seen.looked = Some(Instant::now());
        match measured {
            Ok(free) => {
                if std::mem::take(&mut seen.is_unmeasured) {
                    changes.push(DiskChange::Measured { free });
                }
                if free < self.low {
                    if seen.closed.replace(free).is_none() {
                        changes.push(DiskChange::Closed { free });
                    }
                } else if seen.closed.is_some() {
                    if free >= self.high {
                        seen.closed = None;
                        changes.push(DiskChange::Opened { free });
                    } else {
                        seen.closed = Some(free);
                    }
                }
            }
            Err(error) => {
                if !std::mem::replace(&mut seen.is_unmeasured, true) {
                    changes.push(DiskChange::Unmeasured(error.kind()));
                }
            }
        }
        let verdict = self.verdict(seen.closed);
        drop(seen);
        for change in changes {
            self.tell(change);
        }
        verdict
    }

    fn verdict(&self, closed: Option<u64>) -> Result<()> {
        let Some(free) = closed else { return Ok(()) };
        let detail = format!(
            "the disk has {free} bytes left: it was closed below {}, and opens from {} on",
            self.low, self.high
        );
        Err(PersistError::new(ErrorKind::StorageFull, detail).with_effect(Effect::NotApplied))
    }

    fn tell(&self, change: DiskChange) {
        if let Some(hook) = &self.hook {
            // A hook of the host's must not be able to fail a call.
            catch_unwind(AssertUnwindSafe(|| hook(change))).ok();
        }
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        // Nothing panics while it holds the lock.
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
