//! The barrier that keeps the threads of the stores out of SQLite while the process forks.
//!
//! A forked child has only the thread that forked. A lock that another thread held at that moment stays locked in the child. The
//! locks of this crate are replaced there ([`PerProcess`]), but not those of SQLite: without the barrier, a child that opens a store of
//! its own can wait for one of them forever.

use std::{
    fmt,
    sync::{
        Arc, Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst},
    },
    time::{Duration, Instant},
};

use throughline_core::backend::{Inherit, OwnerProcess, PerProcess};

static BARRIER: PerProcess<Barrier> = PerProcess::new();

/// The number of threads that use SQLite. A child reads how many they were in its parent at the fork: it can take no lock for that.
static INSIDE: AtomicUsize = AtomicUsize::new(0);

/// Whether a thread of the parent used SQLite as this process was forked.
static INHERITS_LOCKS: AtomicBool = AtomicBool::new(false);

/// For how long threads of a store wait for a fork once the guard is made. Then they go on: the host may wait for one of them, for example
/// for a lock that a caller of the store has.
const FORK_TIME: Duration = Duration::from_secs(1);

#[derive(Debug, Default)]
struct Barrier {
    /// The number of the last guard, and the instant until which it keeps threads out.
    closed: (u64, Option<Instant>),
    changed: Arc<Condvar>,
}

impl Inherit for Barrier {
    fn inherit(_: &Mutex<Self>) -> Self {
        // The threads that were inside do not exist in the child.
        INSIDE.store(0, SeqCst);
        Self::default()
    }
}

/// Waits until no guard keeps this thread out.
fn wait_until_open(mut barrier: MutexGuard<'_, Barrier>) -> MutexGuard<'_, Barrier> {
    let changed = Arc::clone(&barrier.changed);
    loop {
        let left = barrier.closed.1.and_then(|until| until.checked_duration_since(Instant::now()));
        let Some(left) = left else { return barrier };
        barrier = changed.wait_timeout(barrier, left).unwrap_or_else(PoisonError::into_inner).0;
    }
}

/// A thread that may use SQLite until this is dropped.
#[must_use = "the thread leaves when this is dropped"]
pub(crate) struct Inside(());

/// Waits while the process forks. A thread that is inside must not enter again.
pub(crate) fn enter() -> Inside {
    let _barrier = wait_until_open(BARRIER.lock());
    INSIDE.fetch_add(1, SeqCst);
    Inside(())
}

impl Drop for Inside {
    fn drop(&mut self) {
        let barrier = BARRIER.lock();
        INSIDE.fetch_sub(1, SeqCst);
        let changed = barrier.closed.1.map(|_| Arc::clone(&barrier.changed));
        drop(barrier);
        if let Some(changed) = changed {
            changed.notify_all();
        }
    }
}

/// Whether this process has inherited locks of SQLite that no thread of it holds.
pub(crate) fn inherits_locks() -> bool {
    INHERITS_LOCKS.load(SeqCst)
}

/// Keeps all stores of the process from using SQLite until it is dropped, so that the process can fork.
///
/// A child of a process with threads inherits the locks that they hold, and SQLite has some for the whole process. A child that
/// opens a store of its own could wait for one of them forever. So a host that forks, and whose children do not only execute another
/// program, creates this value directly before the fork, on the thread that forks, and drops it directly afterwards, in the parent
/// and in the child. Handles of the parent's stores stay unusable in the child in any case: they refuse each call as
/// [`Invalid`](throughline_core::ErrorKind::Invalid). Drop them there without a call.
///
/// If a thread uses SQLite at the fork all the same, the child refuses to open stores, as
/// [`OpenError::ForkedInUse`](crate::OpenError::ForkedInUse), once it has dropped the guard.
///
/// Writes and reads of all stores that have not begun wait meanwhile, and count this time as their own wait: until the guard is dropped, and
/// for at most one second after `new` has returned. So do not call a store while you have it, and do not keep it: a later fork is not quiet.
/// Only one thread at a time has such a value; others wait for it as long.
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
    owner: OwnerProcess,
    number: u64,
}

impl ForkGuard {
    /// Waits until no thread of a store uses SQLite, for at most `limit`. A long read, a backup or a disk that hangs can take longer:
    /// [`is_quiet`](Self::is_quiet) is false then. Blocks the thread.
    pub fn new(limit: Duration) -> Self {
        let mut barrier = wait_until_open(BARRIER.lock());
        let number = barrier.closed.0 + 1;
        barrier.closed = (number, Instant::now().checked_add(limit.saturating_add(FORK_TIME)));
        let changed = Arc::clone(&barrier.changed);
        let (mut barrier, _) = changed
            .wait_timeout_while(barrier, limit, |_| INSIDE.load(SeqCst) > 0)
            .unwrap_or_else(PoisonError::into_inner);
        barrier.closed.1 = Instant::now().checked_add(FORK_TIME);
        drop(barrier);
        Self { owner: OwnerProcess::current(), number }
    }

    /// Whether no thread of a store uses SQLite now, or, in a child, used it at the fork.
    #[must_use]
    pub fn is_quiet(&self) -> bool {
        INSIDE.load(SeqCst) == 0
    }
}

impl Drop for ForkGuard {
    fn drop(&mut self) {
        if !self.owner.is_current() {
            if !self.is_quiet() {
                INHERITS_LOCKS.store(true, SeqCst);
            }
            // The threads that were inside do not exist here.
            INSIDE.store(0, SeqCst);
            return;
        }
        let mut barrier = BARRIER.lock();
        if barrier.closed.0 != self.number {
            return;
        }
        barrier.closed.1 = None;
        let changed = Arc::clone(&barrier.changed);
        drop(barrier);
        changed.notify_all();
    }
}

impl fmt::Debug for ForkGuard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ForkGuard").field("is_quiet", &self.is_quiet()).finish_non_exhaustive()
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
        while BARRIER.lock().closed.1.is_none() && begun.elapsed() < FAR {
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

    /// The host may hold the guard and wait for a thread of a store.
    #[test]
    fn a_thread_enters_in_the_end_while_the_guard_is_held() {
        let guard = ForkGuard::new(FAR);
        let inside = enter();
        assert!(!guard.is_quiet());
        // The next guard does not wait for the first one either, and the first one does not open the barrier for it.
        let next = ForkGuard::new(Duration::ZERO);
        drop(guard);
        assert!(BARRIER.lock().closed.1.is_some());
        drop((inside, next));
    }
}
