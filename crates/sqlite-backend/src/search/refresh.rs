use rusqlite::{Connection, OptionalExtension, Row, ffi, params};
use throughline_core::{
    Content, MessageState, TenantId, ThreadId,
    backend::search::{Terms, Tokenizer},
};

use super::{indexed_terms::IndexedTerms, shards};
use crate::{
    blob::StoredContent,
    record::{Columns as _, Record, message_columns},
};

const MESSAGE: &str = concat!(
    "SELECT 0, ",
    message_columns!(),
    ", t.tenant, t.thread, t.floor, t.deleted, m.thread_pk FROM messages m \
     JOIN threads t ON t.thread_pk = m.thread_pk WHERE m.message_pk = ?1"
);
const TENANT: usize = 21;

/// The entry of a message, with the content that was indexed.
const ENTRY: &str = "SELECT s.shard, s.thread_pk, s.digest, s.terms, coalesce(r.content, m.content) \
    FROM search_messages s LEFT JOIN search_replaced r ON r.message_pk = s.message_pk \
    LEFT JOIN messages m ON m.message_pk = s.message_pk WHERE s.message_pk = ?1";

/// Whether the index already has this message as it is. The triggers that fill `search_replaced` see each statement that changes a content.
const IS_CURRENT: &str = concat!(
    "SELECT EXISTS (SELECT 1 FROM search_messages s \
     JOIN messages m ON m.message_pk = s.message_pk JOIN threads t ON t.thread_pk = m.thread_pk \
     WHERE s.message_pk = ?1 AND ",
    searchable!(),
    " AND s.thread_pk = m.thread_pk AND s.seq = m.seq AND s.created_at = m.created_at \
     AND NOT EXISTS (SELECT 1 FROM search_replaced r WHERE r.message_pk = s.message_pk))"
);

/// The entry of a message in the index.
struct Entry {
    shard: i64,
    thread_pk: i64,
    digest: i64,
    /// The terms, if the content is in a file.
    lines: Option<String>,
    content: Option<String>,
}

/// A message that belongs into the index.
struct Indexed {
    tenant: TenantId,
    thread_pk: i64,
    seq: i64,
    created_at: i64,
    is_in_file: bool,
    terms: Terms,
}

/// Updates the index entry of a message, in an index of this tokenizer. Without `adds`, the entry is only removed.
///
/// It writes nothing if the message is as it was indexed: a rebuild visits messages that are in the index, and changes that
/// were committed during the rebuild are about messages that it has indexed. To remove the terms of one message and add them again takes
/// milliseconds in a large index.
///
/// # Errors
/// The index is damaged, or the content that was indexed is. The index then has to be built again.
pub(super) fn refresh(
    db: &Connection,
    message_pk: i64,
    tokenizer: Option<Tokenizer>,
    adds: bool,
) -> rusqlite::Result<()> {
    if adds
        && tokenizer.is_some()
        && db.prepare_cached(IS_CURRENT)?.query_row([message_pk], |row| row.get(0))?
    {
        return Ok(());
    }
    if let Some(entry) = db.prepare_cached(ENTRY)?.query_row([message_pk], Entry::of).optional()? {
        let terms = entry.terms(tokenizer).ok_or_else(|| unknown_terms(message_pk))?;
        terms.remove(db, message_pk)?;
        for sql in [
            "DELETE FROM search_messages WHERE message_pk = ?1",
            "DELETE FROM search_replaced WHERE message_pk = ?1",
        ] {
            db.prepare_cached(sql)?.execute([message_pk])?;
        }
        shards::remove(db, entry.shard, terms.count())?;
    }
    let (Some(tokenizer), true) = (tokenizer, adds) else { return Ok(()) };
    let Some(message) = indexed(db, message_pk, tokenizer)? else { return Ok(()) };
    let count = i64::try_from(message.terms.len()).unwrap_or(i64::MAX);
    let shard = shards::add(db, message.tenant.as_str(), message_pk, count)?;
    let terms = IndexedTerms::new(&message.terms, shard, message.thread_pk);
    terms.add(db, message_pk)?;
    let lines = message.is_in_file.then(|| terms.to_lines());
    db.prepare_cached(
        "INSERT INTO search_messages (message_pk, shard, thread_pk, seq, created_at, digest, terms) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
    )?
    .execute(params![
        message_pk,
        shard,
        message.thread_pk,
        message.seq,
        message.created_at,
        terms.digest(),
        lines,
    ])?;
    Ok(())
}

impl Entry {
    fn of(row: &Row<'_>) -> rusqlite::Result<Self> {
        Ok(Self {
            shard: row.get(0)?,
            thread_pk: row.get(1)?,
            digest: row.get(2)?,
            lines: row.get(3)?,
            content: row.get(4)?,
        })
    }

    /// Returns the terms that the index has of the message. `None` if the content is not the one that was indexed.
    fn terms(&self, tokenizer: Option<Tokenizer>) -> Option<IndexedTerms> {
        let terms = match &self.lines {
            Some(lines) => IndexedTerms::from_lines(lines, self.thread_pk),
            None => {
                let content = Content::from_json(self.content.clone()?).ok()?;
                let terms = Terms::of(&content.plain_text(usize::MAX), tokenizer?);
                IndexedTerms::new(&terms, self.shard, self.thread_pk)
            }
        };
        (terms.digest() == self.digest).then_some(terms)
    }
}

