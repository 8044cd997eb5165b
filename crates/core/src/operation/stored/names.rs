use serde::{Deserialize, Serialize};

use crate::{Seq, operation::Alias};

/// A provider alias as a store keeps it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct KnownName {
    /// The alias and its message.
    pub alias: Alias,
    /// The last sequence number of the thread when the store recorded the alias. Later user messages begin another turn.
    pub seen: Seq,
}
