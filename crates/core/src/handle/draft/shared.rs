//! What a draft and its writer tell each other beside the requests.

use std::sync::{
    Mutex, MutexGuard, PoisonError,
    atomic::{AtomicBool, Ordering},
};

use tokio::sync::Semaphore;

use super::pending::MAX_WAITING;
use crate::PersistError;
use crate::pipeline::LiveDraft;

#[derive(Debug)]
pub(super) struct Shared {
    /// A settlement was sent: the writer sees it through although the draft is gone.
    pub(super) settling: AtomicBool,
    /// The message is settled: nothing more is taken.
    pub(super) settled: AtomicBool,
    /// It may be settled or not: nothing more is taken before that is known.
    pub(super) in_doubt: AtomicBool,
    /// A permit for each byte that may wait.
    pub(super) room: Semaphore,
    failure: Mutex<Option<PersistError>>,
    /// Why what waits could not be written when that was last tried.
    obstacle: Mutex<Option<PersistError>>,
    live: Mutex<Option<LiveDraft>>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Shared {
    pub(super) fn new(live: LiveDraft) -> Self {
        Self {
            settling: AtomicBool::new(false),
            settled: AtomicBool::new(false),
            in_doubt: AtomicBool::new(false),
            room: Semaphore::new(MAX_WAITING as usize),
            failure: Mutex::new(None),
            obstacle: Mutex::new(None),
            live: Mutex::new(Some(live)),
        }
    }

    /// Why nothing can be written any more.
    pub(super) fn failure(&self) -> Option<PersistError> {
        lock(&self.failure).clone()
    }

    /// Keeps why nothing can be written any more, and wakes every caller that waits for room.
    pub(super) fn fail(&self, error: PersistError) {
        *lock(&self.failure) = Some(error);
        self.end();
    }

    /// Why what waits could not be written when that was last tried, if it could not.
    pub(super) fn obstacle(&self) -> Option<PersistError> {
        lock(&self.obstacle).clone()
    }

    pub(super) fn hinder(&self, error: Option<PersistError>) {
        *lock(&self.obstacle) = error;
    }

    pub(super) fn settle(&self) {
        self.settled.store(true, Ordering::Release);
        self.end();
    }

    pub(super) fn give_room(&self, room: u64) {
        self.room.add_permits(usize::try_from(room).unwrap_or(0));
    }

    /// Nothing more is written: a sweep may settle the message.
    pub(super) fn end(&self) {
        self.room.close();
        drop(lock(&self.live).take());
    }
}
