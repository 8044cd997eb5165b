use std::fmt;

use serde::{Deserialize, Serialize};

use super::ImageCursor;
use crate::Position;

/// The number of switchovers. At most `i64::MAX`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Epoch(u64);

impl Epoch {
    /// The epoch of a store that never was in a switchover.
    pub const ZERO: Self = Self(0);
    /// The epoch after the first switchover.
    pub const FIRST: Self = Self(1);

    /// Returns the epoch with this number.
    #[must_use]
    pub const fn new(number: u64) -> Self {
        Self(number)
    }

    /// The number.
    #[must_use]
    pub const fn get(self) -> u64 {
        self.0
    }

    /// The next epoch.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

/// Whether a store accepts writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum ReplicationRole {
    /// It accepts writes.
    Primary,
    /// It applies row images of a primary and refuses other writes.
    Replica,
}

/// The role of a store, with its epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ReplicationState {
    /// The role.
    pub role: ReplicationRole,
    /// The epoch.
    pub epoch: Epoch,
}

impl ReplicationState {
    /// The state of a new store.
    pub const PRIMARY: Self = Self { role: ReplicationRole::Primary, epoch: Epoch::ZERO };

    /// Returns a replica in the same epoch.
    #[must_use]
    pub const fn as_replica(self) -> Self {
        Self { role: ReplicationRole::Replica, ..self }
    }

    /// Returns a primary in the next epoch.
    #[must_use]
    pub const fn promoted(self) -> Self {
        Self { role: ReplicationRole::Primary, epoch: self.epoch.next() }
    }

    /// Whether the store is a primary.
    #[must_use]
    pub const fn is_primary(self) -> bool {
        matches!(self.role, ReplicationRole::Primary)
    }
}

impl fmt::Display for ReplicationState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let role = if self.is_primary() { "leading" } else { "following" };
        write!(f, "{role} in epoch {}", self.epoch)
    }
}

/// The replication status of a store.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ReplicationStatus {
    /// The role and the epoch.
    pub replication_state: ReplicationState,
    /// The progress of the copy. `None` before the first copy in this role.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cursor: Option<ImageCursor>,
    /// The last position of the store. A replica also commits changes of its own, so that this is at least the copied position.
    pub position: Position,
    /// Whether nothing was ever written to the store.
    pub is_empty: bool,
}
