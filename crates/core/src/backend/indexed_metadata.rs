use std::{collections::BTreeSet, fmt, sync::Arc};

use crate::{Effect, ErrorKind, Metadata, MetadataScalar, PersistError, Result};

/// The names of the metadata fields of messages that a store indexes, so that
/// [`FindMessages`](crate::operation::FindMessages) finds messages by their values. A host declares them when it opens the store.
///
/// ```
/// use throughline_core::IndexedMetadata;
///
/// let indexed = IndexedMetadata::new(["orderId", "kind"])?;
/// assert!(indexed.contains("kind") && !indexed.contains("color"));
/// assert!(IndexedMetadata::new(["throughline.x"]).is_err(), "the name is reserved");
/// # Ok::<(), throughline_core::InvalidIndexedMetadata>(())
/// ```
#[derive(Clone, Default, PartialEq, Eq)]
pub struct IndexedMetadata(Option<Arc<BTreeSet<String>>>);

impl IndexedMetadata {
    /// The most names: 16.
    pub const MAX_NAMES: usize = 16;
    /// The longest name, in bytes of UTF-8: 255.
    pub const MAX_NAME_BYTES: usize = 255;

    /// Returns no names. A store without names has no index, and its writes cost nothing more.
    #[must_use]
    pub const fn none() -> Self {
        Self(None)
    }

    /// Returns these names.
    ///
    /// # Errors
    /// [`InvalidIndexedMetadata`] for more than [`MAX_NAMES`](Self::MAX_NAMES) names, and for a name that is empty, longer than
    /// [`MAX_NAME_BYTES`](Self::MAX_NAME_BYTES), has control characters, or begins with [`Metadata::RESERVED`].
    pub fn new<N: Into<String>>(names: impl IntoIterator<Item = N>) -> Result<Self, InvalidIndexedMetadata> {
        let names: BTreeSet<String> = names.into_iter().map(Into::into).collect();
        if names.len() > Self::MAX_NAMES {
            return Err(InvalidIndexedMetadata::TooMany(names.len()));
        }
        let is_invalid = |name: &&String| {
            name.is_empty()
                || name.len() > Self::MAX_NAME_BYTES
                || name.contains(char::is_control)
                || name.starts_with(Metadata::RESERVED)
        };
        match names.iter().find(is_invalid) {
            Some(name) => Err(InvalidIndexedMetadata::Name(name.clone())),
            None => Ok(Self((!names.is_empty()).then(|| Arc::new(names)))),
        }
    }

    /// Whether there are no names.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    /// Whether this name is declared.
    #[must_use]
    pub fn contains(&self, name: &str) -> bool {
        self.0.as_ref().is_some_and(|names| names.contains(name))
    }

    /// The names, in the order of their bytes.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        self.0.iter().flat_map(|names| names.iter()).map(String::as_str)
    }

    /// The indexed fields of this metadata: each declared name with an indexed value, and its [`MetadataScalar`].
    pub fn fields<'a>(
        &'a self,
        metadata: &'a Metadata,
    ) -> impl Iterator<Item = (&'a str, MetadataScalar)> + use<'a> {
        // Most messages have no metadata, or few fields.
        let names = if metadata.is_empty() { None } else { self.0.as_ref() };
        let names = names.into_iter().flat_map(|names| names.iter());
        names.filter_map(|name| Some((name.as_str(), MetadataScalar::under(metadata, name)?)))
    }

    /// Refuses a name that is not declared.
    ///
    /// # Errors
    /// `Unsupported` with the effect `NotApplied`. It names the field, and says how to declare it.
    pub fn expect(&self, name: &str) -> Result<()> {
        if self.contains(name) {
            return Ok(());
        }
        let detail = format!(
            "the metadata field `{name}` is not indexed: declare it as an indexed metadata field when the store is opened \
             (indexed: {self})"
        );
        Err(PersistError::new(ErrorKind::Unsupported, detail).with_effect(Effect::NotApplied))
    }
}

/// Returns the error of a find by a field whose index is not complete yet.
#[must_use]
pub fn index_is_incomplete(name: &str) -> PersistError {
    let detail = format!(
        "the index of the metadata field `{name}` is not complete yet: the store adds the stored messages while it is open"
    );
    PersistError::new(ErrorKind::Busy, detail).with_effect(Effect::NotApplied)
}

impl fmt::Display for IndexedMetadata {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_empty() {
            return f.write_str("none");
        }
        for (n, name) in self.iter().enumerate() {
            let comma = if n == 0 { "" } else { ", " };
            write!(f, "{comma}{name}")?;
        }
        Ok(())
    }
}

impl fmt::Debug for IndexedMetadata {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter()).finish()
    }
}

/// Why names cannot be declared as [`IndexedMetadata`].
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum InvalidIndexedMetadata {
    /// There are more names than [`IndexedMetadata::MAX_NAMES`].
    TooMany(usize),
    /// The name is empty, too long, reserved, or has control characters.
    Name(String),
}

impl fmt::Display for InvalidIndexedMetadata {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooMany(count) => {
                let max = IndexedMetadata::MAX_NAMES;
                write!(f, "{count} metadata fields to index are more than the {max} allowed")
            }
            Self::Name(name) => write!(
                f,
                "the metadata field {name:?} cannot be indexed: a name has 1 to {} bytes, no control characters, and does \
                 not begin with `{}`",
                IndexedMetadata::MAX_NAME_BYTES,
                Metadata::RESERVED
            ),
        }
    }
}

impl std::error::Error for InvalidIndexedMetadata {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_validated() {
        for name in ["", "a\u{0}b", "throughline.step", &"x".repeat(256)] {
            assert_eq!(
                IndexedMetadata::new([name]),
                Err(InvalidIndexedMetadata::Name(name.to_owned())),
                "{name:?}"
            );
        }
        let names = |count: usize| IndexedMetadata::new((0..count).map(|n| n.to_string()));
        assert_eq!(names(16).unwrap().iter().count(), 16);
        assert_eq!(names(17), Err(InvalidIndexedMetadata::TooMany(17)));
        assert_eq!(names(0), Ok(IndexedMetadata::none()));
        assert_eq!(IndexedMetadata::new(["x".repeat(255)]).unwrap().iter().count(), 1);
    }

    #[test]
    fn a_field_that_is_not_declared_is_refused_by_name() {
        let refused = IndexedMetadata::new(["kind", "a"]).unwrap().expect("color").unwrap_err();
        assert_eq!((refused.kind(), refused.effect()), (ErrorKind::Unsupported, Effect::NotApplied));
        let detail = "the metadata field `color` is not indexed: declare it as an indexed metadata field when the store is opened \
                      (indexed: a, kind)";
        assert_eq!(refused.detail(), detail);
    }

    #[test]
    fn the_fields_of_metadata_are_the_declared_ones_with_scalars() {
        let metadata = serde_json::from_str(r#"{"a":1,"b":[1],"c":"x","d":2}"#).unwrap();
        let indexed = IndexedMetadata::new(["a", "b", "c", "e"]).unwrap();
        let fields: Vec<_> = indexed.fields(&metadata).collect();
        assert_eq!(fields, [("a", 1_i64.into()), ("c", "x".into())]);
    }
}
