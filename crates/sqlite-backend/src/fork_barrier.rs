//! The barrier that keeps the threads of the stores out of SQLite while the process forks.
//!
//! A forked child has only the thread that forked. A lock that another thread held at that moment stays locked in the child. The
//! locks of this crate are replaced there ([`PerProcess`]), but not those of SQLite: without the barrier, a child that opens a store of
//! its own can wait for one of them forever.

use std::{
    fmt,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use crate::per_process::{Inherit, PerProcess};

static BARRIER: PerProcess<Barrier> = PerProcess::new();

#[derive(Debug, Default)]
struct Barrier {
    /// The number of threads that use SQLite.
    inside: usize,
    is_closed: bool,
    changed: Arc<Condvar>,
}

impl Inherit for Barrier {
    fn inherit(_: &Mutex<Self>) -> Self {
        // The threads that were inside do not exist in the child.
        Self::default()
    }
}

/// Waits until `is_met` holds.
fn wait_until<'a>(
    mut barrier: MutexGuard<'a, Barrier>,
    is_met: impl Fn(&Barrier) -> bool,
) -> MutexGuard<'a, Barrier> {
    let changed = Arc::clone(&barrier.changed);
    while !is_met(&barrier) {
        barrier = changed.wait(barrier).unwrap_or_else(PoisonError::into_inner);
    }
    barrier
}

/// A thread that may use SQLite until this is dropped.
#[must_use = "the thread leaves when this is dropped"]
pub(crate) struct Inside(());

/// Waits while the process forks. A thread that is inside must not enter again.
pub(crate) fn enter() -> Inside {
    wait_until(BARRIER.lock(), |barrier| !barrier.is_closed).inside += 1;
    Inside(())
}

impl Drop for Inside {
    fn drop(&mut self) {
        let mut barrier = BARRIER.lock();
        barrier.inside -= 1;
        let changed = barrier.is_closed.then(|| Arc::clone(&barrier.changed));
        drop(barrier);
        if let Some(changed) = changed {
            changed.notify_all();
        }
    }
}

/// Keeps all stores of the process from using SQLite until it is dropped, so that the process can fork.
///
/// A child of a process with threads inherits the locks that they hold, and SQLite has some for the whole process. A child that
/// opens a store of its own could wait for one of them forever. So a host that forks, and whose children do not only execute another
/// program, creates this value directly before the fork, on the thread that forks, and drops it directly afterwards, in the parent
/// and in the child. Handles of the parent's stores stay unusable in the child in any case: they refuse each call as
/// [`Invalid`](throughline_core::ErrorKind::Invalid). Drop them there without a call.
///
/// Writes and reads that have not begun wait meanwhile, and count this time as their own wait. Only one thread at a time has such a
/// value; others wait for it.
///
/// # Examples
/// ```
/// use std::time::Duration;
/// use throughline_sqlite::ForkGuard;
///
/// let guard = ForkGuard::new(Duration::from_secs(2));
/// assert!(guard.is_quiet());
/// // Fork here, for example with the `fork` of your libc binding.
/// drop(guard);
/// ```
#[must_use = "the stores go on when this is dropped"]
pub struct ForkGuard {
    /// Held during the fork, so that the child never finds it locked by another thread.
    barrier: Option<MutexGuard<'static, Barrier>>,
    is_quiet: bool,
}

impl ForkGuard {
    /// Waits until no thread of a store uses SQLite, for at most `limit`. A long read, a backup or a disk that hangs can take longer:
    /// [`is_quiet`](Self::is_quiet) is false then. Blocks the thread.
    ///
    /// Do not create it on a thread that has one already: it would wait for itself.
    pub fn new(limit: Duration) -> Self {
        let mut barrier = wait_until(BARRIER.lock(), |barrier| !barrier.is_closed);
        barrier.is_closed = true;
        let changed = Arc::clone(&barrier.changed);
        let (barrier, _) = changed
            .wait_timeout_while(barrier, limit, |barrier| barrier.inside > 0)
            .unwrap_or_else(PoisonError::into_inner);
        let is_quiet = barrier.inside == 0;
        Self { barrier: Some(barrier), is_quiet }
    }

    /// Whether no thread of a store uses SQLite. If one does, a child of this process must not use SQLite.
    #[must_use]
    pub const fn is_quiet(&self) -> bool {
        self.is_quiet
    }
}

impl Drop for ForkGuard {
    fn drop(&mut self) {
        let Some(mut barrier) = self.barrier.take() else { return };
        barrier.is_closed = false;
        let changed = Arc::clone(&barrier.changed);
        drop(barrier);
        changed.notify_all();
    }
}

impl fmt::Debug for ForkGuard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ForkGuard").field("is_quiet", &self.is_quiet).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::{
        sync::mpsc,
        thread,
        time::{Duration, Instant},
    };

    use super::*;

    const FAR: Duration = Duration::from_secs(60);

    /// The barrier is that of the process: other tests can use it meanwhile.
    #[test]
    fn a_fork_guard_waits_for_the_threads_inside_and_keeps_others_out() {
        let (say, said) = mpsc::channel();
        let inside = enter();
        let guard = ForkGuard::new(Duration::ZERO);
        assert!(!guard.is_quiet());
        drop(guard);
        let waiting = thread::spawn({
            let say = say.clone();
            move || {
                let guard = ForkGuard::new(FAR);
                say.send("closed").unwrap();
                let is_quiet = guard.is_quiet();
                drop(guard);
                is_quiet
            }
        });
        // The barrier is closed before the thread waits for this one.
        let begun = Instant::now();
        while !BARRIER.lock().is_closed && begun.elapsed() < FAR {
            thread::yield_now();
        }
        let entering = thread::spawn(move || {
            let inside = enter();
            say.send("entered").unwrap();
            drop(inside);
        });
        assert_eq!(said.try_recv(), Err(mpsc::TryRecvError::Empty));
        drop(inside);
        assert_eq!([said.recv_timeout(FAR), said.recv_timeout(FAR)], [Ok("closed"), Ok("entered")]);
        assert!(waiting.join().unwrap());
        entering.join().unwrap();
    }
}
