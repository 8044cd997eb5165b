use serde::{Deserialize, Serialize};

use super::{AuditDigest, AuditRecord};
use crate::{AuditNumber, ChangeScope, TenantId, ThreadId};

/// One entry of an audit log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct AuditEntry {
    /// Its place in the log: 1, 2 and so on, without gaps.
    pub number: AuditNumber,
    /// The hash of the entry before it; [`AuditDigest::ZERO`] of the first.
    pub previous: AuditDigest,
    /// The hash of this one, over the number, the hash before and the record, keyed with the key of the host.
    pub hash: AuditDigest,
    /// What it says.
    pub record: AuditRecord,
    /// How many items of the record are left out because they are of other threads than were asked for. The hash is that of the
    /// whole.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub withheld: u64,
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde hands a reference")]
const fn is_zero(number: &u64) -> bool {
    *number == 0
}

/// What the hash of an entry is taken over, and what a store keeps beside it.
#[derive(Serialize)]
struct Sealed<'a> {
    number: AuditNumber,
    previous: AuditDigest,
    record: &'a AuditRecord,
}

/// The same, read back.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Kept {
    number: AuditNumber,
    previous: AuditDigest,
    record: AuditRecord,
}

impl AuditEntry {
    /// The text that the hash is taken over: what a store keeps, beside the hash.
    #[must_use]
    pub fn body(&self) -> String {
        Self::text(self.number, self.previous, &self.record)
    }

    pub(super) fn text(number: AuditNumber, previous: AuditDigest, record: &AuditRecord) -> String {
        serde_json::to_string(&Sealed { number, previous, record }).expect("a record serialises into memory")
    }

    /// Reads what a store kept: the [`body`](Self::body) and the hash. Whether the one is that of the other only the host can
    /// tell, who has the key; nothing when the body is no body of an entry.
    #[must_use]
    pub fn from_kept(body: &[u8], hash: AuditDigest) -> Option<Self> {
        let Kept { number, previous, record } = serde_json::from_slice(body).ok()?;
        Some(Self { number, previous, hash, record, withheld: 0 })
    }

    /// What of it is shown to who reads this scope from this tenant, if anything is.
    #[must_use]
    pub fn shown(self, scope: &ChangeScope, tenant: &TenantId) -> Option<Self> {
        match scope {
            ChangeScope::Store => Some(self),
            _ if self.record.tenant != *tenant => None,
            ChangeScope::Tenant => Some(self),
            ChangeScope::Thread(thread) => self.in_thread(thread),
        }
    }

    /// What of it a reader of one thread is shown: the items of that thread, and nothing when there are none.
    #[must_use]
    pub fn in_thread(mut self, thread: &ThreadId) -> Option<Self> {
        let items = self.record.items.len();
        self.record.items.retain(|item| item.thread.as_ref() == Some(thread));
        let left = self.record.items.len();
        self.withheld += (items - left) as u64;
        (left > 0).then_some(self)
    }

    /// The one thread that all of it is about, where that is so.
    #[must_use]
    pub fn only_thread(&self) -> Option<&ThreadId> {
        let (first, rest) = self.record.items.split_first()?;
        let thread = first.thread.as_ref()?;
        rest.iter().all(|item| item.thread.as_ref() == Some(thread)).then_some(thread)
    }
}
