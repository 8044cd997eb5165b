use serde::{Deserialize, Serialize};
use throughline_core::{Timestamp, backend::Replay, operations::Fingerprint};

/// The record of an idempotency key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct IdempotencyRow {
    /// The keyed hash of the first call.
    pub fingerprint: Fingerprint,
    /// The record from which a repeated call is answered.
    pub replay: Replay,
    /// The time of the first call.
    pub created_at: Timestamp,
}
