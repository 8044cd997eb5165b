use serde::{Deserialize, Serialize};

use crate::{
    message::carries_nothing,
    operation::{
        FingerprintKey,
        facts::{AnswerFacts, Facts, StatesFacts},
        replica::on_store,
    },
    replica::{ReplicationState, ReplicationStatus},
};

/// Changes the replication role of a store, if it has the expected state. If the store already has the requested state, the call
/// succeeds, so that a repeated call is safe.
///
/// A store that becomes a replica refuses other writes from this commit on, including those of other processes. A store that
/// becomes a primary deletes its copy cursor and rebuilds its full-text index.
///
/// # Errors
/// - [`Stale`](crate::ErrorKind::Stale) if the store has another state than `expected`.
/// - [`Invalid`](crate::ErrorKind::Invalid) if the epoch would decrease, or would not increase when a replica becomes a primary.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SetReplicationState {
    /// The required current state.
    pub expected: ReplicationState,
    /// The new state.
    pub to: ReplicationState,
    /// The fingerprint key of the primary, which the replica uses from then on. Repeated calls are therefore recognized after a
    /// switchover. `None` keeps the key of the store.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fingerprint_key: Option<FingerprintKey>,
}

impl SetReplicationState {
    /// Returns a change from `expected` to `to`.
    #[must_use]
    pub const fn new(expected: ReplicationState, to: ReplicationState) -> Self {
        Self { expected, to, fingerprint_key: None }
    }

    /// Sets the fingerprint key of the primary.
    #[must_use]
    pub const fn with_fingerprint_key(mut self, key: Option<FingerprintKey>) -> Self {
        self.fingerprint_key = key;
        self
    }

    /// The key that the store takes over with the new role. Only a replica takes one.
    #[must_use]
    pub fn taken_key(&self) -> Option<FingerprintKey> {
        self.fingerprint_key.filter(|_| !self.to.is_primary())
    }
}

carries_nothing!(SetReplicationState { expected: _, to: _, fingerprint_key: _ });

carries_nothing!(ReplicationStatus { replication_state: _, cursor: _, position: _, is_empty: _ });

crate::operation::addresses_no_thread!(SetReplicationState, ReplicationStatus);

impl StatesFacts for SetReplicationState {
    fn facts(&self) -> Facts<'_> {
        on_store()
    }
}

impl AnswerFacts for ReplicationStatus {}
