use std::{error, fmt, sync::Arc};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// The title of a thread in lists.
///
/// Surrounding whitespace is removed. A title of whitespace alone becomes [`Title::UNTITLED`]. Cloning is cheap.
///
/// ```
/// use throughline_core::Title;
///
/// assert_eq!(Title::new("  Trip to Lisbon\n")?.as_str(), "Trip to Lisbon");
/// assert!(Title::new(" \t ")?.is_untitled());
/// # Ok::<(), throughline_core::messages::InvalidTitle>(())
/// ```
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Title(Arc<str>);

/// Why a text is not a title. It does not repeat the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InvalidTitle {
    bytes: usize,
}

impl fmt::Display for InvalidTitle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "title: {} bytes are more than the {} allowed", self.bytes, Title::MAX_BYTES)
    }
}

impl error::Error for InvalidTitle {}

impl Title {
    /// The longest title, in bytes of UTF-8.
    pub const MAX_BYTES: usize = 4096;

    /// The title of a thread without one.
    pub const UNTITLED: &str = "Untitled";

    /// Removes surrounding whitespace from `text` and keeps the rest.
    ///
    /// # Errors
    /// [`InvalidTitle`] if it is longer than [`Title::MAX_BYTES`].
    pub fn new(text: impl AsRef<str>) -> Result<Self, InvalidTitle> {
        let text = text.as_ref().trim();
        if text.len() > Self::MAX_BYTES {
            return Err(InvalidTitle { bytes: text.len() });
        }
        Ok(Self(Arc::from(if text.is_empty() { Self::UNTITLED } else { text })))
    }

    /// Whether this is [`Title::UNTITLED`].
    #[must_use]
    pub fn is_untitled(&self) -> bool {
        &*self.0 == Self::UNTITLED
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Default for Title {
    fn default() -> Self {
        Self(Arc::from(Self::UNTITLED))
    }
}

impl fmt::Display for Title {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Shows only the length, because a title can have content and does not belong into logs.
impl fmt::Debug for Title {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Title({} bytes)", self.0.len())
    }
}

impl std::str::FromStr for Title {
    type Err = InvalidTitle;

    fn from_str(text: &str) -> Result<Self, InvalidTitle> {
        Self::new(text)
    }
}

impl TryFrom<&str> for Title {
    type Error = InvalidTitle;

    fn try_from(text: &str) -> Result<Self, InvalidTitle> {
        Self::new(text)
    }
}

impl TryFrom<String> for Title {
    type Error = InvalidTitle;

    fn try_from(text: String) -> Result<Self, InvalidTitle> {
        Self::new(text)
    }
}

impl Serialize for Title {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Title {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::new(String::deserialize(deserializer)?).map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blanks_around_it_are_not_part_of_it() {
        for (text, title) in [
            ("a b", "a b"),
            ("\u{a0}\t a\nb \r\n", "a\nb"),
            ("", "Untitled"),
            (" \u{2003}\n", "Untitled"),
            ("x\u{0}y", "x\u{0}y"),
        ] {
            assert_eq!(Title::new(text).unwrap().as_str(), title);
        }
    }

    #[test]
    fn its_length_is_limited_to_the_byte() {
        let longest = format!(" {}é ", "x".repeat(Title::MAX_BYTES - 2));
        assert_eq!(Title::new(&longest).unwrap().as_str().len(), Title::MAX_BYTES);
        let error = Title::new("x".repeat(Title::MAX_BYTES + 1)).unwrap_err();
        assert_eq!(error.to_string(), "title: 4097 bytes are more than the 4096 allowed");
        let wire = serde_json::to_string(&"x".repeat(5000)).unwrap();
        assert!(serde_json::from_str::<Title>(&wire).is_err());
    }
}
