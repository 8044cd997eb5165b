//! What is known of the messages that are being written.

use std::{
    cmp::Reverse,
    collections::HashMap,
    ops::{Deref, DerefMut},
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
    /// Of the last call with a key that was applied: repeated, it is a replay.
    pub(super) last_key: Option<Idempotency>,
}

impl<St> OpenText<St> {
    pub(super) const fn new(stream: St, revision: Revision) -> Self {
        Self { stream, revision, rewritten: 0, last_key: None }
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

/// Why a message cannot be locked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NoSlot {
    /// Text of too many messages is held back.
    Full,
    /// Text of the message was held back, and was dropped. Answered once.
    Dropped,
}

/// A message that no other call changes meanwhile. What is unknown when it is dropped takes no room in the table.
pub(super) struct Locked<St> {
    slot: OwnedMutexGuard<Slot<St>>,
    key: Key,
    open: Arc<OpenMessages<St>>,
}

impl<St> Deref for Locked<St> {
    type Target = Slot<St>;

    fn deref(&self) -> &Slot<St> {
        &self.slot
    }
}

impl<St> DerefMut for Locked<St> {
    fn deref_mut(&mut self) -> &mut Slot<St> {
        &mut self.slot
    }
}

impl<St> Drop for Locked<St> {
    fn drop(&mut self) {
        if matches!(*self.slot, Slot::Unknown) {
            let mut table = self.open.table();
            let slot = OwnedMutexGuard::mutex(&self.slot);
            if table.open.get(&self.key).is_some_and(|entry| Arc::ptr_eq(&entry.slot, slot)) {
                table.open.remove(&self.key);
            }
        }
    }
}

type Shared<St> = Arc<tokio::sync::Mutex<Slot<St>>>;

/// The messages that are being written. The calls that change one of them take turns.
#[derive(Debug)]
pub(super) struct OpenMessages<St> {
    table: Mutex<Table<St>>,
    most: usize,
    idle: Duration,
    /// Whether text is held back in this state.
    holds: fn(&St) -> bool,
}

#[derive(Debug)]
struct Table<St> {
    open: HashMap<Key, Entry<St>>,
    /// Messages whose held text was dropped, and when. Their next call is refused.
    dropped: HashMap<Key, Instant>,
}

#[derive(Debug)]
struct Entry<St> {
    slot: Shared<St>,
    used: Instant,
}

impl<St> Entry<St> {
    fn new(now: Instant) -> Self {
        Self { slot: Arc::new(tokio::sync::Mutex::new(Slot::Unknown)), used: now }
    }

    /// Whether no call is at work on it.
    fn is_free(&self) -> bool {
        Arc::strong_count(&self.slot) == 1
    }

    fn holds(&self, holds: fn(&St) -> bool) -> bool {
        let any = |open: &Option<OpenText<St>>| open.as_ref().is_some_and(|open| holds(&open.stream));
        match self.slot.try_lock().as_deref() {
            Err(_) => true,
            Ok(Slot::Unknown) => false,
            Ok(Slot::Known(open)) => holds(&open.stream),
            Ok(Slot::InDoubt { before, after, .. }) => any(before) || any(after),
        }
    }
}

impl<St> OpenMessages<St> {
    pub(super) fn new(most: usize, idle: Duration, holds: fn(&St) -> bool) -> Self {
        let table = Table { open: HashMap::new(), dropped: HashMap::new() };
        Self { table: Mutex::new(table), most: most.max(1), idle, holds }
    }

    fn table(&self) -> MutexGuard<'_, Table<St>> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.table().open.len()
    }

    /// Waits until no other call changes the message.
    pub(super) async fn lock(self: &Arc<Self>, key: &Key) -> Result<Locked<St>, NoSlot> {
        loop {
            let slot = self.slot(key)?;
            let guard = Arc::clone(&slot).lock_owned().await;
            // It may have been removed meanwhile, and others wait for a new one.
            if self.table().open.get(key).is_some_and(|entry| Arc::ptr_eq(&entry.slot, &slot)) {
                return Ok(Locked { slot: guard, key: key.clone(), open: Arc::clone(self) });
            }
        }
    }

    fn slot(&self, key: &Key) -> Result<Shared<St>, NoSlot> {
        let mut table = self.table();
        let now = Instant::now();
        if let Some(entry) = table.open.get_mut(key) {
            entry.used = now;
            return Ok(Arc::clone(&entry.slot));
        }
        if table.dropped.remove(key).is_some() {
            return Err(NoSlot::Dropped);
        }
        if !self.make_room(&mut table, &key.0, now, true) {
            return Err(NoSlot::Full);
        }
        let entry = Entry::new(now);
        let slot = Arc::clone(&entry.slot);
        table.open.insert(key.clone(), entry);
        Ok(slot)
    }

