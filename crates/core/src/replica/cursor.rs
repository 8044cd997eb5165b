use std::{fmt, time::SystemTime};

use serde::{Deserialize, Serialize};

use crate::{Position, id::mint_uuid, message::AuditNumber};

/// The id of a capture: a random number that the store generates when the capture begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct CaptureId(u64);

impl CaptureId {
    /// Returns the id with this number, as a store keeps it.
    #[must_use]
    pub const fn new(number: u64) -> Self {
        Self(number)
    }

    /// The number: at most `i64::MAX`, so that every database can store it.
    #[must_use]
    pub const fn get(self) -> u64 {
        self.0
    }

    /// Returns a new random id.
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

/// The progress of a copy of a store. The copied store creates it; the meaning of `part`, `row` and `touched` is private to that
/// store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ImageCursor {
    /// The capture of the cursor.
    pub capture: CaptureId,
    /// The part of the store that the initial copy reads.
    pub part: u32,
    /// The progress within that part.
    pub row: u64,
    /// The progress within the dirty set.
    pub touched: u64,
    /// The last copied change of the change feed.
    pub changes: Position,
    /// The last copied entry of the audit log.
    #[serde(default)]
    pub audit: AuditNumber,
}
