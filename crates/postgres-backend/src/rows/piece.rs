//! What is written to open messages, piece by piece, and what it comes to.

use std::collections::{HashMap, hash_map::Entry};

use sqlx::{PgConnection, Row as _};
use throughline_core::{Content, ContentBuffer, ContentChange, Delta};

use super::{
    MessageKey, Rows, Writing,
    message::{columns, lacking},
    number,
};

/// How a piece is to be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum PieceKind {
    /// More text, as it was said.
    Text,
    /// Further blocks, as JSON.
    Blocks,
    /// The whole content, as JSON: what the pieces after it grow from.
    Base,
}

impl PieceKind {
    const ALL: [Self; 3] = [Self::Text, Self::Blocks, Self::Base];

    // Numbers that stand in tables: never changed, and never used again.
    const fn code(self) -> i64 {
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

/// A piece to be written.
#[derive(Debug)]
pub(crate) struct Piece {
    pub(crate) key: MessageKey,
    pub(crate) n: u64,
    pub(crate) kind: PieceKind,
    pub(crate) delta: String,
}

impl Piece {
    pub(crate) fn new(key: MessageKey, n: u64, change: &ContentChange) -> Self {
        let (kind, delta) = match change {
            ContentChange::Append(Delta::Text(text)) => (PieceKind::Text, text.clone()),
            ContentChange::Append(Delta::Blocks(blocks)) => (PieceKind::Blocks, blocks.as_json().to_owned()),
            ContentChange::Replace(content) => (PieceKind::Base, content.as_json().to_owned()),
        };
        Self { key, n, kind, delta }
    }
}

/// Folds pieces, given in order, into the content. Content that nothing is appended to keeps its bytes.
#[derive(Debug)]
pub(crate) struct Growth {
    base: Content,
    buffer: Option<ContentBuffer>,
}

impl Growth {
    pub(crate) const fn new(base: Content) -> Self {
        Self { base, buffer: None }
    }

    pub(crate) fn push(&mut self, delta: &Delta) {
        if !delta.is_empty() {
            let base = &self.base;
            self.buffer.get_or_insert_with(|| ContentBuffer::new(base)).push(delta);
        }
    }

    /// Takes a stored piece; nothing when it is damaged.
    pub(crate) fn take(&mut self, kind: PieceKind, delta: &str) -> Option<()> {
        match kind {
            PieceKind::Text => self.push(&Delta::text(delta)),
            PieceKind::Blocks => self.push(&Delta::Blocks(Content::from_json(delta).ok()?)),
            PieceKind::Base => *self = Self::new(Content::from_json(delta).ok()?),
        }
        Some(())
    }

    /// Takes a piece as it stands in the table; nothing when it is damaged.
    pub(crate) fn take_stored(&mut self, kind: i64, delta: &[u8]) -> Option<()> {
        self.take(PieceKind::from_code(kind)?, str::from_utf8(delta).ok()?)
    }

    pub(crate) fn content(self) -> Content {
        self.buffer.map_or(self.base, |buffer| buffer.content())
    }
}

/// Content and pieces of messages: those of a message follow one another.
const READ: &str = "SELECT m.tenant, m.thread, m.id, m.content, p.n, p.kind, p.delta, m.pieces - m.first_piece + 1 AS due \
    FROM unnest($1::text[], $2::text[], $3::text[]) AS k (tenant, thread, id) \
    JOIN throughline.messages m ON m.tenant = k.tenant AND m.thread = k.thread AND m.id = k.id AND m.seq IS NOT NULL \
    LEFT JOIN throughline.pieces p ON p.tenant = m.tenant AND p.thread = m.thread AND p.id = m.id AND p.n >= m.first_piece \
    ORDER BY m.tenant, m.thread, m.id, p.n";

pub(super) async fn read(rows: &mut Rows, db: &mut PgConnection) -> sqlx::Result<()> {
    let keys = rows.contents.take_unread();
    if keys.is_empty() {
        return Ok(());
    }
    let [tenants, threads, ids] = columns(&keys);
    let found = sqlx::query(READ).bind(tenants).bind(threads).bind(ids).fetch_all(db).await?;
    let mut read: HashMap<(&str, &str, &str), (Growth, i64)> = HashMap::new();
    for row in &found {
        let key: (&str, &str, &str) = (row.try_get("tenant")?, row.try_get("thread")?, row.try_get("id")?);
        let (growth, due) = match read.entry(key) {
            Entry::Occupied(entry) => entry.into_mut(),
            Entry::Vacant(entry) => {
                let json: &str = row.try_get("content")?;
                let base = Content::from_json(json).map_err(|_| lacking(key.1, key.2))?;
                entry.insert((Growth::new(base), row.try_get("due")?))
            }
        };
        if let Some(kind) = row.try_get("kind")? {
            let delta: &[u8] = row.try_get("delta")?;
            growth.take_stored(kind, delta).ok_or_else(|| lacking(key.1, key.2))?;
            *due -= 1;
        }
    }
    for key in &keys {
        let found = read.remove(&(key.0.0.as_str(), key.0.1.as_str(), key.1.as_str()));
        // Not one piece may be missing.
        if found.as_ref().is_some_and(|(_, due)| *due != 0) {
            return Err(lacking(key.0.1.as_str(), key.1.as_str()));
        }
        rows.contents.read(key.clone(), found.map(|(growth, _)| growth.content()));
    }
    Ok(())
}

pub(super) fn write(rows: &Rows, writing: &mut Writing) {
    let mut spent: HashMap<&MessageKey, u64> = HashMap::new();
    for (key, below) in rows.spent.items() {
        let most = spent.entry(key).or_default();
        *most = (*most).max(*below);
    }
    if !spent.is_empty() {
        let keys: Vec<MessageKey> = spent.keys().map(|key| (*key).clone()).collect();
        let [tenants, threads, ids] = columns(&keys);
        writing
            .part(
                "DELETE FROM throughline.pieces p USING unnest($1::text[], $2::text[], $3::text[], $4::bigint[]) \
                 AS k (tenant, thread, id, below) \
                 WHERE p.tenant = k.tenant AND p.thread = k.thread AND p.id = k.id AND p.n < k.below",
            )
            .bind(tenants)
            .bind(threads)
            .bind(ids)
            .bind(keys.iter().map(|key| number(spent[key])).collect::<Vec<_>>());
    }
    let is_due = |piece: &&Piece| spent.get(&piece.key).is_none_or(|below| piece.n >= *below);
    let pieces: Vec<&Piece> = rows.pieces.items().iter().filter(is_due).collect();
    if pieces.is_empty() {
        return;
    }
    let part = |of: fn(&Piece) -> &str| pieces.iter().map(|piece| of(piece)).collect::<Vec<_>>();
    writing
        .part(
            "INSERT INTO throughline.pieces (tenant, thread, id, n, kind, delta) \
             SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::bigint[], $5::bigint[], $6::bytea[])",
        )
        .bind(part(|piece| piece.key.0.0.as_str()))
        .bind(part(|piece| piece.key.0.1.as_str()))
        .bind(part(|piece| piece.key.1.as_str()))
        .bind(pieces.iter().map(|piece| number(piece.n)).collect::<Vec<_>>())
        .bind(pieces.iter().map(|piece| piece.kind.code()).collect::<Vec<_>>())
        .bind(pieces.iter().map(|piece| piece.delta.as_bytes()).collect::<Vec<_>>());
}

impl Rows {
    /// What the pieces that are still to be written make of the content that was read.
    pub(crate) fn grown(&self, key: &MessageKey, read: Content) -> Option<Content> {
        let mut growth = Growth::new(read);
        for piece in self.pieces.items().iter().filter(|piece| piece.key == *key) {
            growth.take(piece.kind, &piece.delta)?;
        }
        Some(growth.content())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn content_that_nothing_is_appended_to_keeps_its_bytes() {
        let odd = r#"[ {"n":1.10}, "\ud800" ]"#;
        let mut growth = Growth::new(Content::from_json(odd).unwrap());
        growth.push(&Delta::empty());
        assert_eq!(growth.content().as_json(), odd);
    }

    #[test]
    fn pieces_are_folded_from_the_last_base_on() {
        let mut growth = Growth::new(Content::empty());
        growth.take(PieceKind::Text, "gone").unwrap();
        growth.take(PieceKind::Base, "[1]").unwrap();
        growth.take(PieceKind::Blocks, "[2 ]").unwrap();
        growth.take(PieceKind::Text, "a").unwrap();
        growth.take_stored(0, b"b\0").unwrap();
        assert_eq!(growth.content().as_json(), r#"[1,2,{"type":"text","text":"ab\u0000"}]"#);
        assert_eq!(Growth::new(Content::empty()).take_stored(9, b""), None);
        assert_eq!(Growth::new(Content::empty()).take(PieceKind::Base, "{"), None);
    }
}
