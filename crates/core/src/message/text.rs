//! The plain text of a message, for previews and search.

use std::{borrow::Cow, fmt};

use serde::de::{Deserializer as _, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::{Content, Message, content::next_escaped};

impl Content {
    /// Returns the first `chars` characters of the text blocks, with a space between two blocks. A block is text if it is a JSON
    /// string, or an object with a string member `text`. A lone half of a surrogate pair is replaced.
    ///
    /// ```
    /// use throughline_core::Content;
    ///
    /// let content = Content::from_json(r#"[{"type":"text","text":"Look:"},{"type":"image"},"a cat"]"#)?;
    /// assert_eq!(content.plain_text(100), "Look: a cat");
    /// assert_eq!(content.plain_text(7), "Look: a");
    /// # Ok::<(), throughline_core::messages::InvalidContent>(())
    /// ```
    #[must_use]
    pub fn plain_text(&self, chars: usize) -> String {
        if let Some(text) = self.one_plain_text() {
            return first_chars(text, chars).to_owned();
        }
        if has_no_text(self.as_json().as_bytes()) {
            return String::new();
        }
        let mut plain = Plain { text: String::new(), left: chars };
        // The array is checked: an error only means that it was not read to its end.
        drop(serde_json::Deserializer::from_str(self.as_json()).deserialize_seq(&mut plain));
        plain.text
    }
}

impl Message {
    /// Returns the text of the message: that of its text blocks, with a space between two blocks. Blocks of other kinds, such as tool
    /// calls and images, have none.
    ///
    /// ```
    /// # use throughline_core::{NewMessage, Persistence, Result};
    /// # async fn example(db: &Persistence) -> Result<()> {
    /// let message = db.thread("t").add(NewMessage::user("hello")).await?.message;
    /// assert_eq!(message.text(), "hello");
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn text(&self) -> String {
        self.content.plain_text(usize::MAX)
    }
}

/// Returns true for blocks that are objects without a member `text`, such as encrypted ones: nothing has to be parsed.
/// Returns false for some others too: those with an escape.
fn has_no_text(json: &[u8]) -> bool {
    let (mut at, mut depth) = (0, 0_usize);
    while let Some(byte) = json.get(at) {
        at += 1;
        match byte {
            b'"' => {
                // In JSON the first such byte is the end of the string, or a backslash.
                let rest = &json[at..];
                let string = next_escaped(rest).map_or(rest, |end| &rest[..end]);
                at += string.len() + 1;
                let is_text = depth <= 1 || depth == 2 && string == b"text";
                if is_text || json.get(at - 1) != Some(&b'"') {
                    return false;
                }
            }
            b'{' | b'[' => depth += 1,
            b'}' | b']' => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    true
}

/// Returns the first `chars` characters of a text.
fn first_chars(text: &str, chars: usize) -> &str {
    text.char_indices().nth(chars).map_or(text, |(at, _)| &text[..at])
}

/// The text read so far.
struct Plain {
    text: String,
    /// The number of characters that are still needed.
    left: usize,
}

impl Plain {
    fn add(&mut self, text: &str) {
        if !self.text.is_empty() {
            self.text.push(' ');
            self.left -= 1;
        }
        let beginning = first_chars(text, self.left);
        self.left -= beginning.chars().count();
        self.text.push_str(beginning);
    }
}

impl<'de> Visitor<'de> for &mut Plain {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array of blocks")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut blocks: A) -> Result<(), A::Error> {
        while self.left > 0
            && let Some(block) = blocks.next_element::<&RawValue>()?
        {
            match text_of(block, self.left) {
                Some(text) if !text.is_empty() => self.add(&text),
                _ => {}
            }
        }
        Ok(())
    }
}

/// Returns the text of a block: its first `chars` characters, and possibly more.
fn text_of(block: &RawValue, chars: usize) -> Option<Cow<'_, str>> {
    #[derive(serde::Deserialize)]
    struct Block<'a> {
        #[serde(borrow, default)]
        text: Option<&'a RawValue>,
    }
    if block.get().starts_with('"') {
        return string_of(block, chars);
    }
    if !block.get().starts_with('{') {
        // The decoder would take an array for the members of a block.
        return None;
    }
    serde_json::from_str::<Block<'_>>(block.get()).ok()?.text.and_then(|text| string_of(text, chars))
}

fn string_of(value: &RawValue, chars: usize) -> Option<Cow<'_, str>> {
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

    let decode = |json: &str| serde_json::Deserializer::from_str(json).deserialize_bytes(Lossy).ok();
    let inside = value.get().strip_prefix('"')?.strip_suffix('"')?;
    let beginning = cut(inside, chars).unwrap_or(inside);
    if beginning.contains('\\') {
        return decode(&format!("\"{beginning}\"")).map(Cow::Owned);
    }
    // Text without escapes is its own encoding.
    Some(Cow::Borrowed(beginning))
}

