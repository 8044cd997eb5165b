use std::fmt;

use serde::{Deserialize, Serialize};

use super::{
    Content, ContentFragment,
    content::{TEXT_BLOCK_CLOSE, TEXT_BLOCK_OPEN, escape_into, escaped_len},
};

/// The unit of an append to a streaming message: text, or further blocks.
///
/// Text continues the last block if that is a plain text block, byte for byte of the form `{"type":"text","text":"…"}`. Otherwise
/// it starts such a block. The text deltas of a run therefore form one block.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Delta {
    /// More text.
    Text(String),
    /// Further blocks.
    Blocks(Content),
}

impl Delta {
    /// Returns a delta of text.
    pub fn text(text: impl Into<String>) -> Self {
        Self::Text(text.into())
    }

    /// Returns an empty delta. As a partial update it changes no content and renews the lease.
    #[must_use]
    pub const fn empty() -> Self {
        Self::Text(String::new())
    }

    /// Whether an append of this delta changes nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        match self {
            Self::Text(text) => text.is_empty(),
            Self::Blocks(blocks) => inner(blocks.as_json()).is_empty(),
        }
    }

    /// The bytes of JSON that the delta adds to the content: text with its escapes, without the surrounding block.
    #[must_use]
    pub fn stored_len(&self) -> usize {
        match self {
            Self::Text(text) => escaped_len(text),
            Self::Blocks(blocks) => blocks.byte_len(),
        }
    }

    /// The bytes of the delta; text is counted without escapes.
    #[must_use]
    pub fn byte_len(&self) -> usize {
        match self {
            Self::Text(text) => text.len(),
            Self::Blocks(blocks) => blocks.byte_len(),
        }
    }
}

/// Shows only the length, because content does not belong into logs.
impl fmt::Debug for Delta {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = if matches!(self, Self::Text(_)) { "Text" } else { "Blocks" };
        write!(f, "Delta::{kind}({} bytes)", self.byte_len())
    }
}

/// Returns the JSON between the brackets of an array.
fn inner(array: &str) -> &str {
    array[1..array.len() - 1].trim()
}

/// Builds content from deltas. Each append costs the bytes of its delta.
///
/// This is the only implementation of an append, so that all backends append the same way:
///
/// ```
/// use throughline_core::{Content, Delta, messages::ContentBuffer};
///
/// let mut buffer = ContentBuffer::new(&Content::empty());
/// buffer.push(&Delta::text("Hel"));
/// buffer.push(&Delta::text("lo"));
/// buffer.push(&Delta::Blocks(Content::from_json(r#"[{"type":"image"}]"#)?));
/// buffer.push(&Delta::text("!"));
/// assert_eq!(
///     buffer.content().as_json(),
///     r#"[{"type":"text","text":"Hello"},{"type":"image"},{"type":"text","text":"!"}]"#
/// );
/// # Ok::<(), throughline_core::messages::InvalidContent>(())
/// ```
#[derive(Clone, Default)]
pub struct ContentBuffer {
    /// The array without its end: no `]`, and in open text no `"}` either.
    json: String,
    open_text: bool,
}

impl ContentBuffer {
    /// Returns a buffer with the content of `base`, which it parses once.
    #[must_use]
    pub fn new(base: &Content) -> Self {
        let mut buffer = Self { json: String::with_capacity(base.byte_len() + 64), open_text: false };
        buffer.extend(base);
        buffer
    }

    /// Appends `delta`.
    pub fn push(&mut self, delta: &Delta) {
        match delta {
            Delta::Text(text) if text.is_empty() => {}
            Delta::Text(text) => {
                if !self.open_text {
                    self.separate();
                    self.json.push_str(TEXT_BLOCK_OPEN);
                    self.open_text = true;
                }
                escape_into(&mut self.json, text);
            }
            Delta::Blocks(blocks) => self.extend(blocks),
        }
    }

