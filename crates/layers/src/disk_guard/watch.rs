//! The state of the disk.

use std::{
    io,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{sync, task::spawn_blocking, time::Instant};

use super::FreeSpace;
use throughline_core::{Effect, ErrorKind, PersistError, Result};

/// A change of the guard, as the hook receives it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum DiskChange {
    /// The guard refuses growing writes from now on.
    Closed {
        /// The free bytes.
        free: u64,
    },
    /// The guard accepts growing writes again.
    Opened {
        /// The free bytes.
        free: u64,
    },
    /// The space can no longer be measured; the guard keeps its state.
    Unmeasured(io::ErrorKind),
    /// The space can be measured again.
    Measured {
        /// The free bytes.
        free: u64,
    },
}

type Hook = Arc<dyn Fn(DiskChange) + Send + Sync>;

/// A disk, its marks, and the last measurement.
pub(super) struct Watch {
    pub(super) space: Arc<dyn FreeSpace>,
    pub(super) low: u64,
    pub(super) high: u64,
    pub(super) every: Duration,
    pub(super) hook: Option<Hook>,
    pub(super) seen: Mutex<Seen>,
    /// Held during a measurement: concurrent calls wait for its result.
    pub(super) looking: sync::Mutex<()>,
}

#[derive(Debug, Default)]
pub(super) struct Seen {
    looked: Option<Instant>,
    /// The free bytes of the last measurement while the guard is closed; `None` while it is open.
    closed: Option<u64>,
    is_unmeasured: bool,
}

impl Watch {
    /// Returns the decision about growing writes; `None` when the last measurement is too old.
    pub(super) fn known(&self) -> Option<Result<()>> {
        let seen = self.seen();
        let is_recent = seen.looked.is_some_and(|looked| looked.elapsed() < self.every);
        is_recent.then(|| self.verdict(seen.closed))
    }

    /// Measures the space, unless another call has just measured it. A dropped call records no measurement.
    pub(super) async fn look(&self) -> Result<()> {
        let _only = self.looking.lock().await;
        if let Some(known) = self.known() {
            return known;
        }
        let space = Arc::clone(&self.space);
        let measured = spawn_blocking(move || space.free()).await;
        let measured = measured.unwrap_or_else(|panicked| Err(io::Error::other(panicked)));
        self.record(measured)
    }

    fn record(&self, measured: io::Result<u64>) -> Result<()> {
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
            self.call_hook(change);
        }
        verdict
    }

    fn verdict(&self, closed: Option<u64>) -> Result<()> {
        let Some(free) = closed else { return Ok(()) };
        let detail = format!(
            "the disk has {free} bytes left: the disk guard closed below {}, and opens at {}",
            self.low, self.high
        );
        Err(PersistError::new(ErrorKind::StorageFull, detail).with_effect(Effect::NotApplied))
    }

    fn call_hook(&self, change: DiskChange) {
        if let Some(hook) = &self.hook {
            // A panic of the host's hook must not fail a call.
            catch_unwind(AssertUnwindSafe(|| hook(change))).ok();
        }
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        // No code panics while it holds the lock.
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