/// Truncates the inside of a JSON string after its first `chars` characters or later. `None` if it is not longer. It never splits
/// a character or an escape. Two halves of a surrogate pair are one character, so that twice as many escapes are enough; if the
/// last one is half of a pair, one escape is too many.
fn cut(inside: &str, chars: usize) -> Option<&str> {
    let mut rest = inside.chars();
    for _ in 0..chars.saturating_mul(2) {
        if rest.next()? == '\\' && rest.next()? == 'u' {
            rest.nth(3)?;
        }
    }
    Some(&inside[..inside.len() - rest.as_str().len()])
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
    fn one_block_of_text_is_read_as_blocks_are() {
        let open = r#"{"type":"text","text":""#;
        for inside in [
            "",
            "a",
            "\u{e9}\u{1f980}",
            r"a\nb",
            r#"a\"}]"#,
            r#"a","text":"b"#,
            r#"a","x":"b"#,
            r#"a"},{"type":"text","text":"b"#,
            r#"a"}, "b", {"text":"c"#,
            r"a\\",
        ] {
            for inside in [inside.to_owned(), "x".repeat(100) + inside, inside.to_owned() + &"x".repeat(100)]
            {
                assert_as_said(&format!(r#"[{open}{inside}"}}]"#));
            }
        }
    }

    #[test]
    fn blocks_without_text_are_skipped() {
        let json = r#"[{"type":"image","source":"a"}, 1, null, {"text":2}, "a", {"text":"b"}, {"text":""}]"#;
        assert_eq!(of(json), "a b");
        for json in [
            r#"[{"type":"image"}]"#,
            r#"[{"type":"image","source":{"text":"a"}} , {"x":["text"],"texts":"b"}]"#,
            r#"[{"type":"image"},{"type":"text","text":"a"}]"#,
            r#"[{"type":"image"},"a"]"#,
            r#"[{"type":"image"},["a"]]"#,
            r#"[{"type":"image","a":{}},{"te\u0078t":"a"}]"#,
            r#"[{"text":["a"]},{"type":"text"},{"type":"\"text\""}]"#,
            r#"[1,{"a":{"b":{"text":"c"}},"d":[{"text":"e"}],"text":"f"}]"#,
        ] {
            assert_as_said(json);
        }
        assert_eq!(of(r#"[{"type":"sealed","rev":1,"ciphertext":"text"}]"#), "");
        assert_eq!(of("[]"), "");
    }

    #[test]
    fn lone_surrogates_are_replaced() {
        assert!(of(r#"["a\ud800b"]"#).contains('\u{fffd}'));
        assert_eq!(of(r#"["a\u0000b"]"#), "a\0b");
    }

    /// Decodes all text and then truncates it.
    fn said(content: &Content, chars: usize) -> String {
        let texts = content.blocks().into_iter().filter_map(|block| text_of(block, usize::MAX));
        let texts: Vec<_> = texts.filter(|text| !text.is_empty()).collect();
        texts.join(" ").chars().take(chars).collect()
    }

    #[track_caller]
    fn assert_as_said(json: &str) {
        assert_as_said_in(json, "a fixed content");
    }

    #[track_caller]
    fn assert_as_said_in(json: &str, case: &str) {
        let content = Content::from_json(json).unwrap();
        for chars in (0..=14).chain([80, usize::MAX]) {
            assert_eq!(content.plain_text(chars), said(&content, chars), "{case}: {chars} of {json}");
        }
    }

    #[test]
    fn odd_blocks_are_read_as_they_were() {
        assert_eq!(of(r#"[["a"],["b","c"],[null],[],[2],"d"]"#), "d");
        assert_eq!(of(r#"[{"text":"a","text":"b"},"c"]"#), "c");
        assert_eq!(
            of(r#"[{"te\u0078t":"a"},{"text":null},{"text":["b"]},{"text":"c","x":{"text":"d"}}]"#),
            "a c"
        );
        assert_eq!(of(r#"[{"\ud800":1,"text":"a"},"b"]"#), "b");
        for json in [r#"["","",{"text":""},"a","","b",""]"#, r#"[" ","  "]"#, r#"["a" , "b" ]"#] {
            assert_as_said(json);
        }
    }

    #[test]
    fn an_escape_is_never_cut() {
        let fragments = [
            r"\\",
            r#"\""#,
            r"\u005c",
            r"\u0041",
            r"\ud83e\udd80",
            r"\ud83e",
            r"\udd80",
            r"\ud83e\ud83e\udd80",
            "é",
            "🦀",
        ];
        for fragment in fragments {
            for before in 0..4 {
                assert_as_said(&format!("[\"{}{}z\"]", "x".repeat(before), fragment.repeat(14)));
            }
        }
    }

    #[test]
    fn random_content_is_read_as_it_was() {
        const FRAGMENTS: [&str; 18] = [
            "a",
            "b",
            " ",
            "é",
            "🦀",
            "\u{7f}",
            r"\n",
            r"\\",
            r#"\""#,
            r"\/",
            r"\u0000",
            r"\u00e9",
            r"\ud83e\udd80",
            r"\ud83e",
            r"\udd80",
            "u",
            "0",
            "text",
        ];
        let seed = fastrand::u64(..);
        let mut random = fastrand::Rng::with_seed(seed);
        for _ in 0..2_000 {
            let blocks: Vec<String> = (0..random.usize(..5))
                .map(|_| {
                    let count = random.usize(..40);
                    let text: String =
                        (0..count).map(|_| FRAGMENTS[random.usize(..FRAGMENTS.len())]).collect();
                    match random.u8(..7) {
                        0 => format!(r#"{{"type":"text","text":"{text}"}}"#),
                        1 => format!(r#"{{"text":"{text}","text":"{text}"}}"#),
                        2 => format!(r#"{{"{text}":1,"text":"{text}"}}"#),
                        3 => format!(r#"["{text}"]"#),
                        4 => format!(r#"{{"text":["{text}"]}}"#),
                        _ => format!("\"{text}\""),
                    }
                })
                .collect();
            assert_as_said_in(&format!("[{}]", blocks.join(", ")), &format!("seed {seed}"));
        }
    }

    #[test]
    fn only_the_beginning_is_read() {
        assert_eq!(cut("abcdef", 2), Some("abcd"));
        assert_eq!(cut(r#"a\"\u0041\ud83e\udd80""#, 2), Some(r#"a\"\u0041\ud83e"#));
        assert_eq!(cut("abc", 2), None);
        assert_eq!(cut("abc", usize::MAX), None);
    }
}
