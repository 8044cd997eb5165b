//! The chunks of an open message: the rows of `appends`.

use rusqlite::Row;
use throughline_core::{Content, messages::ContentChange};
use throughline_engine::rows::{ChunkKind, ContentBuilder, chunk_text};

use super::{Checksum, Columns};

/// A chunk to be written.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Append<'a> {
    pub(crate) kind: ChunkKind,
    pub(crate) delta: &'a str,
}

impl<'a> Append<'a> {
    pub(crate) fn of(change: &'a ContentChange) -> Self {
        let (kind, delta) = chunk_text(change);
        Self { kind, delta }
    }

    /// Returns the checksum of this chunk as the `n`th of a message.
    pub(crate) fn checksum(self, message_pk: i64, n: i64) -> i64 {
        checksum(message_pk, n, self.kind.code(), self.delta.as_bytes())
    }
}

/// The chunks of messages by their keys, as `chain (message_pk, append_pk)` of a recursive `WITH`: from the last ones,
/// which `$ends` selects with their messages, back to the first.
///
/// A chunk has a greater key than the one that it refers to, so the keys decrease: a damaged chain ends too. It never
/// continues after a chunk of another message.
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

/// A stored chunk with a valid checksum.
#[derive(Debug)]
pub(crate) struct StoredChunk {
    /// The number of the chunk, from 1 on.
    pub(crate) n: i64,
    pub(crate) kind: ChunkKind,
    pub(crate) text: String,
}

impl StoredChunk {
    /// Reads message, number, kind, checksum and text from column `1` on. `None` if the chunk is damaged.
    pub(crate) fn read(row: &Row<'_>) -> Option<Self> {
        let (message_pk, n, kind) = (row.integer(1)?, row.integer(2)?, row.integer(3)?);
        let delta = row.text(5)?;
        if row.integer(4)? != checksum(message_pk, n, kind, delta) {
            return None;
        }
        let text = str::from_utf8(delta).ok()?.to_owned();
        Some(Self { n, kind: ChunkKind::from_code(kind)?, text })
    }
}

/// Builds the content from chunks in their order.
#[derive(Debug)]
pub(crate) struct Growth {
    builder: ContentBuilder,
    chunks: i64,
}

impl Growth {
    pub(crate) fn new() -> Self {
        Self { builder: ContentBuilder::new(Content::empty()), chunks: 0 }
    }

    /// Returns how many chunks it has added.
    pub(crate) const fn chunks(&self) -> i64 {
        self.chunks
    }

    /// Adds the next stored chunk. `None` if it is damaged or not the expected one.
    pub(crate) fn take(&mut self, chunk: Option<StoredChunk>) -> Option<()> {
        let StoredChunk { n, kind, text } = chunk?;
        // A replacement deletes the obsolete chunks: only the first chunk may be one.
        if n != self.chunks + 1 || (kind == ChunkKind::Base && n != 1) {
            return None;
        }
        self.builder.push_stored(kind, &text)?;
        self.chunks = n;
        Some(())
    }

    pub(crate) fn content(&self) -> Content {
        self.builder.content()
    }
}
