use std::{collections::BTreeMap, error, fmt, str::FromStr};

use crate::{
    Effect, ErrorKind, PersistError, Position, Seq,
    message::{ContentCursor, InvalidCursor},
};

/// The point from which a [`ThreadStream`](super::ThreadStream) continues: a position of the change feed, and the content cursors
/// of the open messages, by their sequence numbers.
///
/// A content cursor is that of the last read. If a part of its answer is shown, the bytes of that part follow it.
///
/// Its text form has no spaces and no characters that a URL escapes. The text of a position alone is a cursor too.
///
/// ```
/// use throughline_core::{Position, changes::StreamCursor};
///
/// let cursor: StreamCursor = "1007;3.0.31.4".parse()?;
/// assert_eq!((cursor.position(), cursor.to_string().as_str()), (Position::new(1007), "1007;3.0.31.4"));
/// assert!("1007;3.0.31.4.65536".parse::<StreamCursor>().is_ok());
/// assert_eq!("1007".parse::<StreamCursor>()?, StreamCursor::from(Position::new(1007)));
/// # Ok::<(), throughline_core::changes::InvalidStreamCursor>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StreamCursor {
    pub(super) position: Position,
    pub(super) open: BTreeMap<Seq, ShownContent>,
}

/// The content of an open message that is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct ShownContent {
    /// The content before this cursor is shown.
    pub(super) cursor: ContentCursor,
    /// So are this many bytes behind it, as [`ContentParts`](crate::message::ContentParts) counts them.
    pub(super) bytes: u64,
}

impl From<ContentCursor> for ShownContent {
    fn from(cursor: ContentCursor) -> Self {
        Self { cursor, bytes: 0 }
    }
}

impl StreamCursor {
    /// The most open messages in a cursor. A stream shows the content of an older one from its start again.
    pub const MAX_OPEN: usize = 64;

    /// The position: every change up to it is before the cursor.
    #[must_use]
    pub const fn position(&self) -> Position {
        self.position
    }

    /// The content cursors of the open messages, by sequence number. The content before a cursor is shown.
    pub fn open(&self) -> impl Iterator<Item = (Seq, ContentCursor)> + '_ {
        self.open.iter().map(|(seq, shown)| (*seq, shown.cursor))
    }

    /// Sets the shown content of an open message. Without space, the oldest other message loses its cursor.
    pub(super) fn set(&mut self, seq: Seq, shown: impl Into<ShownContent>) {
        self.open.insert(seq, shown.into());
        if self.open.len() > Self::MAX_OPEN {
            let oldest = self.open.keys().find(|other| **other != seq).copied();
            oldest.and_then(|oldest| self.open.remove(&oldest));
        }
    }
}

impl From<Position> for StreamCursor {
    fn from(position: Position) -> Self {
        Self { position, open: BTreeMap::new() }
    }
}

impl fmt::Display for StreamCursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.position)?;
        self.open.iter().try_for_each(|(seq, shown)| {
            write!(f, ";{seq}.{}", shown.cursor)?;
            if shown.bytes > 0 { write!(f, ".{}", shown.bytes) } else { Ok(()) }
        })
    }
}

impl FromStr for StreamCursor {
    type Err = InvalidStreamCursor;

    fn from_str(text: &str) -> Result<Self, InvalidStreamCursor> {
        let mut parts = text.split(';');
        let position = parts.next().and_then(number).ok_or(InvalidStreamCursor)?;
        let mut cursor = Self::from(Position::new(position));
        for part in parts {
            let (seq, content) = part.split_once('.').ok_or(InvalidStreamCursor)?;
            let seq = Seq::new(number(seq).ok_or(InvalidStreamCursor)?);
            let (content, bytes) = match content.match_indices('.').nth(2) {
                Some((dot, _)) => (&content[..dot], number(&content[dot + 1..]).filter(|bytes| *bytes > 0)),
                None => (content, Some(0)),
            };
            let bytes = bytes.ok_or(InvalidStreamCursor)?;
            let content = content.parse().map_err(|_: InvalidCursor| InvalidStreamCursor)?;
            let is_in_order = cursor.open.last_key_value().is_none_or(|(last, _)| *last < seq);
            if !is_in_order || cursor.open.len() == Self::MAX_OPEN {
                return Err(InvalidStreamCursor);
            }
            cursor.open.insert(seq, ShownContent { cursor: content, bytes });
        }
        Ok(cursor)
    }
}

/// Reads a number in its only form: digits without leading zeros.
fn number(digits: &str) -> Option<u64> {
    let is_canonical =
        digits.bytes().all(|byte| byte.is_ascii_digit()) && (digits == "0" || !digits.starts_with('0'));
    let number = digits.parse().ok().filter(|_| is_canonical)?;
    (number <= i64::MAX as u64).then_some(number)
}

/// Why a text is not a [`StreamCursor`]. It does not repeat the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InvalidStreamCursor;

impl fmt::Display for InvalidStreamCursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(
            "stream cursor: the text is not a position with content cursors: use the cursor of an event, or the position of a page",
        )
    }
}

impl error::Error for InvalidStreamCursor {}

impl From<InvalidStreamCursor> for PersistError {
    fn from(error: InvalidStreamCursor) -> Self {
        Self::new(ErrorKind::Invalid, error.to_string()).with_effect(Effect::NotApplied)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Revision;

    #[test]
    fn only_the_canonical_text_is_a_cursor() {
        for text in ["0", "7", "1007;3.0.31.4", "1007;3.0.31.4.5;20.5.0.9", "9223372036854775807"] {
            assert_eq!(text.parse::<StreamCursor>().unwrap().to_string(), text);
        }
        let many: String = (1..=65).map(|seq| format!(";{seq}.0.1.1")).collect();
        let (allowed, too_many) =
            (format!("1{}", &many[..many.len() - ";65.0.1.1".len()]), format!("1{many}"));
        assert_eq!(allowed.parse::<StreamCursor>().unwrap().open().count(), StreamCursor::MAX_OPEN);
        for text in [
            "",
            "x",
            "01",
            "-1",
            "1;",
            "1;3",
            "1;3.0.31",
            "1;3.0.31.4.0",
            "1;3.0.31.4.05",
            "1;3.0.31.4.5.6",
            "1;3.0.31.4.",
            "1;4.0.0.1;3.0.0.1",
            "1;3.0.0.1;3.0.0.1",
            "1 ",
            &too_many,
        ] {
            assert_eq!(text.parse::<StreamCursor>(), Err(InvalidStreamCursor), "{text}");
        }
    }

    #[test]
    fn the_oldest_other_message_loses_its_cursor() {
        let mut cursor = StreamCursor::from(Position::new(1));
        let content = |seq| ContentCursor::new(Revision::ZERO, seq, Revision::FIRST);
        let open = |cursor: &StreamCursor| cursor.open().map(|(seq, _)| seq.get()).collect::<Vec<_>>();
        for seq in 1..=65 {
            cursor.set(Seq::new(seq), content(seq));
        }
        assert_eq!(open(&cursor), (2..=65).collect::<Vec<_>>());
        cursor.set(Seq::new(1), content(1));
        assert_eq!(open(&cursor), [vec![1], (3..=65).collect()].concat());
    }
}
