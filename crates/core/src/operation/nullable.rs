//! Fields with three states in the wire format: absent, `null`, or a value.

use serde::{Deserialize, Deserializer};

/// Deserializes a field that is present, including `null`. An absent field gets its `default`.
pub(super) fn present<'de, D, T>(deserializer: D) -> Result<Option<T>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    T::deserialize(deserializer).map(Some)
}
