use std::fmt;

use serde::{Deserialize, Serialize};

use super::ImageCursor;
use crate::Position;

/// How often it changed which of two stores leads. At most `i64::MAX`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Epoch(u64);

impl Epoch {
    /// Of a store that was never anything but the only one.
    pub const ZERO: Self = Self(0);
    /// The first change.
    pub const FIRST: Self = Self(1);

    /// The epoch with this number.
    #[must_use]
    pub const fn new(number: u64) -> Self {
        Self(number)
    }

    /// Its number.
    #[must_use]
    pub const fn get(self) -> u64 {
        self.0
    }

    /// The one after it.
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

/// Whether a store takes writes of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum ReplicationRole {
    /// It accepts writes.
    Primary,
    /// It applies row images of a primary and refuses other writes.
    Replica,
}

/// What a store is in which epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ReplicationState {
    /// Whether it leads.
    pub role: ReplicationRole,
    /// Since which change.
    pub epoch: Epoch,
}

impl ReplicationState {
    /// Of a store that was told nothing.
    pub const PRIMARY: Self = Self { role: ReplicationRole::Primary, epoch: Epoch::ZERO };

    /// The same epoch, following.
    #[must_use]
    pub const fn as_replica(self) -> Self {
        Self { role: ReplicationRole::Replica, ..self }
    }

    /// Leading, in the next epoch.
    #[must_use]
    pub const fn promoted(self) -> Self {
        Self { role: ReplicationRole::Primary, epoch: self.epoch.next() }
    }

    /// Whether it leads.
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

/// How a store stands to the one beside it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ReplicationStatus {
    /// What it is.
    pub replication_state: ReplicationState,
    /// How far it has followed: none where it never has since it was told to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cursor: Option<ImageCursor>,
    /// The position that it has come to. Of a follower, which commits by itself as well, at least that of what it has carried.
    pub position: Position,
    /// Whether anything was ever written to it.
    pub is_empty: bool,
}
