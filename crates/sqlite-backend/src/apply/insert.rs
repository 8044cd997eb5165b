//! A new message: complete, or to come.

use rusqlite::{OptionalExtension, ffi, params};
use throughline_core::{
    Add, Added, ErrorKind, Message, MessageId, PersistError, Reserve, Reserved, Seq, ThreadId,
};

use super::{Applied, Failure, Scope, refusal};
use crate::record::{DELETED, Encoded, Length, Record, number};

/// The thread and the last place that a message of it has or had.
pub(crate) const LAST_SEQ: &str = "SELECT t.thread_pk, max(t.deleted_seq, coalesce((SELECT m.seq FROM messages m \
    WHERE m.thread_pk = t.thread_pk AND m.seq IS NOT NULL ORDER BY m.seq DESC LIMIT 1), 0)) \
    FROM threads t WHERE t.tenant = ?1 AND t.thread = ?2";

pub(super) fn add(scope: Scope<'_>, add: &Add) -> Applied<Added> {
    let message = insert(scope, &add.thread, |seq| add.to_message(scope.tenant, seq, scope.now))?;
    Ok(Added { message, deduplicated: false })
}

pub(super) fn reserve(scope: Scope<'_>, reserve: &Reserve) -> Applied<Reserved> {
    let message = insert(scope, &reserve.thread, |seq| reserve.to_message(scope.tenant, seq, scope.now))?;
    Ok(Reserved { message, deduplicated: false })
}

/// Appends the row that `make` makes of its place in the thread.
fn insert(scope: Scope<'_>, thread: &ThreadId, make: impl FnOnce(Seq) -> Message) -> Applied<Message> {
    let found = scope
        .db
        .prepare_cached(LAST_SEQ)?
        .query_row(params![scope.tenant.as_str(), thread.as_str()], |row| {
            Ok((row.get::<_, i64>(0)?, row.get::<_, i64>(1)?))
        })
        .optional()?;
    let last_seq = found.map_or(0, |(_, last_seq)| last_seq);
    let Ok(seq) = u64::try_from(last_seq) else {
        return Err(refusal(ErrorKind::Corrupt, "the last place of the thread is damaged").into());
    };
    let message = make(Seq::new(seq).next());
    let length = Length::settled(&message.content);
    let position = scope.position;
    let record = Record { message_pk: 0, message, appends: 0, last_append: None, length, position };
    match found {
        // The id is checked by the index, in the statement that uses it: nothing was changed before.
        Some((thread_pk, _)) => {
            insert_row(scope, &record, thread_pk)
                .map_err(|error| explain(scope, thread_pk, &record, error))?;
        }
        None => {
            scope
                .db
                .prepare_cached("INSERT INTO threads (tenant, thread, deleted_seq) VALUES (?1, ?2, 0)")?
                .execute(params![scope.tenant.as_str(), thread.as_str()])?;
            insert_row(scope, &record, scope.db.last_insert_rowid())?;
        }
    }
    Ok(record.message)
}

fn insert_row(scope: Scope<'_>, record: &Record, thread_pk: i64) -> rusqlite::Result<()> {
    let Encoded { metadata, attachments, lease, checksum, .. } = record.encode();
    let (lease_ms, lease_expires_at) = lease.unzip();
    let message = &record.message;
    scope
        .db
        .prepare_cached(
            "INSERT INTO messages (thread_pk, message_id, seq, role, state, revision, appends, content_bytes, tail, \
             lease_ms, lease_expires_at, created_at, updated_at, position, checksum, metadata, attachments, content) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18)",
        )?
        .execute(params![
            thread_pk,
            message.id.as_str(),
            number(message.seq.get()),
            message.role.as_str(),
            message.state.as_str(),
            number(message.revision.get()),
            record.appends,
            record.length.bytes,
            record.length.tail.code(),
            lease_ms,
            lease_expires_at,
            message.created_at.as_micros(),
            message.updated_at.as_micros(),
            record.position,
            checksum,
            metadata,
            attachments,
            message.content.as_json(),
        ])?;
    Ok(())
}

/// Says what a violated index means: the id is taken, or was, or the indexes contradict each other.
fn explain(scope: Scope<'_>, thread_pk: i64, record: &Record, error: rusqlite::Error) -> Failure {
    if error.sqlite_error().map(|failure| failure.extended_code) != Some(ffi::SQLITE_CONSTRAINT_UNIQUE) {
        return error.into();
    }
    let Message { thread, id, .. } = &record.message;
    match state_of(scope, thread_pk, id) {
        Ok(Some(state)) if state == DELETED => {
            refused(ErrorKind::Gone, "the thread had a message with this id, and it was deleted", thread, id)
        }
        Ok(Some(_)) => refused(ErrorKind::AlreadyExists, "the thread has a message with this id", thread, id),
        Ok(None) => {
            let damage = "the place after the last one of the thread is taken";
            refused(ErrorKind::Corrupt, damage, thread, id)
        }
        Err(error) => error.into(),
    }
}

fn refused(kind: ErrorKind, detail: &'static str, thread: &ThreadId, id: &MessageId) -> Failure {
    let error: PersistError = refusal(kind, detail).about(thread, id);
    error.into()
}

fn state_of(scope: Scope<'_>, thread_pk: i64, id: &MessageId) -> rusqlite::Result<Option<String>> {
    scope
        .db
        .prepare_cached("SELECT state FROM messages WHERE thread_pk = ?1 AND message_id = ?2")?
        .query_row(params![thread_pk, id.as_str()], |row| row.get(0))
        .optional()
}
