use rusqlite::params;
use throughline_core::{Message, MessageId, Result, ThreadId, messages::GetMessage};

use crate::record::{Columns as _, DELETED, Damage, Record};

use super::{
    Scope,
    rows::{Answer, answer, whole},
    thread::{Known, living},
};

pub(super) const GET: &str = answer!(
    "found AS MATERIALIZED (SELECT m.message_pk FROM messages m WHERE m.message_id = ?2 AND m.thread_pk = ?1)",
    "",
    "NULL",
    "NULL"
);

/// Reads one message.
pub(super) fn get(scope: Scope<'_>, read: &GetMessage) -> Result<Option<Message>> {
    let GetMessage { thread, id } = read;
    find(scope, thread, id, |record| whole(scope.db, record))
}

/// Finds the row of a message, and reads the message from it.
pub(super) fn find<T>(
    scope: Scope<'_>,
    thread: &ThreadId,
    id: &MessageId,
    read: impl Fn(Record) -> rusqlite::Result<Result<T, Damage>>,
) -> Result<Option<T>> {
    let Some(Known { thread_pk, head }) = living(scope, thread)? else { return Ok(None) };
    let parameters = params![thread_pk, id.as_str()];
    let Answer { messages, .. } = Answer::read(scope, GET, parameters, |row| {
        if row.text(2) != Some(id.as_str().as_bytes()) {
            // The index led to another row: its contents or its deletion say nothing about this message.
            return Ok(Some(Err(Damage { id: Some(id.clone()), seq: None })));
        }
        // A tombstone has no sequence number, and its state says so. Any other row without a sequence number is
        // damaged.
        if row.is_null(3) && row.text(5) == Some(DELETED.as_bytes()) {
            return Ok(Some(Ok(None)));
        }
        if row.integer(3).is_some_and(|seq| seq <= head.floor) {
            // The message was removed when the thread was cleared.
            return Ok(Some(Ok(None)));
        }
        let read = match Record::read(row, scope.tenant, thread) {
            Ok(record) => read(record)?,
            Err(damage) => Err(damage),
        };
        Ok(Some(read.map(Some)))
    })?;
    messages.into_iter().next().unwrap_or(Ok(None)).map_err(|damage: Damage| damage.into_error(thread))
}
