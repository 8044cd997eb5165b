//! What the writer does at this moment, and whether it has waited in that for too long.
//!
//! A disk that hangs answers no call, so the thread of the writer cannot say that it waits. It notes each step before it
//! begins it, and a thread beside it looks.

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
use crate::cause;

/// How long a step of the writer may take before that is an alarm. On a disk that works none but the largest operations take so long.
pub(super) const LIMIT: Duration = Duration::from_secs(2);

/// How often it is looked.
const LOOK: Duration = Duration::from_millis(250);

/// How often a disk that could not read is tried again: for a second each time at most.
const READ_AGAIN: Duration = Duration::from_secs(2);

/// The thread formats one event, and reads by a buffer on the heap.
const STACK: usize = 256 << 10;

/// What the writer may wait in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum WriterStep {
    /// It opens the file again, after a failure.
    Open,
    /// It begins a transaction: it takes the lock and reads the header of the log.
    Begin,
    /// It applies writes, which reads pages.
    Apply,
    /// It commits: it writes to the log and syncs it.
    Commit,
    /// It copies the log into the file, and syncs both.
    Checkpoint,
    /// It closes the file.
    Close,
}

impl WriterStep {
    const ALL: [Self; 6] =
        [Self::Open, Self::Begin, Self::Apply, Self::Commit, Self::Checkpoint, Self::Close];

    /// What it is in the text of events and errors.
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

/// The step that the writer has not ended for two seconds or longer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct WriterWait {
    /// The step that has not ended.
    pub step: WriterStep,
    /// How long ago it was begun.
    pub waited: Duration,
}

/// The step that is under way.
#[derive(Debug)]
pub(super) struct Steps {
    origin: Instant,
    /// The index in [`WriterStep::ALL`] and one; 0 while there is nothing to do.
    step: AtomicU8,
    /// Nanoseconds after the origin.
    begun: AtomicU64,
    /// The watchdog sleeps until it is woken.
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

    /// Has the watchdog look, wherever it is.
    pub(super) fn wake(&self) {
        if let Some(watchdog) = self.watchdog.get() {
            watchdog.unpark();
        }
    }

    pub(super) fn end(&self) {
        self.step.store(0, Ordering::SeqCst);
    }

    /// The step under way.
    #[cfg(test)]
    pub(super) fn step(&self) -> Option<WriterStep> {
        let step = usize::from(self.step.load(Ordering::SeqCst)).checked_sub(1)?;
        WriterStep::ALL.get(step).copied()
    }

    /// The step under way, if it takes too long.
    pub(super) fn waits_in(&self) -> Option<WriterWait> {
        let step = usize::from(self.step.load(Ordering::SeqCst)).checked_sub(1)?;
        let begun = Duration::from_nanos(self.begun.load(Ordering::Relaxed));
        let waited = self.origin.elapsed().saturating_sub(begun);
        (waited >= LIMIT).then_some(WriterWait { step: *WriterStep::ALL.get(step)?, waited })
    }
}

/// Looks after the writer until the store is closed, or its board is gone.
pub(super) fn start(health_state: &Arc<HealthState>, path: &Path) -> std::io::Result<()> {
    let (watched, path) = (Arc::downgrade(health_state), path.to_owned());
    let thread = thread::Builder::new().name("throughline-watchdog".to_owned()).stack_size(STACK);
    let running = thread.spawn(move || watch(&watched, &path))?;
    // The first one is the only one.
    drop(health_state.steps.watchdog.set(running.thread().clone()));
    // It was perhaps asleep before the writer could know its name.
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
        watched.look_at_the_writer();
        let now = steps.begun.load(Ordering::Relaxed);
        let is_unreadable = watched.is_unreadable();
        if is_unreadable && read.elapsed() >= READ_AGAIN {
            if !cause::is_unreadable(path) {
                watched.set_unreadable(false);
            }
            read = Instant::now();
        }
        let is_idle = !is_unreadable && now == begun && steps.step.load(Ordering::SeqCst) == 0;
        begun = now;
        if is_idle {
            steps.is_asleep.store(true, Ordering::SeqCst);
            // Begun between the look and the sleep, it found nobody asleep.
            if steps.step.load(Ordering::SeqCst) != 0 {
                steps.is_asleep.store(false, Ordering::SeqCst);
            }
        }
        let is_asleep = steps.is_asleep.load(Ordering::SeqCst);
        drop(watched);
        if is_asleep {
            thread::park();
        } else {
            thread::park_timeout(LOOK);
        }
    }
}

impl Drop for Steps {
    fn drop(&mut self) {
        self.wake();
    }
}
