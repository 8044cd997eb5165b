use std::{collections::BTreeMap, fmt, sync::Arc};

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::value::RawValue;

type Map = BTreeMap<String, Arc<RawValue>>;

/// The metadata of the host: a map from names to raw JSON values.
///
/// Values keep their bytes; names are sorted by their bytes. Keys that begin with [`Metadata::RESERVED`] belong to the framework,
/// and callers cannot write them. Cloning is cheap.
#[derive(Clone, Default)]
pub struct Metadata(Option<Arc<Map>>);

impl Metadata {
    /// The prefix of the keys of the framework.
    pub const RESERVED: &'static str = "throughline.";

    /// Returns an empty map.
    #[must_use]
    pub const fn new() -> Self {
        Self(None)
    }

    /// The value under `key`.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&RawValue> {
        self.0.as_ref()?.get(key).map(|value| &**value)
    }

    /// Returns the value under `key` as a `T`. `None` if there is no value, or it is not a `T`.
    #[must_use]
    pub fn get_as<'a, T: Deserialize<'a>>(&'a self, key: &str) -> Option<T> {
        serde_json::from_str(self.get(key)?.get()).ok()
    }

    /// Sets `key` to `value`, serialized as JSON.
    ///
    /// # Errors
    /// [`InvalidMetadata`] if the value does not serialize.
    pub fn set<T: Serialize + ?Sized>(
        &mut self,
        key: impl Into<String>,
        value: &T,
    ) -> Result<(), InvalidMetadata> {
        let key = key.into();
        match serde_json::value::to_raw_value(value) {
            Ok(raw) => {
                self.set_raw(key, raw);
                Ok(())
            }
            Err(_) => Err(InvalidMetadata { key }),
        }
    }

    /// Sets `key` to a raw JSON value.
    pub fn set_raw(&mut self, key: impl Into<String>, value: impl Into<Arc<RawValue>>) {
        let map = Arc::make_mut(self.0.get_or_insert_default());
        map.insert(key.into(), value.into());
    }

    /// Removes `key`, and returns whether it was present.
    pub fn remove(&mut self, key: &str) -> bool {
        let Some(map) = &mut self.0 else { return false };
        if !map.contains_key(key) {
            return false;
        }
        let map = Arc::make_mut(map);
        map.remove(key);
        if map.is_empty() {
            self.0 = None;
        }
        true
    }

    /// Iterates over the members, sorted by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &RawValue)> {
        self.0.iter().flat_map(|map| map.iter()).map(|(key, value)| (key.as_str(), &**value))
    }

    /// The number of members.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.as_ref().map_or(0, |map| map.len())
    }

    /// Whether there are no members.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    /// The bytes of names and values, as the limits count them.
    #[must_use]
    pub fn byte_len(&self) -> usize {
        self.iter().map(|(key, value)| key.len() + value.get().len()).sum()
    }

    /// Applies `patch`: an absent key remains, `null` removes it, a value sets it. Shallow.
    pub fn apply(&mut self, patch: &MetadataPatch) {
        for (key, value) in patch.iter() {
            if value.get() == "null" {
                self.remove(key);
            } else {
                self.set_raw(key, value.to_owned());
            }
        }
    }
}

/// Shows only names and lengths, because values do not belong into logs.
impl fmt::Debug for Metadata {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map()
            .entries(self.iter().map(|(key, value)| (key, format!("{} bytes", value.get().len()))))
            .finish()
    }
}

impl PartialEq for Metadata {
    fn eq(&self, other: &Self) -> bool {
        self.len() == other.len()
            && self.iter().zip(other.iter()).all(|(a, b)| a.0 == b.0 && a.1.get() == b.1.get())
    }
}

impl Eq for Metadata {}

impl Serialize for Metadata {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.iter())
    }
}

impl<'de> Deserialize<'de> for Metadata {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let map = BTreeMap::<String, Box<RawValue>>::deserialize(deserializer)?;
        let mut metadata = Self::new();
        for (key, value) in map {
            metadata.set_raw(key, value);
        }
        Ok(metadata)
    }
}

/// A change of [`Metadata`]: an absent key remains, `null` removes it, a value sets it. Shallow.
///
/// ```
/// use throughline_core::{Metadata, MetadataPatch};
///
/// let mut metadata = Metadata::new();
/// metadata.set("a", &1)?;
/// metadata.set("b", &2)?;
/// metadata.apply(&MetadataPatch::new().set("a", &"one")?.clear("b"));
/// assert_eq!(serde_json::to_string(&metadata)?, r#"{"a":"one"}"#);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct MetadataPatch(pub(crate) Metadata);

impl MetadataPatch {
    /// Returns a patch without changes.
    #[must_use]
    pub const fn new() -> Self {
        Self(Metadata::new())
    }

    /// Sets `key` to `value`. A value that serializes as `null` removes the key.
    ///
    /// # Errors
    /// [`InvalidMetadata`] if the value does not serialize.
    pub fn set<T: Serialize + ?Sized>(
        mut self,
        key: impl Into<String>,
        value: &T,
    ) -> Result<Self, InvalidMetadata> {
        self.0.set(key, value)?;
        Ok(self)
    }

    /// Removes `key`.
    #[must_use]
    pub fn clear(mut self, key: impl Into<String>) -> Self {
        self.0.set_raw(key, RawValue::NULL.to_owned());
        self
    }

    /// Iterates over the changes, sorted by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &RawValue)> {
        self.0.iter()
    }

    /// Whether there are no changes.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The changes as a map, in which `null` removes a key.
    #[must_use]
    pub const fn as_metadata(&self) -> &Metadata {
        &self.0
    }
}

/// The changes of a map, in which `null` removes a key.
impl From<Metadata> for MetadataPatch {
    fn from(changes: Metadata) -> Self {
        Self(changes)
    }
}

/// Why a value is not metadata: it does not serialize as JSON.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InvalidMetadata {
    key: String,
}

impl fmt::Display for InvalidMetadata {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "metadata: the value of `{}` does not serialize as JSON", self.key)
    }
}

impl std::error::Error for InvalidMetadata {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_patch_keeps_clears_and_sets() {
        let mut metadata: Metadata =
            serde_json::from_str(r#"{"keep":1.10,"clear":2,"set":{"deep":1,"also":2}}"#).unwrap();
        let patch: MetadataPatch =
            serde_json::from_str(r#"{"clear":null,"set":{"deep":3},"new":18446744073709551615,"no":null}"#)
                .unwrap();
        metadata.apply(&patch);
        assert_eq!(
            serde_json::to_string(&metadata).unwrap(),
            r#"{"keep":1.10,"new":18446744073709551615,"set":{"deep":3}}"#
        );
        assert_eq!(serde_json::to_string(&patch).unwrap().matches("null").count(), 2);
    }

    #[test]
    fn an_emptied_map_equals_a_new_one() {
        let mut metadata = Metadata::new();
        metadata.set("a", &1).unwrap();
        assert!(metadata.remove("a"));
        assert!(!metadata.remove("a"));
        assert_eq!(metadata, Metadata::new());
        assert!(metadata.is_empty());
    }
}
