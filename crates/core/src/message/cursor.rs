use std::{error, fmt, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use super::Revision;

/// A point in the content of a message, up to which a reader has read it. A tail read continues there: see
/// [`ReadContent`](crate::operation::ReadContent).
///
/// A cursor does not depend on how a store keeps content: it stays valid when the message is finished. It has a text form,
/// without spaces, for a URL or a header:
///
/// ```
/// use throughline_core::messages::ContentCursor;
///
/// let cursor: ContentCursor = "0.31.4".parse()?;
/// assert_eq!(cursor.to_string(), "0.31.4");
/// assert!("0.31".parse::<ContentCursor>().is_err());
/// # Ok::<(), throughline_core::messages::InvalidCursor>(())
/// ```
///
/// A reader treats the text as opaque. Its numbers are the revision that last replaced the content, the bytes of stored content
/// before the cursor, and the last revision whose content is before the cursor, as far as that is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ContentCursor {
    epoch: Revision,
    offset: u64,
    revision: Revision,
}

impl ContentCursor {
    /// Returns the cursor of a store. `epoch` is the revision that last replaced the content, or zero; `offset` counts the
    /// bytes of content as in [`ContentFragment`](crate::backend::ContentFragment); `revision` is the last revision
    /// whose content is before the cursor, or an earlier one.
    #[must_use]
    pub const fn new(epoch: Revision, offset: u64, revision: Revision) -> Self {
        Self { epoch, offset, revision }
    }

    /// The revision that last replaced the content; zero if nothing did.
    #[must_use]
    pub const fn epoch(self) -> Revision {
        self.epoch
    }

    /// The bytes of stored content before the cursor.
    #[must_use]
    pub const fn offset(self) -> u64 {
        self.offset
    }

    /// The last revision whose content is before the cursor, or an earlier one. A reader has nothing to read of it.
    #[must_use]
    pub const fn revision(self) -> Revision {
        self.revision
    }

    /// Sets the last revision whose content is before the cursor.
    #[must_use]
    pub const fn at_revision(self, revision: Revision) -> Self {
        Self { revision, ..self }
    }
}

impl fmt::Display for ContentCursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.epoch, self.offset, self.revision)
    }
}

impl FromStr for ContentCursor {
    type Err = InvalidCursor;

    fn from_str(text: &str) -> Result<Self, InvalidCursor> {
        let mut numbers = text.split('.').map(number);
        match (numbers.next(), numbers.next(), numbers.next(), numbers.next()) {
            (Some(Some(epoch)), Some(Some(offset)), Some(Some(revision)), None) => {
                Ok(Self::new(Revision::new(epoch), offset, Revision::new(revision)))
            }
            _ => Err(InvalidCursor),
        }
    }
}

/// Reads a number in its only form: digits without leading zeros.
fn number(digits: &str) -> Option<u64> {
    let is_canonical =
        digits.bytes().all(|byte| byte.is_ascii_digit()) && (digits == "0" || !digits.starts_with('0'));
    let number = digits.parse().ok().filter(|_| is_canonical)?;
    (number <= i64::MAX as u64).then_some(number)
}

impl Serialize for ContentCursor {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for ContentCursor {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

/// Why a text is not a [`ContentCursor`]. It does not repeat the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InvalidCursor;

impl fmt::Display for InvalidCursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("content cursor: the text is not three numbers with dots between them: use the cursor of an answer")
    }
}

impl error::Error for InvalidCursor {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_canonical_text_is_a_cursor() {
        let last = "9223372036854775807.9223372036854775807.9223372036854775807";
        for text in ["0.0.1", "7.123.9", last] {
            let cursor: ContentCursor = text.parse().unwrap();
            assert_eq!(cursor.to_string(), text);
            let json = serde_json::to_string(&cursor).unwrap();
            assert_eq!(json, format!("\"{text}\""));
            assert_eq!(serde_json::from_str::<ContentCursor>(&json).unwrap(), cursor);
        }
        let over = "0.9223372036854775808.1";
        for text in [
            "", ".", "..", "1.2", "1.2.", "1.2.3.", "1.2.3.4", "01.2.3", "+1.2.3", "-1.2.3", " 1.2.3",
            "1.2.x", "1.2.３", over,
        ] {
            assert_eq!(text.parse::<ContentCursor>(), Err(InvalidCursor), "{text:?}");
        }
    }
}
