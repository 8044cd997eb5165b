//! The end of a message: what was said is erased, the id stays dead.

use rusqlite::params;
use throughline_core::{Delete, Deleted, backend::rules};

use super::{
    Applied, Scope,
    row::{clear_appends, find_or_refuse},
};
use crate::record::{DELETED, number};

pub(super) fn delete(scope: Scope<'_>, delete: &Delete) -> Applied<Deleted> {
    let record = find_or_refuse(scope, &delete.thread, &delete.id)?;
    rules::expect_revision(delete.expected, record.message.revision)
        .map_err(|error| error.about(&delete.thread, &delete.id))?;
    clear_appends(scope.db, &record)?;
    scope
        .db
        .prepare_cached(
            "UPDATE messages SET seq = NULL, state = ?2, appends = 0, last_append = NULL, content_bytes = 0, tail = 0, \
             lease_ms = NULL, lease_expires_at = NULL, position = ?3, checksum = 0, metadata = '{}', attachments = NULL, \
             abandon_reason = NULL, content = '[]' WHERE message_pk = ?1",
        )?
        .execute(params![record.message_pk, DELETED, scope.position])?;
    scope
        .db
        .prepare_cached(
            "UPDATE threads SET deleted_seq = ?3 WHERE tenant = ?1 AND thread = ?2 AND deleted_seq < ?3",
        )?
        .execute(params![scope.tenant.as_str(), delete.thread.as_str(), number(record.message.seq.get())])?;
    let message = record.message;
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
