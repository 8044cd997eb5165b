//! The scopes whose changes the store reads for one call.

use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::{TenantId, change::ChangeScope};

/// The scopes of the reads of changes that one call of a feed made in the store. A layer can redirect a thread, so that only the
/// store knows whose commits concern the feed.
#[derive(Debug, Default)]
pub(crate) struct FeedScopes(Mutex<Vec<(TenantId, ChangeScope)>>);

impl FeedScopes {
    fn scopes(&self) -> MutexGuard<'_, Vec<(TenantId, ChangeScope)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Records the scope of one read.
    pub(crate) fn record(&self, tenant: &TenantId, scope: &ChangeScope) {
        let mut scopes = self.scopes();
        // Two different ones suffice for `None`, and calls that fail take none.
        if scopes.len() < 2 && scopes.last().is_none_or(|last| (&last.0, &last.1) != (tenant, scope)) {
            scopes.push((tenant.clone(), scope.clone()));
        }
    }

    /// Takes the only scope of the reads since the last call. `None` if there was no read, or reads of several scopes.
    pub(crate) fn take_only(&self) -> Option<(TenantId, ChangeScope)> {
        let mut scopes = std::mem::take(&mut *self.scopes());
        scopes.pop().filter(|_| scopes.is_empty())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_of_one_scope_have_it_and_reads_of_several_have_none() {
        let (scopes, tenant) = (FeedScopes::default(), TenantId::default());
        assert_eq!(scopes.take_only(), None);
        let thread = |name: &str| ChangeScope::Thread(name.parse().unwrap());
        for _ in 0..2 {
            scopes.record(&tenant, &thread("t"));
        }
        assert_eq!(scopes.scopes().len(), 1);
        assert_eq!(scopes.take_only(), Some((tenant.clone(), thread("t"))));
        assert_eq!(scopes.take_only(), None);
        scopes.record(&tenant, &thread("t"));
        for thread in [thread("u"), thread("t"), thread("u")] {
            scopes.record(&tenant, &thread);
        }
        assert_eq!(scopes.scopes().len(), 2);
        assert_eq!(scopes.take_only(), None);
    }
}
