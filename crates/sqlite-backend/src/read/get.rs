use throughline_core::{GetMessage, Message, Result};

use crate::record::{Columns as _, DELETED, Damage, Record};

use super::{
    Scope,
    rows::{Answer, answer},
};

pub(super) const GET: &str = answer!(
    "found AS MATERIALIZED (SELECT m.message_pk FROM threads t JOIN messages m ON m.thread_pk = t.thread_pk \
     WHERE t.tenant = ?1 AND t.thread = ?2 AND m.message_id = ?3)",
    "NULL",
    ""
);

/// Reads one message.
pub(super) fn get(scope: Scope<'_>, read: &GetMessage) -> Result<Option<Message>> {
    let GetMessage { thread, id } = read;
    let parameters = [scope.tenant.as_str(), thread.as_str(), id.as_str()];
    let answer = Answer::read(scope, GET, parameters, |row| {
        if row.text(2) != Some(id.as_str().as_bytes()) {
            // The index led to another row: what that one says, or that it was deleted, is not about this message.
            return Err(Damage { id: Some(id.clone()), seq: None });
        }
        // What a deleted message leaves has no place, and says so: a row that has lost its place is damage.
        if row.is_null(3) && row.text(5) == Some(DELETED.as_bytes()) {
            return Ok(None);
        }
        Record::read(row, scope.tenant, thread).map(Some)
    });
    let Answer { messages, mut pieces, .. } = answer?;
    match messages.into_iter().next() {
        Some(Ok(Some(record))) => pieces.complete(record).map(Some),
        Some(Ok(None)) | None => Ok(None),
        Some(Err(damage)) => Err(damage.into_error(thread)),
    }
}
