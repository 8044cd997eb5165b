//! The state that a draft and its writer task share, apart from the commands.

use std::sync::{
    Mutex, MutexGuard, PoisonError,
    atomic::{AtomicBool, Ordering},
};

use tokio::sync::{Notify, Semaphore};

use super::pending::MAX_WAITING;
use crate::PersistError;
use crate::pipeline::LiveDraft;

#[derive(Debug)]
pub(super) struct Shared {
    /// A settlement was sent: the writer completes it even if the draft is dropped.
    pub(super) settling: AtomicBool,
    /// The message is settled: the draft takes no more content.
    pub(super) settled: AtomicBool,
    /// The outcome of a settlement is unknown: the draft takes no content until it is known.
    pub(super) in_doubt: AtomicBool,
    /// One permit for each byte of the buffer.
    pub(super) capacity: Semaphore,
    /// Wakes a writer that waits for the time of its next write: the buffer should be written, or received, before it.
    pub(super) early: Notify,
    /// The number of buffered bytes at which the draft writes.
    coalesce_bytes: usize,
    failure: Mutex<Option<PersistError>>,
    /// The error of the last write, if it was transient.
    transient_error: Mutex<Option<PersistError>>,
    live: Mutex<Option<LiveDraft>>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Shared {
    pub(super) fn new(live: LiveDraft, coalesce_bytes: usize) -> Self {
        Self {
            settling: AtomicBool::new(false),
            settled: AtomicBool::new(false),
            in_doubt: AtomicBool::new(false),
            capacity: Semaphore::new(MAX_WAITING as usize),
            early: Notify::new(),
            coalesce_bytes,
            failure: Mutex::new(None),
            transient_error: Mutex::new(None),
            live: Mutex::new(Some(live)),
        }
    }

    /// Returns the permanent error, if there is one.
    pub(super) fn failure(&self) -> Option<PersistError> {
        lock(&self.failure).clone()
    }

    /// Records a permanent error and wakes every caller that waits for space in the buffer.
    pub(super) fn fail(&self, error: PersistError) {
        *lock(&self.failure) = Some(error);
        self.end();
    }

    /// Returns the error of the last write, if it was transient.
    pub(super) fn transient_error(&self) -> Option<PersistError> {
        lock(&self.transient_error).clone()
    }

    pub(super) fn set_transient_error(&self, error: Option<PersistError>) {
        *lock(&self.transient_error) = error;
    }

    /// Returns the number of bytes that are appended, and not written.
    fn buffered_bytes(&self) -> usize {
        (MAX_WAITING as usize).saturating_sub(self.capacity.available_permits())
    }

    /// Wakes the writer before the time of its next write, if it has enough to write, or if few changes can still be sent to it.
    pub(super) fn wake_if_due(&self, has_few_slots: bool) {
        if has_few_slots || self.buffered_bytes() >= self.coalesce_bytes {
            self.early.notify_one();
        }
    }

    pub(super) fn settle(&self) {
        self.settled.store(true, Ordering::Release);
        self.end();
    }

    pub(super) fn release(&self, permits: u64) {
        self.capacity.add_permits(usize::try_from(permits).unwrap_or(0));
    }

    /// Ends the draft: the recovery of expired drafts may settle the message.
    pub(super) fn end(&self) {
        self.capacity.close();
        drop(lock(&self.live).take());
    }
}
