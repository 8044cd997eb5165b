//! What is known of the messages that are being written.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use tokio::sync::OwnedMutexGuard;

use super::stream::Stream;
use crate::{Idempotency, MessageId, Revision, TenantId, ThreadId};

/// One message.
pub(super) type Key = (TenantId, ThreadId, MessageId);

/// What the layer knows of an open message.
#[derive(Debug, Clone)]
pub(super) struct Known {
    pub(super) stream: Stream,
    /// The one that the store answered last.
    pub(super) revision: Revision,
}

/// What the layer knows of a message, between two calls.
#[derive(Debug, Clone, Default)]
pub(super) enum Slot {
    /// Nothing: it was begun before a restart, or nothing was heard of it for long.
    #[default]
    Unknown,
    Known(Known),
    /// A write is under way, or its outcome was lost: the store says by the revision which of both holds.
    Doubt {
        /// Nothing where it was to be made by the call itself.
        before: Option<Known>,
        after: Option<Known>,
        /// Of the call.
        key: Option<Idempotency>,
    },
}

type Shared = Arc<tokio::sync::Mutex<Slot>>;

/// The messages that are being written. The calls on one of them take turns.
#[derive(Debug)]
pub(super) struct Open {
    messages: Mutex<HashMap<Key, Entry>>,
    most: usize,
    idle: Duration,
}

#[derive(Debug)]
struct Entry {
    slot: Shared,
    used: Instant,
}

impl Open {
    pub(super) fn new(most: usize, idle: Duration) -> Self {
        Self { messages: Mutex::default(), most: most.max(1), idle }
    }

    fn messages(&self) -> MutexGuard<'_, HashMap<Key, Entry>> {
        self.messages.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.messages().len()
    }

    /// Takes the turn on a message.
    pub(super) async fn lock(&self, key: &Key) -> OwnedMutexGuard<Slot> {
        loop {
            let slot = self.slot(key);
            let turn = Arc::clone(&slot).lock_owned().await;
            // It may have been forgotten meanwhile, and others take turns on a new one.
            if self.messages().get(key).is_some_and(|entry| Arc::ptr_eq(&entry.slot, &slot)) {
                return turn;
            }
        }
    }

    fn slot(&self, key: &Key) -> Shared {
        let mut messages = self.messages();
        let now = Instant::now();
        if let Some(entry) = messages.get_mut(key) {
            entry.used = now;
            return Arc::clone(&entry.slot);
        }
        self.make_room(&mut messages, now);
        let slot = Shared::default();
        messages.insert(key.clone(), Entry { slot: Arc::clone(&slot), used: now });
        slot
    }

    /// Forgets what nothing was heard of for long, and the eighth that is longest ago where there are too many. What was held
    /// back of them is lost; nobody is at work on them.
    fn make_room(&self, messages: &mut HashMap<Key, Entry>, now: Instant) {
        if messages.len() < self.most {
            return;
        }
        let is_free = |entry: &Entry| Arc::strong_count(&entry.slot) == 1;
        messages.retain(|_, entry| !is_free(entry) || now.duration_since(entry.used) < self.idle);
        if messages.len() < self.most {
            return;
        }
        let mut used: Vec<Instant> =
            messages.values().filter(|entry| is_free(entry)).map(|entry| entry.used).collect();
        used.sort_unstable();
        let Some(oldest) = used.get(self.most / 8).or(used.last()).copied() else { return };
        messages.retain(|_, entry| !is_free(entry) || entry.used > oldest);
    }

    /// How many bytes of a message are held back at most. While a call is at work on it nobody can say.
    pub(super) fn held(&self, key: &Key) -> usize {
        let slot = self.messages().get(key).map(|entry| Arc::clone(&entry.slot));
        let Some(slot) = slot else { return 0 };
        let held = |known: &Option<Known>| known.as_ref().map_or(0, |known| known.stream.held());
        match slot.try_lock().as_deref() {
            Err(_) => usize::MAX,
            Ok(Slot::Unknown) => 0,
            Ok(Slot::Known(known)) => known.stream.held(),
            Ok(Slot::Doubt { before, after, .. }) => held(before).max(held(after)),
        }
    }

    /// Nothing of it is stored yet, and this is its revision.
    pub(super) fn begin(&self, key: &Key, revision: Revision) {
        let slot = self.slot(key);
        // Whoever has the turn knows better.
        if let Ok(mut slot) = slot.try_lock_owned() {
            *slot = Slot::Known(Known { stream: Stream::default(), revision });
        }
    }

    pub(super) fn forget(&self, key: &Key) {
        self.messages().remove(key);
    }

    pub(super) fn forget_thread(&self, tenant: &TenantId, thread: &ThreadId) {
        self.messages().retain(|key, _| key.0 != *tenant || key.1 != *thread);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(id: usize) -> Key {
        (TenantId::default(), "t".parse().unwrap(), format!("m{id}").parse().unwrap())
    }

    #[tokio::test]
    async fn the_messages_that_are_longest_ago_are_forgotten_and_none_that_is_at_work() {
        let open = Open::new(8, Duration::from_secs(3600));
        let at_work = open.lock(&key(0)).await;
        for id in 1..100 {
            open.begin(&key(id), Revision::FIRST);
            assert!(open.len() <= 8);
        }
        assert!(matches!(&*open.lock(&key(99)).await, Slot::Known(_)));
        assert!(matches!(&*open.lock(&key(1)).await, Slot::Unknown));
        assert!(open.messages().contains_key(&key(0)));
        drop(at_work);
        open.forget_thread(&TenantId::default(), &"t".parse().unwrap());
        assert_eq!(open.len(), 0);
    }
}
