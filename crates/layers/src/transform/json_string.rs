use std::borrow::Cow;

/// A string of raw JSON, with its decoded text.
///
/// Half of a surrogate pair is U+FFFD in the text, which has three bytes, as the half would have. So each byte of the
/// text has one offset in the raw string, and unchanged text keeps its escapes.
///
/// ```
/// use throughline_layers::transform::JsonString;
///
/// let string = JsonString::new(r"caf\u00e9 noir");
/// assert_eq!(string.text(), "café noir");
/// assert_eq!(&string.raw()[string.raw_offset(6)..], "noir");
/// ```
#[derive(Clone)]
pub struct JsonString<'a> {
    raw: &'a str,
    text: Cow<'a, str>,
    escapes: Vec<Escape>,
    after_halves: usize,
}

/// The offset of an escape in the text and in the raw string.
#[derive(Clone)]
struct Escape {
    text: (usize, usize),
    raw: (usize, usize),
}

impl<'a> JsonString<'a> {
    /// Decodes the characters between the quotes of a string. An invalid escape is one character of the text: the
    /// escaped character, or U+FFFD if digits are missing.
    #[must_use]
    pub fn new(raw: &'a str) -> Self {
        let Some(mut next) = raw.find('\\') else {
            return Self { raw, text: Cow::Borrowed(raw), escapes: Vec::new(), after_halves: 0 };
        };
        let (mut text, mut escapes, mut at) = (String::with_capacity(raw.len()), Vec::new(), 0);
        let mut after_halves = 0;
        loop {
            text.push_str(&raw[at..next]);
            let (length, says) = escape(&raw.as_bytes()[next..]);
            let start = text.len();
            text.push(says.unwrap_or(char::REPLACEMENT_CHARACTER));
            if says.is_none() {
                after_halves = text.len();
            }
            // An invalid escape may end within a character.
            at = raw.ceil_char_boundary(next + length);
            escapes.push(Escape { text: (start, text.len()), raw: (next, at) });
            match raw[at..].find('\\') {
                Some(further) => next = at + further,
                None => break,
            }
        }
        text.push_str(&raw[at..]);
        Self { raw, text: Cow::Owned(text), escapes, after_halves }
    }

    /// Returns the decoded text.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Consumes the value and returns the decoded text.
    #[must_use]
    pub fn into_text(self) -> Cow<'a, str> {
        self.text
    }

    /// Returns the raw string, without the quotes.
    #[must_use]
    pub const fn raw(&self) -> &'a str {
        self.raw
    }

    /// Returns the offset in the raw string for the byte `at` of the text. For a byte inside of an escaped character it
    /// is the start of the escape.
    #[must_use]
    pub fn raw_offset(&self, at: usize) -> usize {
        let before = self.escapes.partition_point(|escape| escape.text.0 <= at);
        match before.checked_sub(1).map(|last| &self.escapes[last]) {
            None => at,
            Some(escape) if at < escape.text.1 => escape.raw.0,
            Some(escape) => escape.raw.1 + (at - escape.text.1),
        }
    }

    /// Returns the end of the last half of a surrogate pair in the text; zero without any. From there on, a part of the
    /// text is valid text.
    #[must_use]
    pub const fn after_halves(&self) -> usize {
        self.after_halves
    }
}

/// Prints lengths only: content does not belong in logs.
impl std::fmt::Debug for JsonString<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "JsonString({} bytes)", self.raw.len())
    }
}

/// Returns the length of the escape at the front and its character; no character for half of a surrogate pair.
fn escape(raw: &[u8]) -> (usize, Option<char>) {
    match raw {
        [b'\\', b'u', ..] => {
            let code = unit(raw).unwrap_or(0xfffd);
            match raw.get(6..).and_then(unit) {
                Some(low) if (0xd800..0xdc00).contains(&code) && (0xdc00..0xe000).contains(&low) => {
                    (12, char::from_u32(0x10000 + ((code - 0xd800) << 10) + (low - 0xdc00)))
                }
                _ => (6.min(raw.len()), char::from_u32(code)),
            }
        }
        [b'\\', escaped, ..] => {
            let says = match escaped {
                b'n' => '\n',
                b'r' => '\r',
                b't' => '\t',
                b'b' => '\u{8}',
                b'f' => '\u{c}',
                itself if itself.is_ascii() => char::from(*itself),
                _ => char::REPLACEMENT_CHARACTER,
            };
            (2, Some(says))
        }
        _ => (raw.len(), Some(char::REPLACEMENT_CHARACTER)),
    }
}

/// Returns the code unit of `\u` with its four digits at the front.
fn unit(raw: &[u8]) -> Option<u32> {
    let digits = raw.strip_prefix(b"\\u")?.get(..4)?;
    u32::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_byte_has_its_offset_in_the_raw_string() {
        let string = JsonString::new(r#"a\u0041\n\ud83e\udd80\ud800é\"z"#);
        assert_eq!(string.text(), "aA\n🦀\u{fffd}é\"z");
        let offsets: Vec<usize> =
            [0, 1, 2, 3, 7, 10, 12, 13, 14].into_iter().map(|at| string.raw_offset(at)).collect();
        assert_eq!(offsets, [0, 1, 7, 9, 21, 27, 29, 31, 32]);
        assert_eq!((string.raw_offset(4), string.after_halves()), (9, 10));
        let plain = JsonString::new("plain é");
        assert_eq!((plain.raw_offset(6), plain.text(), plain.after_halves()), (6, "plain é", 0));
    }

    #[test]
    fn an_escape_that_json_does_not_have_is_one_character() {
        for (raw, says) in [
            ("\\", "\u{fffd}"),
            ("\\u", "\u{fffd}"),
            ("\\u00éz", "\u{fffd}z"),
            ("\\qz", "qz"),
            ("\\éz", "\u{fffd}z"),
        ] {
            let string = JsonString::new(raw);
            assert_eq!(string.text(), says, "{raw}");
            assert_eq!(string.raw_offset(string.text().len()), raw.len(), "{raw}");
        }
    }

    #[test]
    fn halves_in_the_wrong_order_are_two_halves() {
        let string = JsonString::new(r"\udd80\ud83ex");
        assert_eq!((string.text(), string.after_halves()), ("\u{fffd}\u{fffd}x", 6));
    }
}
