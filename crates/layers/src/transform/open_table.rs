//! The table of open messages, with its eviction.

use std::{
    cmp::Reverse,
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};

use super::open_messages::{Key, Shared};
use throughline_core::{TenantId, ThreadId};

/// The open messages, and the messages whose buffered text was dropped.
#[derive(Debug)]
pub(super) struct Table<St> {
    open: HashMap<Key, Entry<St>>,
    dropped: HashMap<Key, Dropped>,
    tenants: HashMap<TenantId, Counts>,
    /// The number of entries with buffered text.
    held: usize,
    most: usize,
    idle: Duration,
    /// A lower bound of the instants at which entries become idle. Only a scan of all entries raises it.
    idle_from: Option<Instant>,
}

/// The number of entries of one tenant.
#[derive(Debug, Clone, Copy, Default)]
struct Counts {
    open: usize,
    held: usize,
    dropped: usize,
}

/// A message whose buffered text was dropped.
#[derive(Debug, Clone, Copy)]
struct Dropped {
    at: Instant,
    /// Whether a call was refused for it.
    is_refused: bool,
}

#[derive(Debug)]
struct Entry<St> {
    slot: Shared<St>,
    used: Instant,
    /// Whether text was buffered when the last call ended.
    holds: bool,
}

impl<St> Entry<St> {
    /// Returns true if no call changes it.
    fn is_free(&self) -> bool {
        Arc::strong_count(&self.slot) == 1
    }
}

impl<St> Table<St> {
    pub(super) fn new(most: usize, idle: Duration) -> Self {
        Self {
            open: HashMap::new(),
            dropped: HashMap::new(),
            tenants: HashMap::new(),
            held: 0,
            most: most.max(1),
            idle,
            idle_from: None,
        }
    }

    /// Returns the number of messages.
    pub(super) fn len(&self) -> usize {
        self.open.len()
    }

    pub(super) fn get(&self, key: &Key) -> Option<&Shared<St>> {
        self.open.get(key).map(|entry| &entry.slot)
    }

    /// Returns the entry of a message for a call, and marks it as used.
    pub(super) fn touch(&mut self, key: &Key, now: Instant) -> Option<Shared<St>> {
        let entry = self.open.get_mut(key)?;
        entry.used = now;
        Some(Arc::clone(&entry.slot))
    }

    /// Adds a message; call [`make_space`](Self::make_space) first.
    pub(super) fn insert(&mut self, key: &Key, slot: &Shared<St>, now: Instant) {
        self.remove_open(key);
        self.open.insert(key.clone(), Entry { slot: Arc::clone(slot), used: now, holds: false });
        self.count(&key.0, |counts| counts.open += 1);
    }

    /// Records at the end of a call whether text of the message is buffered.
    pub(super) fn set_holds(&mut self, key: &Key, holds: bool) {
        let Some(entry) = self.open.get_mut(key) else { return };
        if std::mem::replace(&mut entry.holds, holds) == holds {
            return;
        }
        let change = |number: &mut usize| if holds { *number += 1 } else { *number -= 1 };
        change(&mut self.held);
        self.count(&key.0, |counts| change(&mut counts.held));
    }

    /// Returns true if buffered text of the message was dropped, and records the refusal of the call.
    pub(super) fn refuse_dropped(&mut self, key: &Key) -> bool {
        self.dropped.get_mut(key).map(|dropped| dropped.is_refused = true).is_some()
    }

    /// Records that the message was read: after a refusal, its caller may then continue from the stored content.
    pub(super) fn read(&mut self, key: &Key) {
        if self.dropped.get(key).is_some_and(|dropped| dropped.is_refused) {
            self.forget_dropped(key);
        }
    }

    pub(super) fn has_dropped(&self) -> bool {
        !self.dropped.is_empty()
    }

    /// Clears the record of dropped text of the message.
    pub(super) fn forget_dropped(&mut self, key: &Key) {
        if self.dropped.remove(key).is_some() {
            self.count(&key.0, |counts| counts.dropped -= 1);
        }
    }

    /// Removes a message that no call changes, or that its call settled.
    pub(super) fn remove_open(&mut self, key: &Key) -> bool {
        let Some(entry) = self.open.remove(key) else { return false };
        self.held -= usize::from(entry.holds);
        self.count(&key.0, |counts| {
            counts.open -= 1;
            counts.held -= usize::from(entry.holds);
        });
        entry.holds
    }

    pub(super) fn remove_thread(&mut self, tenant: &TenantId, thread: &ThreadId) {
        let keys = self.open.keys().chain(self.dropped.keys());
        let keys: Vec<Key> = keys.filter(|key| key.0 == *tenant && key.1 == *thread).cloned().collect();
        for key in keys {
            self.remove_open(&key);
            self.forget_dropped(&key);
        }
    }

    fn count(&mut self, tenant: &TenantId, change: impl FnOnce(&mut Counts)) {
        if !self.tenants.contains_key(tenant) {
            self.tenants.insert(tenant.clone(), Counts::default());
        }
        let Some(counts) = self.tenants.get_mut(tenant) else { return };
        change(counts);
        if (counts.open, counts.dropped) == (0, 0) {
            self.tenants.remove(tenant);
        }
    }

