use serde::{Deserialize, Serialize};

use crate::{Seq, operation::Alias};

/// A name that a store keeps of a message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct KnownName {
    /// The name, and whose.
    pub alias: Alias,
    /// The last place that the thread had given when the name was taken down: what was asked after that is a later turn.
    pub seen: Seq,
}
