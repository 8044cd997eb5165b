use std::{
    fmt,
    sync::{Arc, LazyLock},
};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use serde_json::value::RawValue;

/// The content of a message: a JSON array of blocks, kept as the original bytes.
///
/// The JSON is never parsed and serialized again, so that `1.10`, 64-bit integers, duplicate keys, escapes and lone surrogates
/// survive. Cloning is cheap. Two contents are equal if their bytes are.
#[derive(Clone)]
pub struct Content(Arc<RawValue>);

static EMPTY: LazyLock<Content> = LazyLock::new(|| Content(raw("[]".to_owned()).into()));

/// The start of the text block that [`Content::text`] and a text [`Delta`](crate::Delta) write.
pub(super) const TEXT_BLOCK_OPEN: &str = r#"{"type":"text","text":""#;
pub(super) const TEXT_BLOCK_CLOSE: &str = r#""}"#;

/// Returns a raw value of JSON that this crate has written.
pub(super) fn raw(json: String) -> Box<RawValue> {
    RawValue::from_string(json).expect("written as JSON by this crate")
}

impl Content {
    /// Returns content without blocks, as a reservation has it.
    #[must_use]
    pub fn empty() -> Self {
        EMPTY.clone()
    }

    /// Returns one text block: `[{"type":"text","text":…}]`.
    #[must_use]
    pub fn text(text: &str) -> Self {
        let mut json = String::with_capacity(text.len() + text.len() / 16 + 32);
        json.push('[');
        json.push_str(TEXT_BLOCK_OPEN);
        escape_into(&mut json, text);
        json.push_str(TEXT_BLOCK_CLOSE);
        json.push(']');
        Self(raw(json).into())
    }

    /// Checks that `json` is a JSON array, and keeps it without surrounding whitespace.
    ///
    /// # Errors
    /// [`InvalidContent`] if it is not JSON, or not an array.
    pub fn from_json(json: impl Into<String>) -> Result<Self, InvalidContent> {
        let raw = RawValue::from_string(json.into())
            .map_err(|error| InvalidContent(format!("is not JSON at column {}", error.column())))?;
        Self::from_raw(raw)
    }

    /// Serializes `blocks`, which must produce a JSON array.
    ///
    /// # Errors
    /// [`InvalidContent`] if the value does not serialize, or not as an array.
    pub fn from_blocks<T: Serialize + ?Sized>(blocks: &T) -> Result<Self, InvalidContent> {
        let raw = serde_json::value::to_raw_value(blocks)
            .map_err(|_| InvalidContent("does not serialize as JSON".to_owned()))?;
        Self::from_raw(raw)
    }

    fn from_raw(raw: Box<RawValue>) -> Result<Self, InvalidContent> {
        if raw.get().starts_with('[') {
            Ok(Self(raw.into()))
        } else {
            Err(InvalidContent("is JSON, but not an array of blocks".to_owned()))
        }
    }

    /// The JSON text.
    #[must_use]
    pub fn as_json(&self) -> &str {
        self.0.get()
    }

    /// The length of the JSON text in bytes.
    #[must_use]
    pub fn byte_len(&self) -> usize {
        self.as_json().len()
    }

    /// The text, if the content is one text block as [`Content::text`] writes it, and the text has no escapes. Most content is.
    /// Text without escapes has no quotation mark that could end its JSON string, so that nothing has to be parsed.
    pub(super) fn one_plain_text(&self) -> Option<&str> {
        let block = self.as_json().strip_prefix('[')?.strip_suffix(']')?;
        let text = block.strip_prefix(TEXT_BLOCK_OPEN)?.strip_suffix(TEXT_BLOCK_CLOSE)?;
        next_escaped(text.as_bytes()).is_none().then_some(text)
    }

    /// The blocks, each as raw JSON. Parses the whole text.
    ///
    /// # Panics
    /// Never: the text is a checked array.
    #[must_use]
    pub fn blocks(&self) -> Vec<&RawValue> {
        serde_json::from_str(self.as_json()).expect("a checked JSON array")
    }
}

/// Appends `text` as the inside of a JSON string.
pub(crate) fn escape_into(json: &mut String, text: &str) {
    let mut rest = text;
    while let Some(at) = next_escaped(rest.as_bytes()) {
        json.push_str(&rest[..at]);
        match rest.as_bytes()[at] {
            b'"' => json.push_str("\\\""),
            b'\\' => json.push_str("\\\\"),
            b'\n' => json.push_str("\\n"),
            b'\r' => json.push_str("\\r"),
            b'\t' => json.push_str("\\t"),
            control => {
                const HEX: &[u8; 16] = b"0123456789abcdef";
                json.push_str("\\u00");
                json.push(HEX[usize::from(control >> 4)].into());
                json.push(HEX[usize::from(control & 15)].into());
            }
        }
        rest = &rest[at + 1..];
    }
    json.push_str(rest);
}

