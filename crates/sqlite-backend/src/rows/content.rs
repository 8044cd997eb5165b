//! The content of messages: in the row of a settled one, and in the chunks of an open one, the rows of `appends`.

use rusqlite::{Connection, ffi, params};
use throughline_core::Content;
use throughline_engine::{
    StagedRows,
    rows::{MessageKey, MessageRow},
};

use super::Source;
use crate::{
    failure::Applied,
    obsolete_chunks::{self, Amount, FEW},
    record::{Append, Damage, Growth, StoredChunk, append_chain, number},
};

/// The chunks of a message, from its last one on.
pub(crate) const CHUNKS: &str = concat!(
    "WITH RECURSIVE ",
    append_chain!("SELECT ?1, ?2"),
    " SELECT 1, a.message_pk, a.n, a.kind, a.checksum, a.delta, a.append_pk, a.prev \
     FROM chain c CROSS JOIN appends a ON a.append_pk = c.append_pk AND a.message_pk = c.message_pk ORDER BY a.n"
);

/// Deletes the chunks of a message.
pub(crate) const DELETE_CHUNKS: &str = concat!(
    "WITH RECURSIVE ",
    append_chain!("SELECT ?1, ?2"),
    " DELETE FROM appends WHERE append_pk IN (SELECT append_pk FROM chain) AND message_pk = ?1"
);

impl Source<'_> {
    /// Returns the stored content of a message whose row was loaded.
    pub(super) fn stored_content(&mut self, key: &MessageKey) -> Applied<Option<Content>> {
        if !self.messages.contains_key(key) {
            self.find_message(key)?;
        }
        let Some(stored) = self.messages.get(key) else { return Ok(None) };
        let Some(appends) = stored.appends.filter(|appends| *appends > 0) else {
            return match stored.content.clone().read(self.db)? {
                Ok(content) => Ok(Some(content)),
                Err(_) => {
                    let damage = Damage { id: Some(key.id.clone()), seq: stored.seq };
                    Err(damage.into_error(&key.thread.thread).into())
                }
            };
        };
        let (mut growth, mut is_whole) = (Growth::new(), true);
        let mut statement = self.db.prepare_cached(CHUNKS)?;
        let mut rows = statement.query(params![stored.message_pk, stored.last_append])?;
        while is_whole && let Some(row) = rows.next()? {
            is_whole = growth.take(StoredChunk::read(row)).is_some();
        }
        if is_whole && growth.chunks() == appends {
            return Ok(Some(growth.content()));
        }
        let damage = Damage { id: Some(key.id.clone()), seq: stored.seq };
        Err(damage.into_error(&key.thread.thread).into())
    }

    /// Deletes the stored chunks of a message. If the message has `ended` with the content of many chunks, they are left to the writer,
    /// which deletes them later.
    pub(super) fn delete_chunks(&mut self, key: &MessageKey, ended: Option<&MessageRow>) -> Applied<()> {
        let Some(stored) = self.messages.get_mut(key) else { return Ok(()) };
        let message_pk = stored.message_pk;
        let cleared = match (stored.appends, stored.last_append, ended) {
            (Some(0), ..) => return Ok(()),
            (Some(chunks), Some(last_append), Some(row)) if chunks > FEW => {
                obsolete_chunks::insert(self.db, message_pk, (last_append, chunks))?;
                self.obsolete_chunks.add(Amount { chunks, bytes: row.length.bytes });
                true
            }
            (Some(chunks), last_append, _) => {
                let parameters = params![message_pk, last_append];
                number(self.db.prepare_cached(DELETE_CHUNKS)?.execute(parameters)? as u64) == chunks
            }
            (None, ..) => false,
        };
        if !cleared {
            // A broken chain does not lead to all chunks, so this deletes them by a scan.
            self.db.execute("DELETE FROM appends WHERE message_pk = ?1", [message_pk])?;
        }
        if stored.appends.is_some() {
            (stored.appends, stored.last_append) = (Some(0), None);
        }
        Ok(())
    }

    /// Deletes what is left of the chunks of messages that ended before, if the messages are deleted, or get other content: nothing of
    /// the earlier content stays in the file.
    pub(super) fn delete_obsolete_chunks(&self, staged: &StagedRows) -> Applied<()> {
        // A tombstone removes the content of its message too.
        let loses_content = |(key, _): (&MessageKey, &MessageRow)| {
            let stored = self.messages.get(key).filter(|_| staged.contents.is_changed(key))?;
            Some(stored.message_pk)
        };
        let mut messages = staged.messages.updated().filter_map(loses_content).peekable();
        if messages.peek().is_none() || !obsolete_chunks::has_any(self.db)? {
            return Ok(());
        }
        Ok(obsolete_chunks::delete_of(self.db, messages)?)
    }
}

/// Inserts the chunks of open messages. The rows of the messages exist, and their obsolete chunks are deleted.
pub(super) fn insert_chunks(source: &mut Source<'_>, staged: &StagedRows) -> Applied<()> {
    for (key, chunk) in staged.chunks.inserted() {
        let Some(row) = staged.messages.known(key).flatten() else { continue };
        let Some(stored) = source.messages.get_mut(key) else { continue };
        let append = Append::of(&chunk.change);
        // The file numbers the current chunks from 1 on.
        let n = number((chunk.number + 1).saturating_sub(row.first_chunk));
        let append_pk = insert(source.db, stored.message_pk, (n, stored.last_append), append)?;
        if Some(append_pk) <= stored.last_append {
            // The table is damaged: a read would not find the chunk.
            return Err(keys_do_not_grow().into());
        }
        (stored.appends, stored.last_append) = (Some(n), Some(append_pk));
    }
    Ok(())
}

fn insert(
    db: &Connection,
    message_pk: i64,
    (n, prev): (i64, Option<i64>),
    append: Append<'_>,
) -> rusqlite::Result<i64> {
    db.prepare_cached(
        "INSERT INTO appends (message_pk, n, prev, kind, checksum, delta) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
    )?
    .execute(params![
        message_pk,
        n,
        prev,
        append.kind.code(),
        append.checksum(message_pk, n),
        append.delta
    ])?;
    Ok(db.last_insert_rowid())
}

fn keys_do_not_grow() -> rusqlite::Error {
    let message = "the keys of `appends` are out of order".to_owned();
    rusqlite::Error::SqliteFailure(ffi::Error::new(ffi::SQLITE_CORRUPT), Some(message))
}
