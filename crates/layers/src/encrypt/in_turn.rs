use std::{
    hash::{BuildHasher as _, BuildHasherDefault, DefaultHasher},
    sync::Arc,
};

use tokio::sync::{OwnedRwLockReadGuard, OwnedRwLockWriteGuard, RwLock};

use throughline_core::{MessageId, PersistArgs, TenantId, ThreadId, threads::ThreadArgs};

/// Keeps patches of metadata and the writing again of what they patch apart: a store compares no revision of metadata, so
/// that what is read and written again would undo a patch in between. Patches do not wait for one another.
#[derive(Debug, Clone)]
pub(super) struct InTurn(Arc<[Arc<RwLock<()>>]>);

/// Held for the time of a call.
#[derive(Debug, Default)]
#[expect(dead_code, reason = "what is held is held, and not looked at")]
pub(super) struct Held(Vec<OwnedRwLockReadGuard<()>>, Option<OwnedRwLockWriteGuard<()>>);

/// So many messages apart; two that fall together wait for one another without need.
const WAYS: usize = 64;

impl InTurn {
    pub(super) fn new() -> Self {
        Self((0..WAYS).map(|_| Arc::default()).collect())
    }

    /// Waits until what `args` patches is not being written again.
    pub(super) async fn shared(&self, tenant: &TenantId, args: &PersistArgs) -> Held {
        let mut ways = Vec::new();
        match args {
            PersistArgs::Batch(batch) => {
                ways.extend(batch.items.iter().filter_map(|item| self.way_of(tenant, item)));
            }
            other => ways.extend(self.way_of(tenant, other)),
        }
        // In one order, and each once: nobody waits in a circle.
        ways.sort_unstable();
        ways.dedup();
        let mut held = Held::default();
        for way in ways {
            held.0.push(Arc::clone(&self.0[way]).read_owned().await);
        }
        held
    }

    /// Waits until nothing patches what `args` is about.
    pub(super) async fn alone(&self, tenant: &TenantId, args: &PersistArgs) -> Held {
        match self.way_of(tenant, args) {
            Some(way) => Held(Vec::new(), Some(Arc::clone(&self.0[way]).write_owned().await)),
            None => Held::default(),
        }
    }

    fn way_of(&self, tenant: &TenantId, args: &PersistArgs) -> Option<usize> {
        let whose: (&ThreadId, Option<&MessageId>) = match args {
            PersistArgs::Update(update) => (&update.thread, Some(&update.id)),
            PersistArgs::Thread(ThreadArgs::Label(label)) => (&label.thread, None),
            _ => return None,
        };
        let hash = BuildHasherDefault::<DefaultHasher>::default().hash_one((tenant, whose));
        Some(usize::try_from(hash % self.0.len() as u64).unwrap_or_default())
    }
}
