use std::sync::LazyLock;

use crate::{Content, ContentBuffer, ContentChange, Delta};

/// How long the content of an open message is, without putting it together: known from what was appended alone.
///
/// ```
/// use throughline_core::{Content, ContentChange, Delta, backend::Length};
///
/// let mut length = Length::settled(&Content::empty());
/// for word in ["Hel", "lo!"] {
///     length = length.after(&ContentChange::Append(Delta::text(word)));
/// }
/// assert_eq!(length.bytes, Content::text("Hello!").byte_len() as u64);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Length {
    /// The bytes of JSON that the pieces come to.
    pub bytes: u64,
    /// How it ends.
    pub tail: Tail,
}

/// How content ends, as far as what is appended depends on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tail {
    /// There are no blocks.
    Nothing,
    /// With text that more text continues.
    Text,
    /// With a block that nothing continues.
    Block,
}

impl Tail {
    const ALL: [Self; 3] = [Self::Nothing, Self::Text, Self::Block];

    /// The number that stands for it in a store.
    #[must_use]
    pub const fn code(self) -> i64 {
        match self {
            Self::Nothing => 0,
            Self::Text => 1,
            Self::Block => 2,
        }
    }

    /// What the number stands for, if for anything.
    #[must_use]
    pub fn from_code(code: i64) -> Option<Self> {
        Self::ALL.into_iter().find(|tail| tail.code() == code)
    }

    fn of(buffer: &ContentBuffer) -> Self {
        let length = |buffer: &ContentBuffer| buffer.content().byte_len();
        let before = length(buffer);
        if before == length(&ContentBuffer::default()) {
            return Self::Nothing;
        }
        let mut longer = buffer.clone();
        longer.push(&Delta::text("x"));
        if length(&longer) == before + 1 { Self::Text } else { Self::Block }
    }

    /// The shortest content that ends like this: it grows by what is appended as any other does.
    fn shortest(self) -> &'static Content {
        static SHORTEST: LazyLock<[Content; 3]> = LazyLock::new(|| {
            let block = Content::from_json("[0]").expect("an array");
            [Content::empty(), Content::text(""), block]
        });
        match self {
            Self::Nothing => &SHORTEST[0],
            Self::Text => &SHORTEST[1],
            Self::Block => &SHORTEST[2],
        }
    }
}

impl Length {
    /// Of content that is not appended to, or not yet: the bytes as they are.
    #[must_use]
    pub fn settled(content: &Content) -> Self {
        Self { bytes: content.byte_len() as u64, tail: Tail::Nothing }
    }

    /// After a change. Costs what the change carries.
    #[must_use]
    pub fn after(self, change: &ContentChange) -> Self {
        match change {
            ContentChange::Replace(content) => {
                let buffer = ContentBuffer::new(content);
                Self { bytes: buffer.content().byte_len() as u64, tail: Tail::of(&buffer) }
            }
            ContentChange::Append(delta) if delta.is_empty() => self,
            ContentChange::Append(delta) => {
                let shortest = self.tail.shortest();
                let mut buffer = ContentBuffer::new(shortest);
                buffer.push(delta);
                let added = (buffer.content().byte_len() - shortest.byte_len()) as u64;
                let tail = if matches!(delta, Delta::Text(_)) { Tail::Text } else { Tail::of(&buffer) };
                Self { bytes: self.bytes.saturating_add(added), tail }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_the_length_of_what_the_pieces_come_to() {
        let json = |json: &str| Content::from_json(json).unwrap();
        let blocks = |text: &str| ContentChange::Append(Delta::Blocks(json(text)));
        let text = |text: &str| ContentChange::Append(Delta::text(text));
        let changes = [
            text(""),
            text("a\"b\\c\n\u{0}✓"),
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
                assert_eq!(length.tail, Tail::of(&buffer));
            }
        }
    }
}
