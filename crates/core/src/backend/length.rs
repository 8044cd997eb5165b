use serde::{Deserialize, Serialize};

use crate::{
    Content, Delta,
    message::{bytes_between_brackets, escaped_len, text_block_len},
    operation::ContentChange,
};

/// The length of the content of an open message, computed from its appends without the content itself.
///
/// ```
/// use throughline_core::{Content, Delta, backend::Length, messages::ContentChange};
///
/// let mut length = Length::settled(&Content::empty());
/// for word in ["Hel", "lo!"] {
///     length = length.after(&ContentChange::Append(Delta::text(word)));
/// }
/// assert_eq!(length.bytes, Content::text("Hello!").byte_len() as u64);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Length {
    /// The length of the content as JSON, in bytes.
    pub bytes: u64,
    /// How the content ends.
    pub tail: Tail,
}

/// How content ends, as far as the next append depends on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Tail {
    /// There are no blocks.
    Nothing,
    /// The last block is a text block that more text continues.
    Text,
    /// The last block is one that an append does not continue.
    Block,
}

impl Tail {
    const ALL: [Self; 3] = [Self::Nothing, Self::Text, Self::Block];

    /// Returns the number that a store records for this value.
    #[must_use]
    pub const fn code(self) -> i64 {
        match self {
            Self::Nothing => 0,
            Self::Text => 1,
            Self::Block => 2,
        }
    }

    /// Returns the value of a recorded number, or `None` for an unknown number.
    #[must_use]
    pub fn from_code(code: i64) -> Option<Self> {
        Self::ALL.into_iter().find(|tail| tail.code() == code)
    }

    /// Returns the tail of `content`. It scans the content once.
    fn of(content: &Content) -> Self {
        if bytes_between_brackets(content) == 0 {
            Self::Nothing
        } else if content.open_text().is_some() {
            Self::Text
        } else {
            Self::Block
        }
    }
}

impl Length {
    /// Returns the length of content that has no appends: the bytes of its JSON.
    #[must_use]
    pub fn settled(content: &Content) -> Self {
        Self { bytes: content.byte_len() as u64, tail: Tail::Nothing }
    }

    /// Returns the length after a change. The cost depends on the size of the change only.
    #[must_use]
    pub fn after(self, change: &ContentChange) -> Self {
        match change {
            ContentChange::Replace(content) => {
                let bytes = "[]".len() + bytes_between_brackets(content);
                Self { bytes: bytes as u64, tail: Tail::of(content) }
            }
            ContentChange::Append(delta) if delta.is_empty() => self,
            ContentChange::Append(delta) => {
                let comma = if self.tail == Tail::Nothing { 0 } else { ",".len() };
                let (added, tail) = match delta {
                    Delta::Text(text) if self.tail == Tail::Text => (escaped_len(text), Tail::Text),
                    Delta::Text(text) => (comma + text_block_len(text), Tail::Text),
                    Delta::Blocks(blocks) => (comma + bytes_between_brackets(blocks), Tail::of(blocks)),
                };
                Self { bytes: self.bytes.saturating_add(added as u64), tail }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::ContentBuffer;

    #[test]
    fn the_length_equals_that_of_the_assembled_content() {
        let json = |json: &str| Content::from_json(json).unwrap();
        let blocks = |text: &str| ContentChange::Append(Delta::Blocks(json(text)));
        let text = |text: &str| ContentChange::Append(Delta::text(text));
        let changes = [
            text(""),
            text("a\"b\\c\n\r\t\u{0}\u{1f}✓"),
            blocks("[ ]"),
            blocks("[1, 2 ]"),
            blocks(r#"[{"type":"text","text":"open"}  ]"#),
            blocks(r#"[{"type":"text","text":"a","x":"y"}]"#),
            ContentChange::Replace(json("[ ]")),
            ContentChange::Replace(json(r#"[ 1,{"type":"text","text":""} ]"#)),
            ContentChange::Replace(json("[7]")),
        ];
        let mut random = fastrand::Rng::with_seed(7);
        for _ in 0..500 {
            let (mut length, mut buffer) =
                (Length::settled(&Content::empty()), ContentBuffer::new(&Content::empty()));
            for _ in 0..6 {
                let change = &changes[random.usize(..changes.len())];
                match change {
                    ContentChange::Append(delta) => buffer.push(delta),
                    ContentChange::Replace(content) => buffer = ContentBuffer::new(content),
                }
                length = length.after(change);
                assert_eq!(length.bytes, buffer.content().byte_len() as u64);
                assert_eq!(length.tail, Tail::of(&buffer.content()));
            }
        }
    }
}
