//! One row of `messages`: found, written, changed.

use rusqlite::{Connection, OptionalExtension, Row, params};
use throughline_core::{Message, MessageId, PersistError, Seq, ThreadId};

use super::{Applied, Scope};
use crate::record::{
    Columns as _, Damage, Encoded, Growth, Piece, Record, append_chain, by_place, message_columns,
    messages_behind, number,
};

/// The row of a message. One that has lost its sequence number and was not deleted is found, and is damage.
pub(crate) const FIND: &str = concat!(
    "SELECT 0, ",
    message_columns!(),
    " FROM messages m WHERE m.message_id = ?2 AND m.thread_pk = ?1 \
     AND CASE WHEN m.seq IS NULL THEN m.state <> 'deleted' ELSE m.seq > ?3 END"
);

/// The pieces of a message, from its last one on.
pub(crate) const PIECES: &str = concat!(
    "WITH RECURSIVE ",
    append_chain!("SELECT ?1, ?2"),
    " SELECT 1, a.message_pk, a.n, a.kind, a.checksum, a.delta, a.append_pk, a.prev \
     FROM chain c CROSS JOIN appends a ON a.append_pk = c.append_pk AND a.message_pk = c.message_pk ORDER BY a.n"
);

/// The end of them.
pub(crate) const CLEAR: &str = concat!(
    "WITH RECURSIVE ",
    append_chain!("SELECT ?1, ?2"),
    " DELETE FROM appends WHERE append_pk IN (SELECT append_pk FROM chain) AND message_pk = ?1"
);

/// The final messages of the user, the latest first.
pub(crate) const OF_THE_USER: &str = concat!(
    "SELECT 0, ",
    message_columns!(),
    " FROM ",
    messages_behind!("?1", "?2"),
    " AND m.state = 'final' AND m.role = 'user'",
    by_place!("DESC")
);

/// The last message of a thread.
pub(crate) const LAST: &str =
    concat!("SELECT m.message_id, m.seq FROM ", messages_behind!("?1", "?2"), by_place!("DESC"), " LIMIT 1");

/// The row of a message, unless there is none.
pub(super) fn find(scope: Scope<'_>, thread: &ThreadId, id: &MessageId) -> Applied<Option<Record>> {
    let (thread_pk, floor) = match scope.thread(thread)? {
        Some(state) if !state.head.deleted => (state.thread_pk, state.head.floor),
        _ => return Ok(None),
    };
    let found = scope
        .db
        .prepare_cached(FIND)?
        .query_row(params![thread_pk, id.as_str(), floor], |row: &Row<'_>| {
            Ok(Record::read(row, scope.tenant, thread))
        })
        .optional()?;
    match found {
        Some(Ok(record)) if record.message.id == *id => Ok(Some(record)),
        // The index led to another message.
        Some(Ok(_)) => Err(Damage { id: Some(id.clone()), seq: None }.into_error(thread).into()),
        Some(Err(damage)) => Err(damage.into_error(thread).into()),
        None => Ok(None),
    }
}

/// The last message of a thread, by its id and its sequence number.
pub(super) fn last_in_order(
    scope: Scope<'_>,
    thread: &ThreadId,
    (thread_pk, floor): (i64, i64),
) -> Applied<Option<(MessageId, Seq)>> {
    let read = |row: &Row<'_>| {
        let id = row.text(0).and_then(|text| MessageId::new(str::from_utf8(text).ok()?).ok());
        let seq = row.integer(1);
        Ok(match (id, seq.and_then(|seq| u64::try_from(seq).ok())) {
            (Some(id), Some(last)) => Ok((id, Seq::new(last))),
            (id, _) => Err(Damage { id, seq }),
        })
    };
    let found = scope.db.prepare_cached(LAST)?.query_row(params![thread_pk, floor], read).optional()?;
    Ok(found.transpose().map_err(|damage| damage.into_error(thread))?)
}

/// Whether a message of this id is there, of a thread that has or had one. One that went when the thread was cleared is not,
/// although its row may still stand.
pub(super) fn is_alive(
    scope: Scope<'_>,
    thread_pk: i64,
    floor: i64,
    id: &MessageId,
) -> rusqlite::Result<Option<bool>> {
    scope
        .db
        .prepare_cached(
            "SELECT CASE WHEN seq IS NULL THEN state <> 'deleted' ELSE seq > ?3 END FROM messages \
             WHERE message_id = ?2 AND thread_pk = ?1",
        )?
        .query_row(params![thread_pk, id.as_str(), floor], |row| row.get(0))
        .optional()
}

/// The latest final message of the user in a thread that can be read, if it has one. A damaged one is named where it is read:
/// what asks here has changed something already, and cannot be refused any more.
pub(super) fn latest_of_the_user(
    scope: Scope<'_>,
    thread_pk: i64,
    floor: i64,
    thread: &ThreadId,
) -> rusqlite::Result<Option<Message>> {
    let mut statement = scope.db.prepare_cached(OF_THE_USER)?;
    let mut rows = statement.query(params![thread_pk, floor])?;
    while let Some(row) = rows.next()? {
        if let Ok(record) = Record::read(row, scope.tenant, thread) {
            return Ok(Some(record.message));
        }
    }
    Ok(None)
}