    /// The bytes of JSON so far.
    #[must_use]
    pub const fn byte_len(&self) -> usize {
        let closed = if self.open_text { TEXT_BLOCK_CLOSE.len() } else { 0 };
        self.json.len() + closed + "[]".len()
    }

    /// The bytes of JSON after an append of `delta`. Costs the bytes of the delta.
    #[must_use]
    pub fn byte_len_with(&self, delta: &Delta) -> usize {
        // Only the existence of an earlier block matters, for the comma.
        let json = if self.json.is_empty() { String::new() } else { "0".to_owned() };
        let mut longer = Self { json, open_text: self.open_text };
        let before = longer.byte_len();
        longer.push(delta);
        self.byte_len() + longer.byte_len() - before
    }

    /// The content so far.
    #[must_use]
    pub fn content(&self) -> Content {
        let mut json = String::with_capacity(self.json.len() + 4);
        json.push('[');
        json.push_str(&self.json);
        if self.open_text {
            json.push_str(TEXT_BLOCK_CLOSE);
        }
        json.push(']');
        Content::from_json(json).expect("a checked array stays one")
    }

    /// Returns the bytes that an append adds, without the end of open text before and after it, and whether it leaves open text.
    pub(super) fn added_by(delta: &Delta, is_at_start: bool, open_text: bool) -> (String, bool) {
        // Only the existence of an earlier block matters, for the comma.
        let before = if is_at_start { "" } else { "0" };
        let mut added = Self { json: before.to_owned(), open_text };
        added.push(delta);
        (added.json.split_off(before.len()), added.open_text)
    }

    /// The offset behind the content, as in [`ContentFragment`], and whether the content ends with text that an append continues.
    #[must_use]
    pub const fn end(&self) -> (u64, bool) {
        (self.json.len() as u64, self.open_text)
    }

    /// Returns the content from an earlier [`end`](Self::end) on, or all of it from `(0, false)` on. Costs the bytes of the answer.
    ///
    /// # Panics
    /// For another offset.
    #[must_use]
    pub fn fragment(&self, from: (u64, bool)) -> ContentFragment {
        let at = usize::try_from(from.0).unwrap_or(usize::MAX);
        ContentFragment::of_open(from, &self.json[at..], self.open_text)
    }

    fn extend(&mut self, blocks: &Content) {
        let body = inner(blocks.as_json());
        if body.is_empty() {
            return;
        }
        self.separate();
        // Only the last block can be continued, and only if it has the exact form of plain text.
        let last = blocks.blocks().last().map_or("", |block| block.get());
        self.open_text = is_plain_text(last) && body.ends_with(last);
        let kept = if self.open_text { &body[..body.len() - TEXT_BLOCK_CLOSE.len()] } else { body };
        self.json.push_str(kept);
    }

    /// Closes open text, and adds the comma before a further block.
    fn separate(&mut self) {
        if std::mem::take(&mut self.open_text) {
            self.json.push_str(TEXT_BLOCK_CLOSE);
        }
        if !self.json.is_empty() {
            self.json.push(',');
        }
    }
}

/// The bytes of the blocks, with their separators.
pub(crate) fn bytes_between_brackets(content: &Content) -> usize {
    inner(content.as_json()).len()
}

/// The bytes of a block with this text.
pub(crate) fn text_block_len(text: &str) -> usize {
    TEXT_BLOCK_OPEN.len() + escaped_len(text) + TEXT_BLOCK_CLOSE.len()
}

impl Content {
    /// The range in [`as_json`](Self::as_json) of the text that an appended [`Delta::Text`] continues, without its quotes. `None`
    /// if appended text would start a block: the last block is not exactly `{"type":"text","text":"…"}`. Parses the whole JSON.
    ///
    /// ```
    /// use throughline_core::Content;
    ///
    /// let content = Content::text("hello");
    /// assert_eq!(&content.as_json()[content.open_text().unwrap()], "hello");
    /// assert_eq!(Content::from_json("[1]").unwrap().open_text(), None);
    /// ```
    #[must_use]
    pub fn open_text(&self) -> Option<std::ops::Range<usize>> {
        let last = self.blocks().last().map(|block| block.get()).filter(|block| is_plain_text(block))?;
        let start = last.as_ptr() as usize - self.as_json().as_ptr() as usize + TEXT_BLOCK_OPEN.len();
        Some(start..start + last.len() - TEXT_BLOCK_OPEN.len() - TEXT_BLOCK_CLOSE.len())
    }
}

