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
pub enum Role {
    /// It does.
    Leading,
    /// It takes images of another store, and nothing else.
    Following,
}

/// What a store is in which epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Stance {
    /// Whether it leads.
    pub role: Role,
    /// Since which change.
    pub epoch: Epoch,
}

impl Stance {
    /// Of a store that was told nothing.
    pub const LEADING: Self = Self { role: Role::Leading, epoch: Epoch::ZERO };

    /// The same epoch, following.
    #[must_use]
    pub const fn following(self) -> Self {
        Self { role: Role::Following, ..self }
    }

    /// Leading, in the next epoch.
    #[must_use]
    pub const fn leading_next(self) -> Self {
        Self { role: Role::Leading, epoch: self.epoch.next() }
    }

    /// Whether it leads.
    #[must_use]
    pub const fn leads(self) -> bool {
        matches!(self.role, Role::Leading)
    }
}

impl fmt::Display for Stance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let role = if self.leads() { "leading" } else { "following" };
        write!(f, "{role} in epoch {}", self.epoch)
    }
}

/// How a store stands to the one beside it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Standing {
    /// What it is.
    pub stance: Stance,
    /// How far it has followed: none where it never has since it was told to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cursor: Option<ImageCursor>,
    /// The position that it has come to. Of a follower, which commits by itself as well, at least that of what it has carried.
    pub position: Position,
    /// Whether anything was ever written to it.
    pub is_empty: bool,
}