/// The row of a message that a write is about.
pub(super) fn find_or_refuse(scope: Scope<'_>, thread: &ThreadId, id: &MessageId) -> Applied<Record> {
    // Of a thread that was deleted it is said so.
    drop(scope.living(thread)?);
    find(scope, thread, id)?.ok_or_else(|| PersistError::not_found(thread, id).into())
}

/// The message as it stands: of an open one, with what was appended.
pub(super) fn message(scope: Scope<'_>, record: Record) -> Applied<Message> {
    let content = if record.message.state.is_open() {
        growth(scope, &record)?.content()
    } else {
        record.message.content.clone()
    };
    Ok(Message { content, ..record.message })
}

/// What was written to an open message so far.
pub(super) fn growth(scope: Scope<'_>, record: &Record) -> Applied<Growth> {
    let mut growth = Growth::new();
    let mut whole = true;
    if record.appends > 0 {
        let mut statement = scope.db.prepare_cached(PIECES)?;
        let mut rows = statement.query(params![record.message_pk, record.last_append])?;
        while let Some(row) = rows.next()? {
            whole = whole && growth.take(Piece::read(row)).is_some();
        }
    }
    if whole && growth.pieces() == record.appends {
        return Ok(growth);
    }
    let Message { thread, id, seq, .. } = &record.message;
    let damage = Damage { id: Some(id.clone()), seq: Some(number(seq.get())) };
    Err(damage.into_error(thread).into())
}

/// Forgets what was written to a message piece by piece.
pub(super) fn clear_appends(db: &Connection, record: &Record) -> rusqlite::Result<()> {
    clear_appends_of(db, record.message_pk, record.appends, record.last_append)
}

/// The same of a row of which no more is known.
pub(super) fn clear_appends_of(
    db: &Connection,
    message_pk: i64,
    appends: i64,
    last_append: Option<i64>,
) -> rusqlite::Result<()> {
    if appends > 0 {
        let cleared = db.prepare_cached(CLEAR)?.execute(params![message_pk, last_append])?;
        if number(cleared as u64) != appends {
            // What a broken chain does not lead to is to go all the same: it is looked for everywhere.
            db.execute("DELETE FROM appends WHERE message_pk = ?1", [message_pk])?;
        }
    }
    Ok(())
}

/// Writes what an append changes: nothing of any length.
pub(super) fn write_head(db: &Connection, record: &Record) -> rusqlite::Result<()> {
    let Encoded { lease, checksum, .. } = record.encode();
    let (lease_ms, lease_expires_at) = lease.unzip();
    let Message { revision, updated_at, .. } = &record.message;
    db.prepare_cached(
        "UPDATE messages SET revision = ?2, appends = ?3, last_append = ?4, content_bytes = ?5, tail = ?6, \
             lease_ms = ?7, lease_expires_at = ?8, updated_at = ?9, position = ?10, checksum = ?11 \
             WHERE message_pk = ?1",
    )?
    .execute(params![
        record.message_pk,
        number(revision.get()),
        record.appends,
        record.last_append,
        number(record.length.bytes),
        record.length.tail.code(),
        lease_ms,
        lease_expires_at,
        updated_at.as_micros(),
        record.position,
        checksum,
    ])?;
    Ok(())
}

/// Writes the state by itself: to set it, also to what it is, writes a page of the index of the open messages.
pub(super) fn write_state(db: &Connection, record: &Record) -> rusqlite::Result<()> {
    db.prepare_cached("UPDATE messages SET state = ?2 WHERE message_pk = ?1")?
        .execute(params![record.message_pk, record.message.state.as_str()])?;
    Ok(())
}

/// Writes what the end of a message and an edit change.
pub(super) fn write_content(scope: Scope<'_>, record: &Record) -> Applied<()> {
    write_state(scope.db, record)?;
    write_head(scope.db, record)?;
    scope
        .db
        .prepare_cached("UPDATE messages SET abandon_reason = ?2, content = ?3 WHERE message_pk = ?1")?
        .execute(params![record.message_pk, record.message.abandon_reason, record.message.content.as_json()])?;
    Ok(())
}

/// Writes what a patch changes.
pub(super) fn write_metadata(scope: Scope<'_>, record: &Record) -> Applied<()> {
    let Encoded { metadata, attachments, checksum, .. } = record.encode();
    scope
        .db
        .prepare_cached(
            "UPDATE messages SET metadata = ?2, attachments = ?3, updated_at = ?4, position = ?5, checksum = ?6 \
             WHERE message_pk = ?1",
        )?
        .execute(params![
            record.message_pk,
            metadata,
            attachments,
            record.message.updated_at.as_micros(),
            record.position,
            checksum,
        ])?;
    Ok(())
}
