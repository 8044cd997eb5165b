//! The live drafts of this process. The recovery of expired drafts skips their messages, even if the lease has expired.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use crate::{Message, MessageId, TenantId, ThreadId};

type Name = (TenantId, ThreadId, MessageId);

/// The messages with live drafts of this pipeline, and the number of drafts of each.
#[derive(Debug, Clone, Default)]
pub(crate) struct LiveDrafts(Arc<Mutex<HashMap<Name, usize>>>);

impl LiveDrafts {
    fn names(&self) -> MutexGuard<'_, HashMap<Name, usize>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Registers a draft of this message.
    pub(crate) fn register(&self, message: &Message) -> LiveDraft {
        let name = (message.tenant.clone(), message.thread.clone(), message.id.clone());
        *self.names().entry(name.clone()).or_default() += 1;
        LiveDraft { drafts: self.clone(), name }
    }

    /// Whether there is a live draft of this message.
    pub(crate) fn holds(&self, message: &Message) -> bool {
        let name = (message.tenant.clone(), message.thread.clone(), message.id.clone());
        self.names().contains_key(&name)
    }
}

/// A registered draft. A drop removes it.
#[derive(Debug)]
pub(crate) struct LiveDraft {
    drafts: LiveDrafts,
    name: Name,
}

impl Drop for LiveDraft {
    fn drop(&mut self) {
        let mut names = self.drafts.names();
        if let Some(count) = names.get_mut(&self.name) {
            *count -= 1;
            if *count == 0 {
                names.remove(&self.name);
            }
        }
    }
}
