//! The end of a message: what was said is erased, the id stays dead.

use rusqlite::{Connection, params};
use throughline_core::{Delete, Deleted, Happened, TakeLastMessage, TakenMessage, backend::rules};

use super::{
    Applied, Failure, Scope, repair,
    row::{clear_appends, find_or_refuse, last_in_order, message},
    threads::changed,
};
use crate::record::{DELETED, Record, ThreadSegment, number};

pub(super) fn delete(scope: Scope<'_>, delete: &Delete) -> Applied<Deleted> {
    if delete.only_damaged {
        return repair::delete_damaged(scope, delete);
    }
    let record = find_or_refuse(scope, &delete.thread, &delete.id)?;
    rules::expect_revision(delete.expected, record.message.revision)
        .map_err(|error| error.about(&delete.thread, &delete.id))?;
    let Some(mut state) = scope.living(&delete.thread)? else {
        return Err(rules::no_such_thread(&delete.thread).into());
    };
    // Before anything is changed.
    state.expect_last(&delete.thread, delete.after).map_err(|failure| match failure {
        Failure::Refused(error) => error.about(&delete.thread, &delete.id).into(),
        failure @ Failure::Engine(_) => failure,
    })?;
    state.entry_mut(&delete.thread)?.changed(scope.now);
    let position = scope.take_position();
    clear_appends(scope.db, &record)?;
    erase(scope.db, record.message_pk, position)?;
    let seq = number(record.message.seq.get());
    ThreadSegment::forget_empty(scope.db, state.thread_pk, (seq, seq))?;
    state.uncount(scope, &record.message, record.length.bytes)?;
    scope.tell(position, state.thread_pk, &Happened::Deleted(changed(&record.message)))?;
    let Record { message, .. } = record;
    Ok(Deleted {
        thread: message.thread,
        id: message.id,
        seq: message.seq,
        revision: message.revision,
        state: message.state,
        attachments: message.attachments,
        deduplicated: false,
    })
}

/// Deletes the last message of a thread, and answers it as it was.
pub(super) fn take_last(scope: Scope<'_>, take: &TakeLastMessage) -> Applied<TakenMessage> {
    let thread = take.thread.clone();
    let (thread_pk, floor) = match scope.living(&thread)? {
        Some(state) => {
            state.expect_ordered(&thread)?;
            (state.thread_pk, state.head.floor)
        }
        None => return Err(rules::no_such_thread(&thread).into()),
    };
    let last = last_in_order(scope, &thread, (thread_pk, floor))?;
    rules::expect_last_message(take.expected, last.as_ref().map(|(_, seq)| *seq))?;
    let Some((id, _)) = last else {
        return Ok(TakenMessage { thread, deleted: None, message: None, deduplicated: false });
    };
    let message = message(scope, find_or_refuse(scope, &thread, &id)?)?;
    let deleted = delete(scope, &Delete::new(thread.clone(), id))?;
    Ok(TakenMessage { thread, deleted: Some(deleted), message: Some(message), deduplicated: false })
}

/// Takes everything out of a row that was said. Its pieces have gone before.
pub(super) fn erase(db: &Connection, message_pk: i64, position: i64) -> rusqlite::Result<()> {
    db.prepare_cached(
        "UPDATE messages SET seq = NULL, state = ?2, appends = 0, last_append = NULL, content_bytes = 0, tail = 0, \
         lease_ms = NULL, lease_expires_at = NULL, position = ?3, checksum = 0, metadata = '{}', attachments = NULL, \
         abandon_reason = NULL, content = '[]' WHERE message_pk = ?1",
    )?
    .execute(params![message_pk, DELETED, position])?;
    Ok(())
}