    fn counts(&self, tenant: &TenantId) -> Counts {
        self.tenants.get(tenant).copied().unwrap_or_default()
    }

    /// Returns the size of an equal share of the table, for each tenant with messages in it and for this one.
    fn share(&self, tenant: &TenantId) -> usize {
        let others = self.tenants.iter().filter(|(other, counts)| *other != tenant && counts.open > 0);
        self.most / (others.count() + 1)
    }

    /// Evicts entries for one message of a tenant, and returns true if there is space. A message that a call changes is
    /// never evicted.
    ///
    /// Idle messages go first. Then messages without buffered text go, the least recently used of the tenant with the
    /// most messages before others. With `drops_held`, a tenant below its share may evict buffered text of a tenant
    /// above its share. A tenant's share is an equal part of the table.
    pub(super) fn make_space(&mut self, tenant: &TenantId, now: Instant, drops_held: bool) -> bool {
        if self.open.len() < self.most {
            return true;
        }
        self.evict_idle(now);
        if self.open.len() >= self.most {
            self.evict_unheld(tenant, now);
        }
        // A running call needs its entry; it is not the cause of a full table.
        let has_space = self.open.len() < self.most
            || self.held < self.most
            || (drops_held && self.evict_held(tenant, now));
        self.trim_dropped();
        has_space
    }

    fn evict_idle(&mut self, now: Instant) {
        if self.idle_from.is_some_and(|from| now < from) {
            return;
        }
        let mut idle = Vec::new();
        let mut oldest = now;
        for (key, entry) in &self.open {
            if !entry.is_free() {
                continue;
            }
            if now.duration_since(entry.used) >= self.idle {
                idle.push(key.clone());
            } else {
                oldest = oldest.min(entry.used);
            }
        }
        idle.iter().for_each(|key| self.evict(key, now));
        self.idle_from = oldest.checked_add(self.idle);
    }

    /// Evicts an eighth of the table: messages without buffered text of this tenant and of tenants above their share.
    fn evict_unheld(&mut self, tenant: &TenantId, now: Instant) {
        let share = self.share(tenant);
        let may_go = |of: &TenantId, counts: Counts| counts.open > share || of == tenant;
        let is_any = |(of, counts): (&TenantId, &Counts)| counts.held < counts.open && may_go(of, *counts);
        if !self.tenants.iter().any(is_any) {
            return;
        }
        let mut free: Vec<(Reverse<usize>, Instant, Key)> = self
            .open
            .iter()
            .filter(|(key, entry)| !entry.holds && entry.is_free() && may_go(&key.0, self.counts(&key.0)))
            .map(|(key, entry)| (Reverse(self.counts(&key.0).open), entry.used, key.clone()))
            .collect();
        free.sort_unstable();
        let mut left = (self.most / 8).max(1);
        for (.., key) in free {
            if left > 0 && may_go(&key.0, self.counts(&key.0)) {
                left -= 1;
                self.evict(&key, now);
            }
        }
    }

    /// Evicts one message of a tenant above its share, for a tenant below its share.
    fn evict_held(&mut self, tenant: &TenantId, now: Instant) -> bool {
        let share = self.share(tenant);
        if self.counts(tenant).open >= share {
            return false;
        }
        let is_above = |key: &Key, entry: &Entry<St>| {
            key.0 != *tenant && self.counts(&key.0).open > share && entry.is_free()
        };
        let victim = self
            .open
            .iter()
            .filter(|(key, entry)| is_above(key, entry))
            .min_by_key(|(key, entry)| (Reverse(self.counts(&key.0).open), entry.used, *key))
            .map(|(key, _)| key.clone());
        victim.inspect(|key| self.evict(key, now)).is_some()
    }

    /// Removes a message. If it has buffered text, calls that continue it are refused until it is read.
    fn evict(&mut self, key: &Key, now: Instant) {
        if self.remove_open(key) {
            let dropped = Dropped { at: now, is_refused: false };
            if self.dropped.insert(key.clone(), dropped).is_none() {
                self.count(&key.0, |counts| counts.dropped += 1);
            }
        }
    }

    /// Removes the oldest records of dropped text when there are more than open messages are allowed, from the tenants
    /// with the most. One pass removes an eighth of the table.
    fn trim_dropped(&mut self) {
        if self.dropped.len() <= self.most + self.most / 8 {
            return;
        }
        let mut dropped: Vec<(Reverse<usize>, Instant, Key)> = self
            .dropped
            .iter()
            .map(|(key, dropped)| (Reverse(self.counts(&key.0).dropped), dropped.at, key.clone()))
            .collect();
        dropped.sort_unstable();
        let over = dropped.len() - self.most;
        dropped.iter().take(over).for_each(|(.., key)| self.forget_dropped(key));
    }
}

#[cfg(test)]
impl<St> Table<St> {
    /// Recounts the counters and compares them with the maps.
    pub(super) fn check_counts(&self) {
        let held = self.open.values().filter(|entry| entry.holds).count();
        let total = self.tenants.values().fold((0, 0, 0), |sum, counts| {
            (sum.0 + counts.open, sum.1 + counts.held, sum.2 + counts.dropped)
        });
        assert_eq!((total, self.held), ((self.open.len(), held, self.dropped.len()), held));
    }

    pub(super) fn dropped_len(&self) -> usize {
        self.dropped.len()
    }
}