    /// Makes room for one message of a tenant, and answers whether there is any. A message that a call is at work on stays.
    ///
    /// What is idle goes first. Then go messages of which nothing is held back, the least recently used of the tenant with the most messages
    /// before others. Held text that is not idle is dropped for a tenant with less than its share, and of one with more, and only where
    /// `drops_held`. A tenant's share is an equal part of the table.
    fn make_room(&self, table: &mut Table<St>, tenant: &TenantId, now: Instant, drops_held: bool) -> bool {
        if table.open.len() < self.most {
            return true;
        }
        let is_idle = |entry: &Entry<St>| now.duration_since(entry.used) >= self.idle;
        let idle: Vec<Key> = table
            .open
            .iter()
            .filter(|(_, entry)| entry.is_free() && is_idle(entry))
            .map(|(key, _)| key.clone())
            .collect();
        idle.iter().for_each(|key| self.evict(table, key, now));
        if table.open.len() < self.most {
            return true;
        }
        let mut messages: HashMap<TenantId, usize> = HashMap::from([(tenant.clone(), 0)]);
        for (tenant, ..) in table.open.keys() {
            *messages.entry(tenant.clone()).or_default() += 1;
        }
        let share = self.most / messages.len();
        // Those of the tenant with the most messages first, and of one tenant the least recently used.
        let mut free: Vec<(Reverse<usize>, Instant, bool, Key)> = table
            .open
            .iter()
            .filter(|(key, entry)| entry.is_free() && (messages[&key.0] > share || key.0 == *tenant))
            .map(|(key, entry)| (Reverse(messages[&key.0]), entry.used, entry.holds(self.holds), key.clone()))
            .collect();
        free.sort_unstable();
        let mut left = (self.most / 8).max(1);
        for (.., key) in free.iter().filter(|(_, _, holds, _)| !holds) {
            let of_tenant = messages.entry(key.0.clone()).or_default();
            if left > 0 && (*of_tenant > share || key.0 == *tenant) {
                *of_tenant -= 1;
                left -= 1;
                self.evict(table, key, now);
            }
        }
        // A call that is at work needs its entry: it is not what fills the table.
        let held = table.open.values().filter(|entry| entry.is_free() && entry.holds(self.holds)).count();
        if table.open.len() < self.most || held < self.most {
            return true;
        }
        let victim = free.iter().find(|(.., key)| key.0 != *tenant && table.open.contains_key(key));
        match victim {
            Some((.., key)) if drops_held && messages[tenant] < share => {
                self.evict(table, key, now);
                true
            }
            _ => false,
        }
    }

    /// Forgets a message. Where text of it is held back, its next call is refused.
    fn evict(&self, table: &mut Table<St>, key: &Key, now: Instant) {
        let Some(entry) = table.open.remove(key) else { return };
        if !entry.holds(self.holds) {
            return;
        }
        table.dropped.insert(key.clone(), now);
        if table.dropped.len() > self.most {
            let mut dropped: HashMap<&TenantId, usize> = HashMap::new();
            for (tenant, ..) in table.dropped.keys() {
                *dropped.entry(tenant).or_default() += 1;
            }
            let first = table.dropped.iter().min_by_key(|(key, at)| (Reverse(dropped[&key.0]), **at));
            if let Some(first) = first.map(|(key, _)| key.clone()) {
                table.dropped.remove(&first);
            }
        }
    }