/// Whether `block` is `{"type":"text","text":"…"}` and nothing else.
pub(super) fn is_plain_text(block: &str) -> bool {
    let Some(text) = block.strip_prefix(TEXT_BLOCK_OPEN).and_then(|rest| rest.strip_suffix(TEXT_BLOCK_CLOSE))
    else {
        return false;
    };
    // The closing quote must be the first unescaped quote.
    let mut escaped = false;
    for byte in text.bytes() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => return false,
            _ => {}
        }
    }
    !escaped
}

impl fmt::Debug for ContentBuffer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ContentBuffer({} bytes)", self.json.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fold(base: &str, deltas: &[Delta]) -> String {
        let mut buffer = ContentBuffer::new(&Content::from_json(base).unwrap());
        for delta in deltas {
            let expected = buffer.byte_len_with(delta);
            buffer.push(delta);
            assert_eq!((buffer.byte_len(), buffer.content().byte_len()), (expected, expected));
        }
        buffer.content().as_json().to_owned()
    }

    fn text(text: &str) -> Delta {
        Delta::text(text)
    }

    #[test]
    fn text_continues_a_plain_text_block() {
        assert_eq!(fold("[]", &[]), "[]");
        assert_eq!(fold("[]", &[text(""), text("a\"")]), r#"[{"type":"text","text":"a\""}]"#);
        assert_eq!(
            fold(r#"[{"type":"text","text":"a\\"}]"#, &[text("b")]),
            r#"[{"type":"text","text":"a\\b"}]"#
        );
        assert_eq!(fold(r#"[ {"type":"text","text":""} ]"#, &[text("b")]), r#"[{"type":"text","text":"b"}]"#);
    }

    #[test]
    fn text_opens_a_block_after_any_other_block() {
        for other in [
            r#"{"type":"text","text":"a","x":"y"}"#,
            r#"{"type":"text","text":"a\""}"#.replace("a\\\"", "a\", \"z\": \"").as_str(),
            r#"{"type": "text","text":"a"}"#,
            r#"{"text":"a","type":"text"}"#,
            "7",
            r#""}""#,
        ] {
            assert_eq!(
                fold(&format!("[{other}]"), &[text("b")]),
                format!(r#"[{other},{{"type":"text","text":"b"}}]"#)
            );
        }
    }

    #[test]
    fn open_text_is_what_an_append_continues() {
        for (json, open) in [
            (r#"[1, {"type":"text","text":"a\"b"} ]"#, Some("a\\\"b")),
            (r#"[{"type":"text","text":""}]"#, Some("")),
            (r#"[{"type":"text","text":"a"},1]"#, None),
            (r#"[{"type":"text", "text":"a"}]"#, None),
            ("[]", None),
        ] {
            let content = Content::from_json(json).unwrap();
            assert_eq!(content.open_text().map(|range| &content.as_json()[range]), open, "{json}");
        }
    }

    #[test]
    fn blocks_close_open_text() {
        let blocks = Delta::Blocks(Content::from_json("[1, 2 ]").unwrap());
        assert_eq!(
            fold("[]", &[text("a"), blocks.clone(), text("b"), blocks]),
            r#"[{"type":"text","text":"a"},1, 2,{"type":"text","text":"b"},1, 2]"#
        );
        let nothing = Delta::Blocks(Content::from_json("[ ]").unwrap());
        assert!(nothing.is_empty());
        assert_eq!(fold("[]", &[text("a"), nothing, text("b")]), r#"[{"type":"text","text":"ab"}]"#);
    }
}
