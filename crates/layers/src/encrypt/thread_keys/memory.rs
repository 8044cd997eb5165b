use std::{
    collections::BTreeMap,
    ops::Bound,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use super::{KeysFuture, Listed, ThreadKey, ThreadKeys, WrappedKey};
use throughline_core::{TenantId, ThreadId};

type Kept = BTreeMap<(TenantId, ThreadId), Option<WrappedKey>>;

/// Thread keys in memory, for tests and for stores in memory. A clone shares the keys.
#[derive(Debug, Clone, Default)]
pub struct MemoryThreadKeys(Arc<Mutex<Kept>>);

impl MemoryThreadKeys {
    /// Returns an empty store of keys.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn state_of(kept: Option<&Option<WrappedKey>>) -> ThreadKey {
    match kept {
        None => ThreadKey::Missing,
        Some(None) => ThreadKey::Destroyed,
        Some(Some(key)) => ThreadKey::Kept(key.clone()),
    }
}

impl ThreadKeys for MemoryThreadKeys {
    fn get<'a>(&'a self, tenant: &'a TenantId, thread: &'a ThreadId) -> KeysFuture<'a, ThreadKey> {
        let found = state_of(self.kept().get(&(tenant.clone(), thread.clone())));
        Box::pin(async { Ok(found) })
    }

    fn create<'a>(
        &'a self,
        tenant: &'a TenantId,
        thread: &'a ThreadId,
        key: WrappedKey,
    ) -> KeysFuture<'a, ThreadKey> {
        Box::pin(async move {
            let mut kept = self.kept();
            let existing = kept.entry((tenant.clone(), thread.clone())).or_insert(Some(key));
            Ok(state_of(Some(existing)))
        })
    }

    fn replace<'a>(
        &'a self,
        tenant: &'a TenantId,
        thread: &'a ThreadId,
        from: &'a WrappedKey,
        to: WrappedKey,
    ) -> KeysFuture<'a, bool> {
        Box::pin(async move {
            match self.kept().get_mut(&(tenant.clone(), thread.clone())) {
                Some(Some(key)) if key == from => {
                    *key = to;
                    Ok(true)
                }
                _ => Ok(false),
            }
        })
    }

    fn destroy<'a>(&'a self, tenant: &'a TenantId, thread: &'a ThreadId) -> KeysFuture<'a, ()> {
        Box::pin(async move {
            self.kept().insert((tenant.clone(), thread.clone()), None);
            Ok(())
        })
    }

    fn list<'a>(&'a self, after: Option<&'a (TenantId, ThreadId)>, limit: usize) -> KeysFuture<'a, Listed> {
        Box::pin(async move {
            let from = after.map_or(Bound::Unbounded, |after| Bound::Excluded(after.clone()));
            let kept = self.kept();
            let keys = kept.range((from, Bound::Unbounded));
            let keys = keys.filter_map(|(owner, key)| Some((owner.clone(), key.clone()?))).take(limit);
            Ok(Listed { keys: keys.collect(), damaged: Vec::new() })
        })
    }
}
