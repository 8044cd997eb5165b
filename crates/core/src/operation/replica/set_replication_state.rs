use serde::{Deserialize, Serialize};

use crate::{
    message::carries_nothing,
    operation::FingerprintKey,
    replica::{ReplicationState, ReplicationStatus},
};

/// Changes whether a store leads, if it is what the caller saw; where it is what is asked for already it is fine, so that a
/// call that was made twice has done what it should.
///
/// A store that is told to follow refuses other writes from that commit on, of other processes too. One that is told to lead forgets
/// how far it had followed, and makes its index of words anew.
///
/// It is refused as [`Stale`](crate::ErrorKind::Stale) where the store is something else, and as [`Invalid`](crate::ErrorKind::Invalid) where
/// the epoch would go back, or would not rise with a follower that is to lead.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SetReplicationState {
    /// What the caller saw.
    pub expected: ReplicationState,
    /// What it is to be.
    pub to: ReplicationState,
    /// What a follower keys its fingerprints with from then on: the key of the store that it follows, so that a call is
    /// recognized after a switchover. Nothing where it keeps its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fingerprint_key: Option<FingerprintKey>,
}

impl SetReplicationState {
    /// From `expected` to `to`.
    #[must_use]
    pub const fn new(expected: ReplicationState, to: ReplicationState) -> Self {
        Self { expected, to, fingerprint_key: None }
    }

    /// With the key of the store that it is to follow.
    #[must_use]
    pub const fn with_fingerprint_key(mut self, key: Option<FingerprintKey>) -> Self {
        self.fingerprint_key = key;
        self
    }

    /// The key that a store takes with this stance: a follower's alone.
    #[must_use]
    pub fn taken_key(&self) -> Option<FingerprintKey> {
        self.fingerprint_key.filter(|_| !self.to.is_primary())
    }
}

carries_nothing!(SetReplicationState { expected: _, to: _, fingerprint_key: _ });

carries_nothing!(ReplicationStatus { replication_state: _, cursor: _, position: _, is_empty: _ });