/// The error that makes the writer build the index again.
fn unknown_terms(message_pk: i64) -> rusqlite::Error {
    let text = format!("the message {message_pk} no longer has the text that was indexed");
    rusqlite::Error::SqliteFailure(ffi::Error::new(ffi::SQLITE_CORRUPT), Some(text))
}

/// Returns a message for the index; `None` if it is not searchable or damaged.
fn indexed(db: &Connection, message_pk: i64, tokenizer: Tokenizer) -> rusqlite::Result<Option<Indexed>> {
    let found = db
        .prepare_cached(MESSAGE)?
        .query_row([message_pk], |row| {
            let text = |column: usize| str::from_utf8(row.text(column)?).ok();
            let read = || -> Option<(Indexed, StoredContent)> {
                let tenant = TenantId::new(text(TENANT)?).ok()?;
                let thread = ThreadId::new(text(TENANT + 1)?).ok()?;
                let (floor, deleted) = (row.integer(TENANT + 2)?, row.integer(TENANT + 3)?);
                let (seq, thread_pk) = (row.integer(3)?, row.integer(TENANT + 4)?);
                if deleted != 0 || seq <= floor {
                    return None;
                }
                let Record { message, content, .. } = Record::read(row, &tenant, &thread).ok()?;
                let created_at = message.created_at.as_micros();
                let is_in_file = content.blob().is_some();
                let terms = Terms::default();
                let indexed = Indexed { tenant, thread_pk, seq, created_at, is_in_file, terms };
                (message.state == MessageState::Final).then_some((indexed, content))
            };
            Ok(read())
        })
        .optional()?;
    let Some((indexed, content)) = found.flatten() else { return Ok(None) };
    // A blob that cannot be read now does not stop the index.
    let Ok(Ok(content)) = content.read(db) else { return Ok(None) };
    let terms = Terms::of(&content.plain_text(usize::MAX), tokenizer);
    Ok((!terms.is_empty()).then_some(Indexed { terms, ..indexed }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::open::create_tables;

    const TEXT: &str = r#"[{"type":"text","text":"water wave"}]"#;

    /// Returns a store with a message in the index. Its row has no valid checksum, so it is removed from the index as soon as it is read.
    fn indexed_message() -> Connection {
        let db = Connection::open_in_memory().unwrap();
        create_tables(&db).unwrap();
        db.execute_batch(
            "PRAGMA foreign_keys = OFF;
             INSERT INTO search_shards (shard, tenant, first_pk, terms) VALUES (1, 'default', 0, 2);
             INSERT INTO threads (thread_pk, tenant, thread, deleted_seq, floor, generation, gone_at, gone_question, deleted, \
             purgeable, last_segment, checksum) \
             VALUES (1, 'default', 't', 0, 0, 0, 0, 0, 0, 0, 0, 0), (2, 'default', 'u', 0, 0, 0, 0, 0, 0, 0, 0, 0)",
        )
        .unwrap();
        db.execute(
            "INSERT INTO messages (message_pk, thread_pk, message_id, seq, segment, role, state, revision, appends, \
             content_bytes, tail, created_at, updated_at, position, checksum, metadata, content) \
             VALUES (1, 1, 'm', 3, 1, 'user', 'final', 1, 0, 0, 0, 7, 0, 0, 0, '{}', ?1)",
            [TEXT],
        )
        .unwrap();
        let terms = IndexedTerms::new(&Terms::of("water wave", Tokenizer::Words), 1, 1);
        terms.add(&db, 1).unwrap();
        db.execute(
            "INSERT INTO search_messages (message_pk, shard, thread_pk, seq, created_at, digest) VALUES (1, 1, 1, 3, 7, ?1)",
            [terms.digest()],
        )
        .unwrap();
        db
    }

    #[test]
    fn only_a_message_that_changed_since_it_was_indexed_is_written() {
        let refreshed = |change: &str| {
            let db = indexed_message();
            db.execute_batch(change).unwrap();
            let before = db.total_changes();
            refresh(&db, 1, Some(Tokenizer::Words), true).unwrap();
            let entries: i64 =
                db.query_row("SELECT count(*) FROM search_messages", [], |row| row.get(0)).unwrap();
            (db.total_changes() > before, entries)
        };
        assert_eq!(refreshed(""), (false, 1));
        assert_eq!(refreshed("UPDATE messages SET metadata = '{\"a\":1}'"), (false, 1));
        for change in [
            "UPDATE messages SET content = '[]'",
            "UPDATE messages SET content = content",
            "UPDATE messages SET seq = 4",
            "UPDATE messages SET seq = NULL",
            "UPDATE messages SET created_at = 8",
            "UPDATE messages SET state = 'deleted'",
            "UPDATE messages SET thread_pk = 2",
            "UPDATE threads SET floor = 3",
            "UPDATE threads SET deleted = 1",
            "DELETE FROM messages",
        ] {
            assert_eq!(refreshed(change), (true, 0), "{change}");
        }
    }

    #[test]
    fn an_entry_is_removed_from_an_index_that_is_not_kept() {
        let db = indexed_message();
        refresh(&db, 1, Some(Tokenizer::Words), false).unwrap();
        let entries: i64 =
            db.query_row("SELECT count(*) FROM search_messages", [], |row| row.get(0)).unwrap();
        assert_eq!(entries, 0);
    }
}
