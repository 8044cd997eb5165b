use std::{fmt, time::SystemTime};

use serde::{Deserialize, Serialize};

use crate::{Position, id::mint_uuid, message::AuditNumber};

/// Which stretch of noting what is changed in a store a cursor is of: a number made up by the store when it began to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct CaptureId(u64);

impl CaptureId {
    /// The one with this number, as a store kept it.
    #[must_use]
    pub const fn new(number: u64) -> Self {
        Self(number)
    }

    /// Its number: at most `i64::MAX`, so that every engine can keep it.
    #[must_use]
    pub const fn get(self) -> u64 {
        self.0
    }

    /// A number that no other capture has.
    #[must_use]
    pub fn fresh() -> Self {
        Self(mint_uuid(SystemTime::now()).as_u64_pair().1 >> 1)
    }
}

impl fmt::Display for CaptureId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

/// How far a copy of a store has come. Made by the store that is copied; what `part`, `row` and `touched` count is its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ImageCursor {
    /// What it is a cursor of.
    pub capture: CaptureId,
    /// Which part of the store is being gone through for the first time.
    pub part: u32,
    /// How far that part was gone through.
    pub row: u64,
    /// How far what was touched since was gone through.
    pub touched: u64,
    /// The last change of the feed that was carried.
    pub changes: Position,
    /// The last entry of the log of who did what that was carried.
    #[serde(default)]
    pub audit: AuditNumber,
}
