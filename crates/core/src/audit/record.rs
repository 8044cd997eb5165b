use serde::{Deserialize, Serialize};

use super::{AuditDigest, AuditItem};
use crate::{Effect, ErrorKind, Position, TenantId, Timestamp};

/// What became of an audited call.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub enum AuditOutcome {
    /// It was applied, and this entry was written in the same commit.
    Applied {
        /// How far the store had come before it.
        after: Position,
        /// How far it had come with it: every change between the two is of this call.
        position: Position,
    },
    /// Its caller was told that it failed. Where the effect is not `NotApplied`, another entry of the same call may say that it was
    /// applied.
    #[serde(rename_all = "camelCase")]
    Failed {
        /// Why.
        kind: ErrorKind,
        /// What the store might hold of it, as far as was known then.
        effect: Effect,
        /// The layer or the backend that it failed in.
        site: String,
        /// How many calls alike failed alike: the entry has the call and the time of the first.
        times: u64,
    },
    /// It was answered, and not by this store: by a layer, or by another pipeline that it was sent to. That one has a log of its own, or none.
    Elsewhere {
        /// How many calls alike: the entry has the call and the time of the first.
        times: u64,
    },
    /// So many calls that failed or were answered elsewhere have no entry: there were too many at once.
    Lost {
        /// How many.
        calls: u64,
    },
}

/// What an entry of an audit log says: who, what, when, with which outcome. It holds no content.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct AuditRecord {
    /// What became of it.
    pub outcome: AuditOutcome,
    /// When the store took it, by the clock of the pipeline; of one that was not applied here, when it failed.
    pub at: Timestamp,
    /// Whose call it was.
    pub tenant: TenantId,
    /// On whose behalf the host acted, as the handle was told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub actor: Option<String>,
    /// From which part of the host it came, as the handle was told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub call_site: Option<String>,
    /// Names the call, as in logs.
    pub call: String,
    /// A keyed hash of its idempotency key, if it had one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<AuditDigest>,
    /// A keyed hash of all content that it carried, as the layer was given it, if it carried any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content: Option<AuditDigest>,
    /// What it was about: one item, or those of a batch.
    pub items: Vec<AuditItem>,
}

impl AuditRecord {
    /// Whether it says that something was applied here.
    #[must_use]
    pub const fn is_applied(&self) -> bool {
        matches!(self.outcome, AuditOutcome::Applied { .. })
    }
}
