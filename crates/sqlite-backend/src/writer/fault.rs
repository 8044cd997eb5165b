//! Failures on demand, for the tests of what follows them.

use std::sync::{
    Arc, Mutex, PoisonError,
    atomic::{AtomicU64, Ordering},
};

use rusqlite::{Connection, ffi};

use super::transaction::execute;

/// What the next `COMMIT` does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum CommitFault {
    /// It fails, and nothing is in the file.
    Lost,
    /// It fails, and everything is in the file.
    Kept,
    /// The thread panics with it sent.
    Panic,
}

type Hook = Box<dyn FnMut(&Connection) + Send>;

#[derive(Default)]
pub(crate) struct Faults {
    commit: Mutex<Option<CommitFault>>,
    fences: Mutex<u64>,
    before_apply: Mutex<Option<Hook>>,
    commits: Arc<AtomicU64>,
}

impl std::fmt::Debug for Faults {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Faults").finish_non_exhaustive()
    }
}

impl Faults {
    pub(crate) fn fail_next_commit(&self, fault: CommitFault) {
        *self.commit.lock().unwrap_or_else(PoisonError::into_inner) = Some(fault);
    }

    /// How many fences from now on fail.
    pub(crate) fn fail_fences(&self, fences: u64) {
        *self.fences.lock().unwrap_or_else(PoisonError::into_inner) = fences;
    }

    /// How many commits were asked for from now on.
    pub(crate) fn count_commits(&self) -> Arc<AtomicU64> {
        self.commits.store(0, Ordering::SeqCst);
        Arc::clone(&self.commits)
    }

    /// What runs on the writer's thread before the next write that is applied.
    pub(crate) fn set_before_apply_once(&self, hook: impl FnOnce(&Connection) + Send + 'static) {
        let mut hook = Some(hook);
        self.set_before_apply(move |connection| {
            if let Some(hook) = hook.take() {
                hook(connection);
            }
        });
    }

    /// What runs on the writer's thread before each write is applied.
    pub(crate) fn set_before_apply(&self, hook: impl FnMut(&Connection) + Send + 'static) {
        *self.before_apply.lock().unwrap_or_else(PoisonError::into_inner) = Some(Box::new(hook));
    }

    pub(super) fn before_apply(&self, connection: &Connection) {
        // Not held while it runs: it may wait for a test that sets the next one.
        let hook = self.before_apply.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(mut hook) = hook {
            hook(connection);
            self.before_apply.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(hook);
        }
    }

    pub(super) fn commit(&self, connection: &Connection) -> rusqlite::Result<()> {
        self.commits.fetch_add(1, Ordering::SeqCst);
        let fault = self.commit.lock().unwrap_or_else(PoisonError::into_inner).take();
        match fault {
            None => return execute(connection, "COMMIT"),
            Some(CommitFault::Lost) => {}
            Some(CommitFault::Kept) => execute(connection, "COMMIT")?,
            Some(CommitFault::Panic) => panic!("a fault of the test"),
        }
        Err(rusqlite::Error::SqliteFailure(ffi::Error::new(ffi::SQLITE_IOERR_FSYNC), None))
    }

    pub(super) fn before_fence(&self) -> Option<()> {
        let mut fences = self.fences.lock().unwrap_or_else(PoisonError::into_inner);
        if *fences == 0 {
            return Some(());
        }
        *fences -= 1;
        None
    }
}
