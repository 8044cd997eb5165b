//! Fault injection for the tests of the writer.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use rusqlite::{Connection, ffi};

use crate::failpoint::{Failpoint, Failpoints};

/// The fault of the next `COMMIT`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum CommitFault {
    /// It fails, and nothing is in the file.
    Lost,
    /// It fails, and everything is in the file.
    Kept,
    /// The thread panics after it has sent it.
    Panic,
}

type Hook = Box<dyn FnMut(&Connection) + Send>;

/// The faults of one store.
#[derive(Default)]
pub(crate) struct Faults {
    commit: Mutex<Option<CommitFault>>,
    fence_transaction_failures: Mutex<u64>,
    hooks: Mutex<HashMap<Failpoint, Hook>>,
    commits: Arc<AtomicU64>,
}

impl std::fmt::Debug for Faults {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Faults").finish_non_exhaustive()
    }
}

impl Faults {
    /// Installs the faults at the failpoints of a store.
    pub(crate) fn at(failpoints: &Failpoints) -> Arc<Self> {
        let faults = Arc::<Self>::default();
        let at = Arc::clone(&faults);
        failpoints.set(move |point, connection| at.reach(point, connection));
        faults
    }

    fn reach(&self, point: Failpoint, connection: &Connection) -> Result<(), i32> {
        self.run_hook(point, connection);
        match point {
            Failpoint::Committing => {
                self.commits.fetch_add(1, Ordering::SeqCst);
                let panics = held(&self.commit).take_if(|fault| *fault == CommitFault::Panic).is_some();
                assert!(!panics, "a fault of the test");
                return failed(held(&self.commit).take_if(|fault| *fault == CommitFault::Lost).is_some());
            }
            Failpoint::Committed => return failed(held(&self.commit).take().is_some()),
            Failpoint::Fencing => {
                let mut left = held(&self.fence_transaction_failures);
                let fails = *left > 0;
                *left = left.saturating_sub(1);
                return failed(fails);
            }
            _ => {}
        }
        Ok(())
    }

    pub(crate) fn fail_next_commit(&self, fault: CommitFault) {
        *held(&self.commit) = Some(fault);
    }

    /// Makes the next fence transaction fail, and repeats that `times` times.
    pub(crate) fn fail_next_fence_transaction(&self, times: u64) {
        *held(&self.fence_transaction_failures) = times;
    }

    /// Returns a counter of the commits from now on.
    pub(crate) fn count_commits(&self) -> Arc<AtomicU64> {
        self.commits.store(0, Ordering::SeqCst);
        Arc::clone(&self.commits)
    }

    /// Sets a hook that runs on the writer thread before the next write is applied.
    pub(crate) fn set_before_apply_once(&self, hook: impl FnOnce(&Connection) + Send + 'static) {
        let mut hook = Some(hook);
        self.set_before_apply(move |connection| {
            if let Some(hook) = hook.take() {
                hook(connection);
            }
        });
    }

    /// Sets a hook that runs on the writer thread before each write is applied.
    pub(crate) fn set_before_apply(&self, hook: impl FnMut(&Connection) + Send + 'static) {
        self.set_hook(Failpoint::Applying, hook);
    }

    /// Sets a hook that runs on the writer thread at a failpoint.
    pub(crate) fn set_hook(&self, point: Failpoint, hook: impl FnMut(&Connection) + Send + 'static) {
        held(&self.hooks).insert(point, Box::new(hook));
    }

    fn run_hook(&self, point: Failpoint, connection: &Connection) {
        // The lock is not held while the hook runs: the hook may wait for a test that sets the next one.
        let hook = held(&self.hooks).remove(&point);
        if let Some(mut hook) = hook {
            hook(connection);
            held(&self.hooks).entry(point).or_insert(hook);
        }
    }
}

fn held<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn failed(fails: bool) -> Result<(), i32> {
    if fails { Err(ffi::SQLITE_IOERR_FSYNC) } else { Ok(()) }
}
