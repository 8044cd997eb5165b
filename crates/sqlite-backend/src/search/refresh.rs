use rusqlite::{Connection, OptionalExtension, params};
use throughline_core::{
    MessageState, TenantId, ThreadId,
    backend::search::{MAX_COUNT, Terms, Tokenizer},
};

use super::shards;
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

/// The index entry of a message.
struct Indexed {
    tenant: TenantId,
    thread_pk: i64,
    seq: i64,
    created_at: i64,
    terms: Terms,
}

/// Updates the index entry of a message. Without a tokenizer the entry is only removed.
pub(super) fn refresh(
    db: &Connection,
    message_pk: i64,
    tokenizer: Option<Tokenizer>,
) -> rusqlite::Result<()> {
    let held: Option<(i64, i64)> = db
        .prepare_cached("SELECT shard, terms FROM search WHERE rowid = ?1")?
        .query_row([message_pk], |row| Ok((row.get(0)?, count(row.get_ref(1)?.as_str().unwrap_or_default()))))
        .optional()?;
    if let Some((shard, terms)) = held {
        db.prepare_cached("DELETE FROM search WHERE rowid = ?1")?.execute([message_pk])?;
        shards::remove(db, shard, terms)?;
    }
    let Some(tokenizer) = tokenizer else { return Ok(()) };
    let Some(message) = indexed(db, message_pk, tokenizer)? else { return Ok(()) };
    let count = i64::try_from(message.terms.len()).unwrap_or(i64::MAX);
    let shard = shards::add(db, message.tenant.as_str(), message_pk, count)?;
    let terms = written(&message.terms, &shards::prefix(shard), message.thread_pk);
    db.prepare_cached(
        "INSERT INTO search (rowid, terms, shard, seq, created_at) VALUES (?1, ?2, ?3, ?4, ?5)",
    )?
    .execute(params![message_pk, terms, shard, message.seq, message.created_at])?;
    Ok(())
}

/// Returns the terms of a message as the table holds them: those that occur most often in the first line, the term of
/// its thread in the last.
fn written(terms: &Terms, prefix: &str, thread_pk: i64) -> String {
    let mut written = String::new();
    for count in (1..=MAX_COUNT).rev() {
        for (term, _) in terms.iter().filter(|(_, of_term)| *of_term == count) {
            if !written.is_empty() && !written.ends_with('\n') {
                written.push(' ');
            }
            written.push_str(prefix);
            written.push_str(term);
        }
        written.push('\n');
    }
    written.push_str(&shards::term_of_thread(thread_pk));
    written
}

/// Returns how many terms were [written](written), without that of the thread.
fn count(written: &str) -> i64 {
    let terms = written.split_ascii_whitespace().count().saturating_sub(1);
    i64::try_from(terms).unwrap_or(i64::MAX)
}

/// Returns the index entry of a message; `None` if it is not searchable or damaged.
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
                let indexed = Indexed { tenant, thread_pk, seq, created_at, terms: Terms::default() };
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

    #[test]
    fn terms_are_written_in_the_order_of_their_frequency() {
        let terms = Terms::of("d d d d d b b a c c c e", Tokenizer::Words);
        let written = written(&terms, "1f.", 7);
        assert_eq!(written, "1f.d\n1f.c\n1f.b\n1f.a 1f.e\n.7");
        assert_eq!(count(&written), 5);
    }
}
