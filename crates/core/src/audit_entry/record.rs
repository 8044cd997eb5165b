use serde::{Deserialize, Serialize};

use super::{AuditDigest, AuditItem};
use crate::{Effect, ErrorKind, Position, TenantId, Timestamp};

/// The outcome of an audited call.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub enum AuditOutcome {
    /// The store applied the call, and wrote this entry in the same transaction.
    Applied {
        /// The position of the store before the call.
        after: Position,
        /// The position of the store after the call. Every change between the two belongs to this call.
        position: Position,
    },
    /// The call failed for its caller. If the effect is not `NotApplied`, another entry of the same call can state that it was
    /// applied.
    #[serde(rename_all = "camelCase")]
    Failed {
        /// The kind of the error.
        kind: ErrorKind,
        /// The part of the call that the store can have, as known at that time.
        effect: Effect,
        /// The layer or the backend that failed.
        site: String,
        /// The number of failed calls of the same kind. The entry has the call, the time, the operations and the hashes of the
        /// first one; the others can address other threads and messages.
        times: u64,
        /// The time of the last failure, if there are several.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        until: Option<Timestamp>,
    },
    /// A layer or another pipeline answered the call instead of this store. That pipeline has its own log, or none.
    Elsewhere {
        /// The number of such calls. The entry has the call and the time of the first one.
        times: u64,
    },
    /// Failed or redirected calls without an entry: there were too many kinds of them at once, or the
    /// [budget](crate::audit::RejectedCallBudget) was used up.
    Lost {
        /// The number of calls.
        calls: u64,
    },
}

/// The record of an audit entry: the caller, the operation, the time and the outcome. It has no content.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct AuditRecord {
    /// The outcome of the call.
    pub outcome: AuditOutcome,
    /// The time of the commit by the clock of the pipeline; for a call that was not applied here, the time of its failure.
    pub at: Timestamp,
    /// The tenant of the call.
    pub tenant: TenantId,
    /// The actor, as set on the handle.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub actor: Option<String>,
    /// The part of the host that made the call, as set on the handle.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub call_site: Option<String>,
    /// The id of the call, as in logs.
    pub call: String,
    /// The keyed hash of the idempotency key, if there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<AuditDigest>,
    /// The keyed hash of all content of the call as the audit layer received it, if there is any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content: Option<AuditDigest>,
    /// The items: one, or those of a batch.
    pub items: Vec<AuditItem>,
    /// The number of operations and messages that are omitted, to keep the record of a failed call small.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub omitted: u64,
}

/// The most bytes of the record of a failed call, as JSON.
const SHORT: u64 = 4096;

/// The most bytes of the actor and of the call site in a record that would otherwise be too large.
const SHORT_NAME: usize = 128;

impl AuditRecord {
    /// Whether the record states that something was applied here.
    #[must_use]
    pub const fn is_applied(&self) -> bool {
        matches!(self.outcome, AuditOutcome::Applied { .. })
    }

    /// The number of calls of the record.
    pub(crate) const fn calls(&self) -> u64 {
        match self.outcome {
            AuditOutcome::Failed { times, .. } | AuditOutcome::Elsewhere { times } => times,
            AuditOutcome::Lost { calls } => calls,
            AuditOutcome::Applied { .. } => 1,
        }
    }

    /// Adds the calls of a later record of the same kind.
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

    /// The length of the record as JSON.
    pub(crate) fn byte_len(&self) -> u64 {
        serde_json::to_string(self).expect("a record serializes into memory").len() as u64
    }

    /// Shortens the record, so that a refused call cannot use much space in the log.
    pub(crate) fn shortened(mut self) -> Self {
        // Truncate a large batch before its length is measured.
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
