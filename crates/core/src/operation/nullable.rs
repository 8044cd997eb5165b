//! Fields that are absent, `null`, or there: three different things.

use serde::{Deserialize, Deserializer};

/// Reads a field that is there, `null` included. Of one that is absent, `default` tells.
pub(super) fn present<'de, D, T>(deserializer: D) -> Result<Option<T>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    T::deserialize(deserializer).map(Some)
}
