use serde::{Deserialize, Serialize};
use throughline_core::{Position, TenantId, ids::ConsumerName};

/// The key of a consumer of the changes.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConsumerKey {
    /// The tenant.
    pub tenant: TenantId,
    /// The consumer.
    pub consumer: ConsumerName,
}

/// The key of a quarantined change.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct QuarantineKey {
    /// The consumer that quarantined it.
    pub consumer: ConsumerKey,
    /// The position of the change.
    pub position: Position,
}

/// The stored changes in the quarantine of a consumer, up to a position.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct QuarantineCount {
    /// The consumer.
    pub consumer: ConsumerKey,
    /// The last position that counts.
    pub through: Position,
}

/// A consumer of the changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ConsumerRow {
    /// The position up to which it has processed everything.
    pub position: Position,
}
