//! What a message says, as far as it is text.

use std::fmt;

use serde::de::{Deserializer as _, Visitor};
use serde_json::value::RawValue;

use super::Content;

impl Content {
    /// The text of the blocks that are text, one after the other with a blank between them: at most the first `chars`
    /// characters of it. A block is text if it is a JSON string, or an object whose member `text` is one. What no text can
    /// hold, as half of a surrogate pair, is replaced.
    ///
    /// ```
    /// use throughline_core::Content;
    ///
    /// let content = Content::from_json(r#"[{"type":"text","text":"Look:"},{"type":"image"},"a cat"]"#)?;
    /// assert_eq!(content.plain_text(100), "Look: a cat");
    /// assert_eq!(content.plain_text(7), "Look: a");
    /// # Ok::<(), throughline_core::InvalidContent>(())
    /// ```
    #[must_use]
    pub fn plain_text(&self, chars: usize) -> String {
        let mut plain = String::new();
        let mut left = chars;
        for text in self.blocks().into_iter().filter_map(text_of).filter(|text| !text.is_empty()) {
            if left > 0 && !plain.is_empty() {
                plain.push(' ');
                left -= 1;
            }
            let end = text.char_indices().nth(left).map_or(text.len(), |(at, _)| at);
            left -= text[..end].chars().count();
            plain.push_str(&text[..end]);
            if left == 0 {
                break;
            }
        }
        plain
    }
}

fn text_of(block: &RawValue) -> Option<String> {
    #[derive(serde::Deserialize)]
    struct Block<'a> {
        #[serde(borrow, default)]
        text: Option<&'a RawValue>,
    }
    if block.get().starts_with('"') {
        return string_of(block);
    }
    serde_json::from_str::<Block<'_>>(block.get()).ok()?.text.and_then(string_of)
}

fn string_of(value: &RawValue) -> Option<String> {
    struct Lossy;

    impl Visitor<'_> for Lossy {
        type Value = String;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a string")
        }

        fn visit_bytes<E>(self, bytes: &[u8]) -> Result<String, E> {
            Ok(String::from_utf8_lossy(bytes).into_owned())
        }
    }

    if !value.get().starts_with('"') {
        return None;
    }
    serde_json::Deserializer::from_str(value.get()).deserialize_bytes(Lossy).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(json: &str) -> String {
        Content::from_json(json).unwrap().plain_text(80)
    }

    #[test]
    fn it_is_cut_between_characters() {
        assert_eq!(of(r#"[{"type":"text","text":"hi"}]"#), "hi");
        let long = "é".repeat(79) + "🦀x";
        assert_eq!(of(&serde_json::to_string(&[&long]).unwrap()), "é".repeat(79) + "🦀");
        assert_eq!(of(&serde_json::to_string(&["x".repeat(80)]).unwrap()), "x".repeat(80));
        let two = serde_json::to_string(&["x".repeat(79), "yz".to_owned()]).unwrap();
        assert_eq!(of(&two), "x".repeat(79) + " ");
    }

    #[test]
    fn blocks_without_text_are_passed_over() {
        let json = r#"[{"type":"image","source":"a"}, 1, null, {"text":2}, "a", {"text":"b"}, {"text":""}]"#;
        assert_eq!(of(json), "a b");
        assert_eq!(of(r#"[{"type":"image"}]"#), "");
        assert_eq!(of("[]"), "");
    }

    #[test]
    fn what_no_text_can_hold_is_replaced() {
        assert!(of(r#"["a\ud800b"]"#).contains('\u{fffd}'));
        assert_eq!(of(r#"["a\u0000b"]"#), "a\0b");
    }
}
