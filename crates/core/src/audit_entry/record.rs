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
        /// How many calls of the same kind failed so. The entry has the call, the time, the operations and the hashes of the
        /// first; the others may have been about other threads and messages.
        times: u64,
        /// When the last of them failed, where there are several.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        until: Option<Timestamp>,
    },
    /// It was answered, and not by this store: by a layer, or by another pipeline that it was sent to. That one has a log of its own, or none.
    Elsewhere {
        /// How many calls alike: the entry has the call and the time of the first.
        times: u64,
    },
    /// So many calls that failed or were answered elsewhere have no entry: there were too many kinds of them at once, or the
    /// [budget](crate::audit::RejectedCallBudget) was spent.
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
    /// How many operations and messages of a call that failed are left out of the items: a record of one is small.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub omitted: u64,
}

/// How many bytes the record of a call that failed has at most, as JSON.
const SHORT: u64 = 4096;

/// How many bytes of its actor and call site a record keeps that is too large otherwise.
const SHORT_NAME: usize = 128;

impl AuditRecord {
    /// Whether it says that something was applied here.
    #[must_use]
    pub const fn is_applied(&self) -> bool {
        matches!(self.outcome, AuditOutcome::Applied { .. })
    }

    /// How many calls it speaks of.
    pub(crate) const fn calls(&self) -> u64 {
        match self.outcome {
            AuditOutcome::Failed { times, .. } | AuditOutcome::Elsewhere { times } => times,
            AuditOutcome::Lost { calls } => calls,
            AuditOutcome::Applied { .. } => 1,
        }
    }

    /// Counts the calls of a later record of the same kind in.
    pub(crate) const fn count(&mut self, later: &Self) {
        let calls = later.calls();
        match &mut self.outcome {
            AuditOutcome::Failed { times, until, .. } => {
                *times += calls;
                *until = match later.outcome {
                    AuditOutcome::Failed { until: Some(until), .. } => Some(until),
                    _ => Some(later.at),
                };
            }
            AuditOutcome::Elsewhere { times } => *times += calls,
            AuditOutcome::Applied { .. } | AuditOutcome::Lost { .. } => {}
        }
    }

    /// The length of its text.
    pub(crate) fn byte_len(&self) -> u64 {
        serde_json::to_string(self).expect("a record serializes into memory").len() as u64
    }

    /// Leaves out of it what makes it large: what is refused must not take room by its length.
    pub(crate) fn shortened(mut self) -> Self {
        // Most of a great batch goes before it is looked at how long it is.
        self.keep(16, 16);
        for (items, messages) in [(8, 8), (4, 4), (2, 2), (1, 1)] {
            if self.byte_len() <= SHORT {
                return self;
            }
            self.keep(items, messages);
        }
        if self.byte_len() > SHORT {
            for name in [&mut self.actor, &mut self.call_site].into_iter().flatten() {
                name.truncate(name.floor_char_boundary(SHORT_NAME));
            }
        }
        self
    }

    fn keep(&mut self, items: usize, messages: usize) {
        let omitted: usize = self.items.len().saturating_sub(items);
        self.items.truncate(items);
        let mut omitted = omitted as u64;
        for item in &mut self.items {
            omitted += item.messages.len().saturating_sub(messages) as u64;
            item.messages.truncate(messages);
        }
        self.omitted += omitted;
    }
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde hands a reference")]
const fn is_zero(number: &u64) -> bool {
    *number == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_record_of_a_large_refused_call_is_short() {
        let long = |of: &str| of.repeat(255);
        let item = |number: usize| AuditItem {
            operation: "add".into(),
            mode: None,
            thread: Some(long("\"").parse().unwrap()),
            messages: (0..500).map(|m| format!("{number}-{m}").parse().unwrap()).collect(),
            revision: None,
            of: None,
        };
        let large = AuditRecord {
            outcome: AuditOutcome::Lost { calls: 1 },
            at: Timestamp::from_micros(0),
            tenant: long("\"").parse().unwrap(),
            actor: Some("\u{1}\u{e9}".repeat(100_000)),
            call_site: Some("\u{1}".repeat(100_000)),
            call: "0-1".to_owned(),
            key: Some(AuditDigest::ZERO),
            content: Some(AuditDigest::ZERO),
            items: (0..1000).map(item).collect(),
            omitted: 0,
        };
        let short = large.shortened();
        assert!(short.byte_len() <= SHORT, "{}", short.byte_len());
        assert_eq!((short.items.len(), short.items[0].messages.len()), (1, 1));
        assert!(short.omitted >= 999 + 499, "{}", short.omitted);
    }
}
