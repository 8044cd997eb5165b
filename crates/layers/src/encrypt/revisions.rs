use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use super::seal::MessageKey;
use throughline_core::{Revision, TenantId};

type Map = HashMap<(TenantId, MessageKey), OpenMessage>;

/// The revision of an open message, as the layer knows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct OpenMessage {
    pub(super) revision: Revision,
    /// Whether it is reserved: its next change of content is the first one.
    pub(super) is_reserved: bool,
}

/// Caches the revisions of open messages that this process wrote, so that an append costs no read. The layer reads
/// missing revisions, and the store refuses outdated ones.
#[derive(Debug, Clone, Default)]
pub(super) struct Revisions(Arc<Mutex<Generations>>);

/// Two maps: when the young map is full, it replaces the old map, which drops all unused revisions.
#[derive(Debug, Default)]
struct Generations {
    young: Map,
    old: Map,
}

/// The most messages in each map.
const CAPACITY: usize = 2048;

impl Revisions {
    pub(super) fn get(&self, tenant: &TenantId, message_key: &MessageKey) -> Option<OpenMessage> {
        let mut maps = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (tenant.clone(), message_key.clone());
        if let Some(open) = maps.young.get(&key) {
            return Some(*open);
        }
        let open = maps.old.remove(&key)?;
        maps.keep(key, open);
        Some(open)
    }

    /// Caches an open message; `None` removes a message that is no longer open.
    pub(super) fn set(&self, tenant: &TenantId, message_key: MessageKey, open: Option<OpenMessage>) {
        let mut maps = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (tenant.clone(), message_key);
        maps.old.remove(&key);
        match open {
            Some(open) => maps.keep(key, open),
            None => drop(maps.young.remove(&key)),
        }
    }
}

impl Generations {
    fn keep(&mut self, key: (TenantId, MessageKey), open: OpenMessage) {
        if self.young.len() >= CAPACITY {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(key, open);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(number: usize) -> OpenMessage {
        OpenMessage { revision: Revision::new(number as u64), is_reserved: number == 0 }
    }

    fn message_key(number: usize) -> MessageKey {
        ("t".parse().unwrap(), number.to_string().parse().unwrap())
    }

    #[test]
    fn the_cache_is_bounded_and_keeps_used_revisions() {
        let (revisions, tenant) = (Revisions::default(), TenantId::default());
        for number in 0..10 * CAPACITY {
            revisions.set(&tenant, message_key(number), Some(at(number)));
            assert_eq!(revisions.get(&tenant, &message_key(0)), Some(at(0)), "{number}");
        }
        let maps = revisions.0.lock().unwrap();
        assert!(maps.young.len() <= CAPACITY && maps.old.len() <= CAPACITY);
    }

    #[test]
    fn a_settled_message_is_removed_and_tenants_are_separate() {
        let (revisions, tenant) = (Revisions::default(), TenantId::default());
        revisions.set(&tenant, message_key(1), Some(at(1)));
        assert_eq!(revisions.get(&"other".parse().unwrap(), &message_key(1)), None);
        revisions.set(&tenant, message_key(1), None);
        assert_eq!(revisions.get(&tenant, &message_key(1)), None);
    }
}
