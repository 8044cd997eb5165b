//! What is written to an open message, piece by piece.

use rusqlite::Row;
use throughline_core::{Content, ContentBuffer, ContentChange, Delta};

use super::{Checksum, Columns};

/// How a piece is to be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum AppendKind {
    /// More text, as it was said.
    Text,
    /// Further blocks, as JSON.
    Blocks,
    /// The whole content, as JSON: what the pieces after it grow from. Only ever the first piece.
    Base,
}

impl AppendKind {
    const ALL: [Self; 3] = [Self::Text, Self::Blocks, Self::Base];

    pub(crate) const fn code(self) -> i64 {
        match self {
            Self::Text => 0,
            Self::Blocks => 1,
            Self::Base => 2,
        }
    }

    fn from_code(code: i64) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.code() == code)
    }
}

/// One piece, to be written.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Append<'a> {
    pub(crate) kind: AppendKind,
    pub(crate) delta: &'a str,
}

impl<'a> Append<'a> {
    pub(crate) fn of(change: &'a ContentChange) -> Self {
        match change {
            ContentChange::Append(Delta::Text(text)) => Self { kind: AppendKind::Text, delta: text },
            ContentChange::Append(Delta::Blocks(blocks)) => {
                Self { kind: AppendKind::Blocks, delta: blocks.as_json() }
            }
            ContentChange::Replace(content) => Self { kind: AppendKind::Base, delta: content.as_json() },
        }
    }

    /// The checksum of this piece as the `n`th of a message.
    pub(crate) fn checksum(self, message_pk: i64, n: i64) -> i64 {
        checksum(message_pk, n, self.kind.code(), self.delta.as_bytes())
    }
}

/// The pieces of messages by their keys, `chain (message_pk, append_pk)` of a recursive `WITH`: from the last ones, which
/// `$ends` answers with their messages, back to the first.
///
/// A piece is younger than the one that it leads to, so the keys become smaller and smaller: a chain that is damaged ends
/// as well. It never goes on behind a piece of another message.
macro_rules! append_chain {
    ($ends:literal) => {
        concat!(
            "chain (message_pk, append_pk) AS (",
            $ends,
            " UNION ALL SELECT a.message_pk, a.prev FROM chain c CROSS JOIN appends a ON a.append_pk = c.append_pk \
             WHERE a.message_pk = c.message_pk AND a.prev < a.append_pk)"
        )
    };
}
pub(crate) use append_chain;

fn checksum(message_pk: i64, n: i64, kind: i64, delta: &[u8]) -> i64 {
    Checksum::new().integer(message_pk).integer(n).integer(kind).bytes(delta).finish()
}

/// One piece as it is stored, checked.
#[derive(Debug)]
pub(crate) struct Piece {
    /// Which one it is, from 1 on.
    pub(crate) n: i64,
    kind: AppendKind,
    text: String,
}

impl Piece {
    /// Reads message, number, kind, checksum and text from column `1` on. Nothing when the piece is damaged.
    pub(crate) fn read(row: &Row<'_>) -> Option<Self> {
        let (message_pk, n, kind) = (row.integer(1)?, row.integer(2)?, row.integer(3)?);
        let delta = row.text(5)?;
        if row.integer(4)? != checksum(message_pk, n, kind, delta) {
            return None;
        }
        let text = str::from_utf8(delta).ok()?.to_owned();
        Some(Self { n, kind: AppendKind::from_code(kind)?, text })
    }
}

/// Folds pieces, given in order, into the content.
///
/// Content that nothing was appended to keeps its bytes, so the buffer is only made for the first append.
#[derive(Debug)]
pub(crate) struct Growth {
    base: Content,
    buffer: Option<ContentBuffer>,
    pieces: i64,
}

impl Growth {
    pub(crate) fn new() -> Self {
        Self { base: Content::empty(), buffer: None, pieces: 0 }
    }

    /// How many pieces it has taken.
    pub(crate) const fn pieces(&self) -> i64 {
        self.pieces
    }

    /// Takes the next stored piece. Nothing when it is damaged or another one than is due.
    pub(crate) fn take(&mut self, piece: Option<Piece>) -> Option<()> {
        let Piece { n, kind, text } = piece?;
        if n != self.pieces + 1 {
            return None;
        }
        match kind {
            AppendKind::Text => self.push(&Delta::Text(text)),
            AppendKind::Blocks => self.push(&Delta::Blocks(Content::from_json(text).ok()?)),
            AppendKind::Base if n == 1 => self.base = Content::from_json(text).ok()?,
            AppendKind::Base => return None,
        }
        self.pieces = n;
        Some(())
    }

    pub(crate) fn push(&mut self, delta: &Delta) {
        if !delta.is_empty() {
            let base = &self.base;
            self.buffer.get_or_insert_with(|| ContentBuffer::new(base)).push(delta);
        }
    }

    pub(crate) fn content(self) -> Content {
        self.buffer.map_or(self.base, |buffer| buffer.content())
    }
}

impl From<Content> for Growth {
    fn from(base: Content) -> Self {
        Self { base, buffer: None, pieces: 0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn content_that_nothing_is_appended_to_keeps_its_bytes() {
        let odd = r#"[ {"n":1.10}, "\ud800" ]"#;
        let mut growth = Growth::from(Content::from_json(odd).unwrap());
        growth.push(&Delta::empty());
        assert_eq!(growth.content().as_json(), odd);
    }
}