    /// How many bytes of a message are held back at most, and which these are at this revision. While a call is at work on it this is not
    /// known.
    pub(super) fn held<T>(&self, key: &Key, revision: Option<Revision>) -> (HeldBytes, Option<String>)
    where
        T: Transform<Stream = St>,
        St: TextStream<T>,
    {
        // Under the lock of all, so that no two readers meet at a slot: one of them would take the other for a write.
        let table = self.table();
        let Some(Entry { slot, .. }) = table.open.get(key) else { return Default::default() };
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

    /// Nothing of it is stored yet, and this is its revision. Where there is no room for it, its next call reads it.
    pub(super) fn begin(&self, key: &Key, revision: Revision)
    where
        St: Default,
    {
        let mut table = self.table();
        let now = Instant::now();
        if !table.open.contains_key(key) && !self.make_room(&mut table, &key.0, now, false) {
            return;
        }
        let entry = table.open.entry(key.clone()).or_insert_with(|| Entry::new(now));
        // A call that changes it knows better.
        if let Ok(mut slot) = entry.slot.try_lock() {
            *slot = Slot::Known(OpenText::new(St::default(), revision));
        }
    }

    pub(super) fn remove(&self, key: &Key) {
        let mut table = self.table();
        table.open.remove(key);
        table.dropped.remove(key);
    }

    pub(super) fn remove_thread(&self, tenant: &TenantId, thread: &ThreadId) {
        let mut table = self.table();
        let is_other = |key: &Key| key.0 != *tenant || key.1 != *thread;
        table.open.retain(|key, _| is_other(key));
        table.dropped.retain(|key, _| is_other(key));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(tenant: &str, id: usize) -> Key {
        (tenant.parse().unwrap(), "t".parse().unwrap(), format!("m{id}").parse().unwrap())
    }

    fn key(id: usize) -> Key {
        of("a", id)
    }

    fn eight(idle: Duration) -> Arc<OpenMessages<String>> {
        Arc::new(OpenMessages::new(8, idle, |stream| !stream.is_empty()))
    }

    const HOUR: Duration = Duration::from_secs(3600);

    async fn hold(open: &Arc<OpenMessages<String>>, key: &Key) -> Result<(), NoSlot> {
        *open.lock(key).await? = Slot::Known(OpenText::new("tail".to_owned(), Revision::FIRST));
        Ok(())
    }

    async fn holds(open: &Arc<OpenMessages<String>>, key: &Key) -> bool {
        matches!(open.lock(key).await.as_deref(), Ok(Slot::Known(open)) if open.stream == "tail")
    }

    #[tokio::test]
    async fn the_least_recently_used_messages_are_evicted_and_none_that_is_locked() {
        let open = eight(HOUR);
        let mut locked = open.lock(&key(0)).await.ok().unwrap();
        *locked = Slot::Known(OpenText::new(String::new(), Revision::FIRST));
        for id in 1..100 {
            open.begin(&key(id), Revision::FIRST);
            assert!(open.len() <= 8);
        }
        assert!(matches!(open.lock(&key(99)).await.as_deref(), Ok(Slot::Known(_))));
        assert!(matches!(open.lock(&key(1)).await.as_deref(), Ok(Slot::Unknown)));
        assert!(open.table().open.contains_key(&key(0)));
        drop(locked);
        open.remove_thread(&"a".parse().unwrap(), &"t".parse().unwrap());
        assert_eq!(open.len(), 0);
    }

    #[tokio::test]
    async fn an_unknown_message_takes_no_room_once_its_call_ended() {
        let open = eight(HOUR);
        drop(open.lock(&key(0)).await);
        assert_eq!(open.len(), 0);
    }

    #[tokio::test]
    async fn one_tenants_messages_evict_no_held_text_of_another() {
        let open = eight(HOUR);
        for id in 0..3 {
            hold(&open, &of("b", id)).await.unwrap();
        }
        for id in 0..100 {
            open.begin(&of("a", id), Revision::FIRST);
            assert!(matches!(hold(&open, &of("a", id)).await, Ok(()) | Err(NoSlot::Full)));
        }
        for id in 0..3 {
            assert!(holds(&open, &of("b", id)).await);
        }
        assert_eq!(hold(&open, &of("a", 100)).await, Err(NoSlot::Full));
        assert_eq!(open.len(), 8);
    }

    #[tokio::test]
    async fn a_tenant_with_less_than_its_share_has_room_and_the_dropped_text_is_not_silent() {
        let open = eight(HOUR);
        for id in 0..8 {
            hold(&open, &of("b", id)).await.unwrap();
        }
        for id in 0..4 {
            hold(&open, &of("a", id)).await.unwrap();
        }
        assert_eq!(hold(&open, &of("a", 4)).await, Err(NoSlot::Full));
        for id in 0..4 {
            assert_eq!(open.lock(&of("b", id)).await.err(), Some(NoSlot::Dropped));
            assert!(holds(&open, &of("b", id + 4)).await && holds(&open, &of("a", id)).await);
        }
        // Answered once: then it is as full as for any other message.
        assert_eq!(open.lock(&of("b", 0)).await.err(), Some(NoSlot::Full));
    }

    #[tokio::test]
    async fn idle_held_text_is_dropped_first_and_its_next_call_is_refused() {
        let open = eight(Duration::ZERO);
        for id in 0..9 {
            hold(&open, &key(id)).await.unwrap();
        }
        assert_eq!(open.len(), 1);
        assert_eq!(open.lock(&key(0)).await.err(), Some(NoSlot::Dropped));
        assert!(matches!(open.lock(&key(0)).await.as_deref(), Ok(Slot::Unknown)));
    }
}
