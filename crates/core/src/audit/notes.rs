use std::{fmt, sync::Arc};

use super::{AuditEntry, AuditLink, AuditRecord, AuditSealer};
use crate::TenantId;

/// Entries about calls that the store has not applied: what failed, what was answered elsewhere. A store that claims
/// [`Capabilities::audit`](crate::Capabilities::audit) appends them in one commit.
///
/// Only a pipeline makes one, and nothing but entries can be made of it.
pub struct AuditNotes {
    sealer: Arc<dyn AuditSealer>,
    records: Vec<AuditRecord>,
}

impl AuditNotes {
    pub(super) fn new(sealer: &Arc<dyn AuditSealer>, records: Vec<AuditRecord>) -> Self {
        Self { sealer: Arc::clone(sealer), records }
    }

    /// The tenant of the first of them.
    #[must_use]
    pub fn tenant(&self) -> TenantId {
        self.records.first().map_or_else(TenantId::default, |record| record.tenant.clone())
    }

    /// How many there are: one at least.
    #[must_use]
    #[allow(clippy::len_without_is_empty, reason = "there is one at least")]
    pub const fn len(&self) -> usize {
        self.records.len()
    }

    /// Whose they are, each as often as there are notes of it.
    pub fn tenants(&self) -> impl Iterator<Item = &TenantId> {
        self.records.iter().map(|record| &record.tenant)
    }

    /// The entries. `link` moves on behind them.
    #[must_use]
    pub fn entries(&self, link: &mut AuditLink) -> Vec<AuditEntry> {
        self.records.iter().map(|record| link.seal(&*self.sealer, record.clone())).collect()
    }
}

impl fmt::Debug for AuditNotes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AuditNotes").field("records", &self.records.len()).finish_non_exhaustive()
    }
}
