//! Members of a JSON merge patch (RFC 7396): absent, `null`, or a value.

use serde::{Deserialize, Deserializer};

/// Deserializes a member that is present, including `null`. An absent member gets its `default`.
pub(crate) fn present<'de, D, T>(deserializer: D) -> Result<Option<T>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    T::deserialize(deserializer).map(Some)
}
