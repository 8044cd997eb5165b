use serde::{Deserialize, Serialize};
use throughline_core::{Timestamp, backend::Replay, operations::Fingerprint};

/// What an idempotency key was used for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct IdempotencyRow {
    /// The keyed hash of the first call.
    pub fingerprint: Fingerprint,
    /// What a repeated call is answered from.
    pub replay: Replay,
    /// When the key was used.
    pub created_at: Timestamp,
}
