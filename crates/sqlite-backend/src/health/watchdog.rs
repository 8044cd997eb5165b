//! The watchdog: a thread that reports a writer which makes no progress.
//!
//! A call to a disk that hangs does not return, so the writer thread cannot report that it waits. The writer records
//! each step before it begins the step, and the watchdog thread checks it.

use std::{
    path::Path,
    sync::{
        Arc, OnceLock, Weak,
        atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering},
    },
    thread::{self, Thread},
    time::{Duration, Instant},
};

use super::HealthState;
use crate::file_guard;

/// The longest normal duration of a step; a longer one raises the alarm. On a working disk only the largest operations
/// take as long.
pub(super) const LIMIT: Duration = Duration::from_secs(2);

/// The interval between two checks.
const CHECK_INTERVAL: Duration = Duration::from_millis(250);

/// The interval between two attempts to read an unreadable disk; each attempt takes at most a second.
const READ_RETRY_INTERVAL: Duration = Duration::from_secs(2);

/// The stack size of the thread: it formats one event, and its read buffer is on the heap.
const STACK: usize = 256 << 10;

/// A step of the writer that can wait for the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum WriterStep {
    /// The writer opens the file again after a failure.
    Open,
    /// The writer begins a transaction: it takes the lock and reads the header of the WAL.
    Begin,
    /// The writer applies writes, which reads pages.
    Apply,
    /// The writer commits: it writes to the WAL and syncs it.
    Commit,
    /// The writer checkpoints the WAL and syncs both files.
    Checkpoint,
    /// The writer closes the file.
    Close,
}

impl WriterStep {
    const ALL: [Self; 6] =
        [Self::Open, Self::Begin, Self::Apply, Self::Commit, Self::Checkpoint, Self::Close];

    /// Returns the name of the step in events and errors.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Open => "opening the file",
            Self::Begin => "beginning a transaction",
            Self::Apply => "applying writes",
            Self::Commit => "a commit",
            Self::Checkpoint => "a checkpoint",
            Self::Close => "closing the file",
        }
    }
}

/// The step in which the writer has been for two seconds or longer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct WriterWait {
    /// The step.
    pub step: WriterStep,
    /// The time since the step began.
    pub waited: Duration,
}

/// The current step of the writer.
#[derive(Debug)]
pub(super) struct Steps {
    origin: Instant,
    /// The index in [`WriterStep::ALL`] plus one; 0 while the writer is idle.
    step: AtomicU8,
    /// Nanoseconds since `origin`.
    begun: AtomicU64,
    /// Whether the watchdog sleeps until the writer wakes it.
    is_asleep: AtomicBool,
    watchdog: OnceLock<Thread>,
}

impl Steps {
    pub(super) fn new() -> Self {
        Self {
            origin: Instant::now(),
            step: AtomicU8::new(0),
            begun: AtomicU64::new(0),
            is_asleep: AtomicBool::new(false),
            watchdog: OnceLock::new(),
        }
    }

    pub(super) fn begin(&self, step: WriterStep) {
        let nanos = u64::try_from(self.origin.elapsed().as_nanos()).unwrap_or(u64::MAX);
        self.begun.store(nanos, Ordering::Relaxed);
        self.step.store(step as u8 + 1, Ordering::SeqCst);
        if self.is_asleep.load(Ordering::SeqCst)
            && self.is_asleep.swap(false, Ordering::SeqCst)
            && let Some(watchdog) = self.watchdog.get()
        {
            watchdog.unpark();
        }
    }

    /// Wakes the watchdog for a check.
    pub(super) fn wake(&self) {
        if let Some(watchdog) = self.watchdog.get() {
            watchdog.unpark();
        }
    }

    pub(super) fn end(&self) {
        self.step.store(0, Ordering::SeqCst);
    }

    /// Returns the current step.
    #[cfg(test)]
    pub(super) fn step(&self) -> Option<WriterStep> {
        let step = usize::from(self.step.load(Ordering::SeqCst)).checked_sub(1)?;
        WriterStep::ALL.get(step).copied()
    }

    /// Returns the current step if it takes too long.
    pub(super) fn waits_in(&self) -> Option<WriterWait> {
        let step = usize::from(self.step.load(Ordering::SeqCst)).checked_sub(1)?;
        let begun = Duration::from_nanos(self.begun.load(Ordering::Relaxed));
        let waited = self.origin.elapsed().saturating_sub(begun);
        (waited >= LIMIT).then_some(WriterWait { step: *WriterStep::ALL.get(step)?, waited })
    }
}

/// Watches the writer until the store is closed or its health state is dropped.
pub(super) fn start(health_state: &Arc<HealthState>, path: &Path) -> std::io::Result<()> {
    let (watched, path) = (Arc::downgrade(health_state), path.to_owned());
    let thread = thread::Builder::new().name("throughline-watchdog".to_owned()).stack_size(STACK);
    let running = thread.spawn(move || watch(&watched, &path))?;
    // Called once, so it is not set yet.
    drop(health_state.steps.watchdog.set(running.thread().clone()));
    // The watchdog may have gone to sleep before the writer could know its handle.
    running.thread().unpark();
    Ok(())
}

fn watch(health_state: &Weak<HealthState>, path: &Path) {
    let mut begun = u64::MAX;
    let mut read = Instant::now();
    loop {
        let Some(watched) = health_state.upgrade().filter(|health_state| !health_state.is_closed()) else {
            return;
        };
        let steps = &watched.steps;
        watched.check_writer();
        let now = steps.begun.load(Ordering::Relaxed);
        let is_unreadable = watched.is_unreadable();
        if is_unreadable && read.elapsed() >= READ_RETRY_INTERVAL {
            if !file_guard::is_unreadable(path) {
                watched.set_unreadable(false);
            }
            read = Instant::now();
        }
        let is_idle = !is_unreadable && now == begun && steps.step.load(Ordering::SeqCst) == 0;
        begun = now;
        if is_idle {
            steps.is_asleep.store(true, Ordering::SeqCst);
            // A step that began between the check and the sleep did not see that the watchdog sleeps.
            if steps.step.load(Ordering::SeqCst) != 0 {
                steps.is_asleep.store(false, Ordering::SeqCst);
            }
        }
        let is_asleep = steps.is_asleep.load(Ordering::SeqCst);
        drop(watched);
        if is_asleep {
            thread::park();
        } else {
            thread::park_timeout(CHECK_INTERVAL);
        }
    }
}

impl Drop for Steps {
    fn drop(&mut self) {
        self.wake();
    }
}
