use std::{
    hash::{BuildHasher as _, BuildHasherDefault, DefaultHasher},
    sync::Arc,
};

use tokio::sync::{OwnedRwLockReadGuard, OwnedRwLockWriteGuard, RwLock};

use throughline_core::{MessageId, PersistArgs, TenantId, ThreadId, threads::ThreadArgs};

/// Excludes metadata patches while the layer re-encrypts the metadata that they change. A store compares no revision of
/// metadata, so re-encryption would otherwise undo a concurrent patch. Patches do not exclude one another.
#[derive(Debug, Clone)]
pub(super) struct PatchLocks(Arc<[Arc<RwLock<()>>]>);

/// The locks of one call; they are released when it is dropped.
#[derive(Debug, Default)]
#[expect(dead_code, reason = "the guards are only held")]
pub(super) struct PatchGuard(Vec<OwnedRwLockReadGuard<()>>, Option<OwnedRwLockWriteGuard<()>>);

/// The number of lock stripes. Two messages of one stripe wait for one another without need.
const STRIPES: usize = 64;

impl PatchLocks {
    pub(super) fn new() -> Self {
        Self((0..STRIPES).map(|_| Arc::default()).collect())
    }

    /// Waits until no re-encryption of the metadata that `args` patches is running.
    pub(super) async fn shared(&self, tenant: &TenantId, args: &PersistArgs) -> PatchGuard {
        let mut stripes = Vec::new();
        match args {
            PersistArgs::Batch(batch) => {
                stripes.extend(batch.items.iter().filter_map(|item| self.stripe_of(tenant, item)));
            }
            other => stripes.extend(self.stripe_of(tenant, other)),
        }
        // All calls lock the stripes in one order and each stripe once, so there is no deadlock.
        stripes.sort_unstable();
        stripes.dedup();
        let mut held = PatchGuard::default();
        for stripe in stripes {
            held.0.push(Arc::clone(&self.0[stripe]).read_owned().await);
        }
        held
    }

    /// Waits until no patch of the metadata of `args` is running.
    pub(super) async fn exclusive(&self, tenant: &TenantId, args: &PersistArgs) -> PatchGuard {
        match self.stripe_of(tenant, args) {
            Some(stripe) => PatchGuard(Vec::new(), Some(Arc::clone(&self.0[stripe]).write_owned().await)),
            None => PatchGuard::default(),
        }
    }

    fn stripe_of(&self, tenant: &TenantId, args: &PersistArgs) -> Option<usize> {
        let target: (&ThreadId, Option<&MessageId>) = match args {
            PersistArgs::Update(update) => (&update.thread, Some(&update.id)),
            PersistArgs::Thread(ThreadArgs::Label(label)) => (&label.thread, None),
            _ => return None,
        };
        let hash = BuildHasherDefault::<DefaultHasher>::default().hash_one((tenant, target));
        Some(usize::try_from(hash % self.0.len() as u64).unwrap_or_default())
    }
}
