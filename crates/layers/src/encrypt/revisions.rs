use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use super::seal::Named;
use throughline_core::{Revision, TenantId};

type Map = HashMap<(TenantId, Named), Revision>;

/// The revisions of open messages, as this process has last written them: so that an append costs no read. What is not
/// there is read, and what is out of date is refused by the store.
#[derive(Debug, Clone, Default)]
pub(super) struct Revisions(Arc<Mutex<Generations>>);

/// Two maps: when the young one is full, the old one goes, with what was not asked for since.
#[derive(Debug, Default)]
struct Generations {
    young: Map,
    old: Map,
}

/// So many messages in each map.
const ROOM: usize = 2048;

impl Revisions {
    pub(super) fn get(&self, tenant: &TenantId, named: &Named) -> Option<Revision> {
        let mut maps = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (tenant.clone(), named.clone());
        if let Some(revision) = maps.young.get(&key) {
            return Some(*revision);
        }
        let revision = maps.old.remove(&key)?;
        maps.keep(key, revision);
        Some(revision)
    }

    /// The message is at this revision; with nothing, it is not written to any more.
    pub(super) fn set(&self, tenant: &TenantId, named: Named, revision: Option<Revision>) {
        let mut maps = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (tenant.clone(), named);
        maps.old.remove(&key);
        match revision {
            Some(revision) => maps.keep(key, revision),
            None => drop(maps.young.remove(&key)),
        }
    }
}

impl Generations {
    fn keep(&mut self, key: (TenantId, Named), revision: Revision) {
        if self.young.len() >= ROOM {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(key, revision);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(number: usize) -> Named {
        ("t".parse().unwrap(), number.to_string().parse().unwrap())
    }

    #[test]
    fn it_is_bounded_and_keeps_what_is_used() {
        let (revisions, tenant) = (Revisions::default(), TenantId::default());
        for number in 0..10 * ROOM {
            revisions.set(&tenant, named(number), Some(Revision::new(number as u64)));
            assert_eq!(revisions.get(&tenant, &named(0)), Some(Revision::ZERO), "{number}");
        }
        let maps = revisions.0.lock().unwrap();
        assert!(maps.young.len() <= ROOM && maps.old.len() <= ROOM);
    }

    #[test]
    fn what_is_settled_is_forgotten_and_tenants_are_apart() {
        let (revisions, tenant) = (Revisions::default(), TenantId::default());
        revisions.set(&tenant, named(1), Some(Revision::FIRST));
        assert_eq!(revisions.get(&"other".parse().unwrap(), &named(1)), None);
        revisions.set(&tenant, named(1), None);
        assert_eq!(revisions.get(&tenant, &named(1)), None);
    }
}