/// Whether [`escape_into`] writes an escape for this byte.
const fn is_escaped(byte: u8) -> bool {
    byte < 0x20 || byte == b'"' || byte == b'\\'
}

/// Finds the first byte that [`escape_into`] escapes. Most text has none, so the search first looks at whole blocks: the compiler
/// tests the bytes of a block together, which takes a seventh of the time.
pub(super) fn next_escaped(bytes: &[u8]) -> Option<usize> {
    const BLOCK: usize = 32;
    let has_one = |block: &[u8]| block.iter().fold(false, |found, byte| found | is_escaped(*byte));
    let plain = bytes.chunks_exact(BLOCK).take_while(|block| !has_one(block)).count() * BLOCK;
    let at = bytes[plain..].iter().position(|byte| is_escaped(*byte))?;
    Some(plain + at)
}

/// The number of bytes that [`escape_into`] appends.
pub(crate) fn escaped_len(text: &str) -> usize {
    let escape = |byte: u8| match byte {
        b'"' | b'\\' | b'\n' | b'\r' | b'\t' => 2,
        byte if byte < 0x20 => "\\u0000".len(),
        _ => 1,
    };
    text.bytes().map(escape).sum()
}

impl Default for Content {
    fn default() -> Self {
        Self::empty()
    }
}

impl PartialEq for Content {
    fn eq(&self, other: &Self) -> bool {
        self.as_json() == other.as_json()
    }
}

impl Eq for Content {}

/// Shows only the length, because content does not belong into logs.
impl fmt::Debug for Content {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Content({} bytes)", self.byte_len())
    }
}

impl Serialize for Content {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Content {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::from_raw(Box::<RawValue>::deserialize(deserializer)?).map_err(de::Error::custom)
    }
}

/// Why a text is not [`Content`]. It does not repeat the text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InvalidContent(String);

impl fmt::Display for InvalidContent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "content: {}", self.0)
    }
}

impl std::error::Error for InvalidContent {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_escaped_as_json() {
        let text = "a\"b\\c\nd\u{0}e\u{1f}f\u{7f}✓\u{10ffff}";
        let content = Content::text(text);
        let back: Vec<std::collections::BTreeMap<String, String>> =
            serde_json::from_str(content.as_json()).unwrap();
        assert_eq!(back[0]["text"], text);
        assert!(content.as_json().contains("\\u0000e\\u001ff"));
    }

    #[test]
    fn a_byte_is_escaped_at_every_distance_from_the_begin_of_the_text() {
        for plain in 0..100 {
            for (escaped, escape) in [("\"", "\\\""), ("\\", "\\\\"), ("\n", "\\n"), ("\u{1}", "\\u0001")] {
                let mut json = String::new();
                escape_into(&mut json, &format!("{0}{escaped}{0}{escaped}", "x".repeat(plain)));
                assert_eq!(json, format!("{0}{escape}{0}{escape}", "x".repeat(plain)));
            }
        }
    }

    #[test]
    fn bytes_survive() {
        let odd = r#"[{"n":1.10,"n":18446744073709551615},  "\ud800 \u0000", null]"#;
        let content = Content::from_json(format!("  {odd}\n")).unwrap();
        assert_eq!(content.as_json(), odd);
        let wire = serde_json::to_string(&content).unwrap();
        assert_eq!(wire, odd);
        assert_eq!(serde_json::from_str::<Content>(&wire).unwrap(), content);
        assert_eq!(content.blocks().len(), 3);
    }

    #[test]
    fn only_an_array_is_content() {
        assert_eq!(
            Content::from_json("{}").unwrap_err().to_string(),
            "content: is JSON, but not an array of blocks"
        );
        assert_eq!(Content::from_json("[1").unwrap_err().to_string(), "content: is not JSON at column 2");
        assert!(serde_json::from_str::<Content>("null").is_err());
    }

    #[test]
    fn depth_does_not_overflow_the_stack() {
        let deep = "[".repeat(1_000_000) + &"]".repeat(1_000_000);
        assert_eq!(Content::from_json(deep).unwrap().byte_len(), 2_000_000);
    }

    #[test]
    fn debug_hides_the_text() {
        assert_eq!(format!("{:?}", Content::text("secret")), "Content(33 bytes)");
    }
}
