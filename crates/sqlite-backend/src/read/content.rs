//! Tail reads: the content of a message after a cursor.

use rusqlite::{Connection, OptionalExtension as _, params};
use throughline_core::{
    Result,
    backend::ContentFragment,
    messages::{ContentTail, ReadContent},
};
use throughline_engine::read::{ChunksBackward, ContentState, TailStart};

use super::{Scope, get};
use crate::record::{Columns as _, Damage, Record, StoredChunk};

/// A chunk of a message, with the key of the one before it.
pub(super) const CHUNK: &str = "SELECT 1, a.message_pk, a.n, a.kind, a.checksum, a.delta, a.prev FROM appends a \
    WHERE a.append_pk = ?2 AND a.message_pk = ?1";

/// Reads the content of a message after a cursor.
pub(super) fn tail(scope: Scope<'_>, read: &ReadContent) -> Result<Option<ContentTail>> {
    let found = get::find(scope, &read.thread, &read.id, |record| {
        let state = ContentState {
            seq: record.message.seq,
            state: record.message.state,
            revision: record.message.revision,
            replaced: record.replaced,
            length: record.length,
        };
        let start = TailStart::of(read, &state);
        let fragment = if state.state.is_open() {
            fragment(scope.db, &record, ChunksBackward::new(start, &state))?
        } else {
            record.content.read(scope.db)?.ok().map(|content| ContentFragment::whole(&content))
        };
        Ok(fragment
            .map(|fragment| (start, state, fragment))
            .ok_or_else(|| Damage::of_message(&record.message)))
    })?;
    let Some((start, state, fragment)) = found else { return Ok(None) };
    start.answer(read, &state, &fragment).map(Some)
}

/// Reads the chunks of an open message from the last one on, back to the start of the read. `None` if one of them is damaged.
fn fragment(
    db: &Connection,
    record: &Record,
    mut chunks: ChunksBackward,
) -> rusqlite::Result<Option<ContentFragment>> {
    let mut statement = db.prepare_cached(CHUNK)?;
    let (mut next, mut n) = (record.last_append, record.appends);
    while !chunks.is_complete() && n > 0 {
        let Some(append_pk) = next else { return Ok(None) };
        let read = statement
            .query_row(params![record.message_pk, append_pk], |row| {
                Ok((StoredChunk::read(row), row.integer(6).filter(|prev| *prev < append_pk)))
            })
            .optional()?;
        let Some((Some(chunk), previous)) = read else { return Ok(None) };
        if chunk.n != n || chunks.push(chunk.kind, chunk.text).is_none() {
            return Ok(None);
        }
        (next, n) = (previous, n - 1);
    }
    Ok(chunks.into_fragment())
}
