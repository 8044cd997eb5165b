//! What is known of the messages that are being written.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use tokio::sync::OwnedMutexGuard;

use super::{TextStream, Transform};
use crate::{Idempotency, MessageId, Revision, TenantId, ThreadId};

/// One message.
pub(super) type Key = (TenantId, ThreadId, MessageId);

/// The text of an open message, where it goes on.
#[derive(Debug, Clone)]
pub(super) struct OpenText<St> {
    pub(super) stream: St,
    /// The one that the store answered last.
    pub(super) revision: Revision,
    /// How many bytes were given of text that was passed on in another form, since the layers further in last held nothing back.
    pub(super) rewritten: usize,
}

impl<St> OpenText<St> {
    pub(super) const fn new(stream: St, revision: Revision) -> Self {
        Self { stream, revision, rewritten: 0 }
    }
}

/// How many bytes of a text are not in the store.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct HeldBytes {
    /// Which this layer holds back.
    pub(super) here: usize,
    /// See [`OpenText::rewritten`]: so many at most stand for what layers further in hold back, if they hold anything back.
    pub(super) rewritten: usize,
}

/// What is known of a message between two calls.
#[derive(Debug, Clone, Default)]
pub(super) enum Slot<St> {
    /// Nothing: it was begun before a restart, or was not continued for long.
    #[default]
    Unknown,
    Known(OpenText<St>),
    /// A write is under way, or its outcome is unknown: the revision in the store says which of both holds.
    InDoubt {
        /// None where the call itself was to make the message.
        before: Option<OpenText<St>>,
        after: Option<OpenText<St>>,
        /// Of the call.
        key: Option<Idempotency>,
    },
}

type Shared<St> = Arc<tokio::sync::Mutex<Slot<St>>>;

/// The messages that are being written. The calls that change one of them take turns.
#[derive(Debug)]
pub(super) struct OpenMessages<St> {
    messages: Mutex<HashMap<Key, Entry<St>>>,
    most: usize,
    idle: Duration,
}

#[derive(Debug)]
struct Entry<St> {
    slot: Shared<St>,
    used: Instant,
}

impl<St: Clone + Default> OpenMessages<St> {
    pub(super) fn new(most: usize, idle: Duration) -> Self {
        Self { messages: Mutex::default(), most: most.max(1), idle }
    }

    fn messages(&self) -> MutexGuard<'_, HashMap<Key, Entry<St>>> {
        self.messages.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.messages().len()
    }

    /// Waits until no other call changes the message.
    pub(super) async fn lock(&self, key: &Key) -> OwnedMutexGuard<Slot<St>> {
        loop {
            let slot = self.slot(key);
            let guard = Arc::clone(&slot).lock_owned().await;
            // It may have been removed meanwhile, and others wait for a new one.
            if self.messages().get(key).is_some_and(|entry| Arc::ptr_eq(&entry.slot, &slot)) {
                return guard;
            }
        }
    }

    fn slot(&self, key: &Key) -> Shared<St> {
        let mut messages = self.messages();
        let now = Instant::now();
        if let Some(entry) = messages.get_mut(key) {
            entry.used = now;
            return Arc::clone(&entry.slot);
        }
        self.evict(&mut messages, now);
        let slot = Shared::default();
        messages.insert(key.clone(), Entry { slot: Arc::clone(&slot), used: now });
        slot
    }

    /// Evicts what is idle, and the least recently used eighth where there are still too many. What was held back of them is lost. No
    /// call is at work on them.
    fn evict(&self, messages: &mut HashMap<Key, Entry<St>>, now: Instant) {
        if messages.len() < self.most {
            return;
        }
        let is_free = |entry: &Entry<St>| Arc::strong_count(&entry.slot) == 1;
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

    /// How many bytes of a message are held back at most, and which these are at this revision. While a call is at work on it this is not
    /// known.
    pub(super) fn held<T>(&self, key: &Key, revision: Option<Revision>) -> (HeldBytes, Option<String>)
    where
        T: Transform<Stream = St>,
        St: TextStream<T>,
    {
        // Under the lock of all, so that no two readers meet at a slot: one of them would take the other for a write.
        let messages = self.messages();
        let Some(Entry { slot, .. }) = messages.get(key) else { return Default::default() };
        let held = |open: &OpenText<St>| TextStream::<T>::held(&open.stream).into_owned();
        let bytes = |open: &OpenText<St>| HeldBytes { here: held(open).len(), rewritten: open.rewritten };
        match slot.try_lock().as_deref() {
            Err(_) => (HeldBytes { here: usize::MAX, rewritten: 0 }, None),
            Ok(Slot::Unknown) => Default::default(),
            Ok(Slot::Known(open)) => (bytes(open), Some(held(open))),
            Ok(Slot::InDoubt { before, after, .. }) => {
                let is_at = |open: &&OpenText<St>| Some(open.revision) == revision;
                let stored = before.as_ref().filter(is_at).or(after.as_ref().filter(is_at));
                let [before, after] =
                    [before, after].map(|open| open.as_ref().map(bytes).unwrap_or_default());
                let most = HeldBytes {
                    here: before.here.max(after.here),
                    rewritten: before.rewritten.max(after.rewritten),
                };
                (most, stored.map(held))
            }
        }
    }

    /// Nothing of it is stored yet, and this is its revision.
    pub(super) fn begin(&self, key: &Key, revision: Revision) {
        let slot = self.slot(key);
        let _no_reader = self.messages();
        // A call that changes it knows better.
        if let Ok(mut slot) = slot.try_lock_owned() {
            *slot = Slot::Known(OpenText::new(St::default(), revision));
        }
    }

    pub(super) fn remove(&self, key: &Key) {
        self.messages().remove(key);
    }

    pub(super) fn remove_thread(&self, tenant: &TenantId, thread: &ThreadId) {
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
    async fn the_least_recently_used_messages_are_evicted_and_none_that_is_locked() {
        let open = OpenMessages::<String>::new(8, Duration::from_secs(3600));
        let locked = open.lock(&key(0)).await;
        for id in 1..100 {
            open.begin(&key(id), Revision::FIRST);
            assert!(open.len() <= 8);
        }
        assert!(matches!(&*open.lock(&key(99)).await, Slot::Known(_)));
        assert!(matches!(&*open.lock(&key(1)).await, Slot::Unknown));
        assert!(open.messages().contains_key(&key(0)));
        drop(locked);
        open.remove_thread(&TenantId::default(), &"t".parse().unwrap());
        assert_eq!(open.len(), 0);
    }
}
