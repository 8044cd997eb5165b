use rusqlite::{Connection, OptionalExtension, params};
use throughline_core::{MessageState, TenantId, ThreadId, backend::search::words};

use crate::record::{Checksum, Columns as _, Record, message_columns};

const MESSAGE: &str = concat!(
    "SELECT 0, ",
    message_columns!(),
    ", t.tenant, t.thread, t.floor, t.deleted, m.thread_pk FROM messages m \
     JOIN threads t ON t.thread_pk = m.thread_pk WHERE m.message_pk = ?1"
);
const TENANT: usize = 21;

/// What each word of a tenant begins with in the index, so that its searches cost what its own messages say: a word of its own
/// for the tenant would be in every one of them. Always so long. Two tenants may have the same: what is found is held against the
/// row.
pub(crate) fn mark_of_tenant(tenant: &str) -> String {
    format!("{:05x}", Checksum::new().text(tenant).finish() & 0xf_ffff)
}

/// The word that stands for a thread in the index.
pub(crate) fn scope_of_thread(thread_pk: i64) -> String {
    format!("h{thread_pk}")
}

/// Brings what the index says of a message up to date. Without `adds` it only goes from there.
pub(super) fn refresh(db: &Connection, message_pk: i64, adds: bool) -> rusqlite::Result<()> {
    db.prepare_cached("DELETE FROM search WHERE rowid = ?1")?.execute([message_pk])?;
    let found = if adds { words_of(db, message_pk)? } else { None };
    if let Some((text, scope)) = found {
        db.prepare_cached("INSERT INTO search (rowid, text, scope) VALUES (?1, ?2, ?3)")?
            .execute(params![message_pk, text, scope])?;
    }
    Ok(())
}

/// The words of a text, which stand apart by a blank, each with the mark before it.
fn marked(words: &str, mark: &str) -> String {
    let mut marked = String::with_capacity(2 * words.len());
    for word in words.split(' ') {
        if !marked.is_empty() {
            marked.push(' ');
        }
        marked.push_str(mark);
        marked.push_str(word);
    }
    marked
}

/// What a message has for the index: its text, and whose it is. Nothing of one that nobody is shown, or that is damaged.
fn words_of(db: &Connection, message_pk: i64) -> rusqlite::Result<Option<(String, String)>> {
    let found = db
        .prepare_cached(MESSAGE)?
        .query_row([message_pk], |row| {
            let text = |column: usize| str::from_utf8(row.text(column)?).ok();
            let read = || {
                let tenant = TenantId::new(text(TENANT)?).ok()?;
                let thread = ThreadId::new(text(TENANT + 1)?).ok()?;
                let (floor, deleted) = (row.integer(TENANT + 2)?, row.integer(TENANT + 3)?);
                if deleted != 0 || row.integer(3)? <= floor {
                    return None;
                }
                let message = Record::read(row, &tenant, &thread).ok()?.message;
                let text = words(&message.content.plain_text(usize::MAX));
                let is_found = message.state == MessageState::Final && !text.is_empty();
                let thread = scope_of_thread(row.integer(TENANT + 4)?);
                is_found.then(|| (marked(&text, &mark_of_tenant(tenant.as_str())), thread))
            };
            Ok(read())
        })
        .optional()?;
    Ok(found.flatten())
}
