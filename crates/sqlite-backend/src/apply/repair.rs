//! Repair of one damaged message: it is deleted, or overwritten with a copy.

use rusqlite::{OptionalExtension, params};
use throughline_core::{
    ChangedMessage, Delete, Deleted, ErrorKind, Happened, ImportRow, ImportedRow, Message, MessageId,
    MessageState, PersistError, Revision, Seq, ThreadId,
    backend::{Length, rules},
};

use super::{Applied, Failure, Scope, delete::erase, row, thread::recount, threads::changed};
use crate::{
    read::ENTRY,
    record::{Columns as _, Encoded, EntryRow, Record, ThreadSegment, number},
};

/// What there is under an id.
pub(super) enum Readable {
    Missing,
    /// A message that can be read, with all of its content.
    Whole,
    Damaged(DamagedRow),
}

/// The row of a message that cannot be read. Its columns are not verified; its sequence number is one that the thread can have given.
pub(super) struct DamagedRow {
    message_pk: i64,
    id: MessageId,
    seq: i64,
    revision: i64,
    state: String,
}

impl Readable {
    /// Reads a message and its appends.
    pub(super) fn find(scope: Scope<'_>, thread: &ThreadId, id: &MessageId) -> Applied<Self> {
        let read = row::find(scope, thread, id)
            .and_then(|found| found.map(|record| row::message(scope, record)).transpose());
        match read {
            Ok(None) => Ok(Self::Missing),
            Ok(Some(_)) => Ok(Self::Whole),
            // Damage of the thread's own row names no message, and is not repaired here.
            Err(Failure::Refused(error))
                if error.kind() == ErrorKind::Corrupt && error.message() == Some(id) =>
            {
                DamagedRow::find(scope, thread, id, error).map(Self::Damaged)
            }
            Err(failure) => Err(failure),
        }
    }
}

impl DamagedRow {
    /// The row that holds the id. `damage` is answered, and nothing is repaired, where an index leads to the row of another message, and
    /// where the row has lost its sequence number: with another one the message would move, or the thread would leave numbers out.
    fn find(scope: Scope<'_>, thread: &ThreadId, id: &MessageId, damage: PersistError) -> Applied<Self> {
        let Some(thread_pk) = scope.living(thread)?.map(|state| state.thread_pk) else {
            return Err(damage.into());
        };
        let found = scope
            .db
            .prepare_cached(
                "SELECT message_pk, message_id, seq, revision, state FROM messages \
                 WHERE message_id = ?2 AND thread_pk = ?1",
            )?
            .query_row(params![thread_pk, id.as_str()], |row| {
                let message_pk = row.get(0)?;
                if row.text(1) != Some(id.as_str().as_bytes()) {
                    return Ok(None);
                }
                let Some(seq) = row.integer(2) else { return Ok(None) };
                let revision = row.integer(3).unwrap_or(-1);
                let state = String::from_utf8_lossy(row.text(4).unwrap_or_default()).into_owned();
                Ok(Some(Self { message_pk, id: id.clone(), seq, revision, state }))
            })
            .optional()?;
        let Some(found) = found.flatten() else { return Err(damage.into()) };
        // Not the last number of its messages: that may be the wrong one.
        let given = scope
            .db
            .prepare_cached(ENTRY)?
            .query_row([thread_pk], |row| Ok(EntryRow::read(row, 0, scope.tenant.as_str(), thread.as_str())))
            .optional()?
            .flatten()
            .map_or(0, |entry| entry.last_seq);
        if (1..=given).contains(&found.seq) { Ok(found) } else { Err(damage.into()) }
    }

    fn seq(&self) -> Seq {
        Seq::new(u64::try_from(self.seq).unwrap_or_default())
    }

    fn revision(&self) -> Revision {
        u64::try_from(self.revision).map_or(Revision::FIRST, Revision::new)
    }

    /// Deletes its appends. What leads to them may be damaged, so they are looked for everywhere.
    fn clear_appends(&self, scope: Scope<'_>) -> rusqlite::Result<()> {
        scope.db.execute("DELETE FROM appends WHERE message_pk = ?1", [self.message_pk]).map(drop)
    }
}

/// Deletes a message that cannot be read. Its id stays dead.
pub(super) fn delete_damaged(scope: Scope<'_>, delete: &Delete) -> Applied<Deleted> {
    let (thread, id) = (&delete.thread, &delete.id);
    drop(scope.living(thread)?);
    let damaged = match Readable::find(scope, thread, id)? {
        Readable::Damaged(damaged) => damaged,
        Readable::Whole => {
            rules::expect_damaged(delete)?;
            return Err(PersistError::not_found(thread, id).into());
        }
        Readable::Missing => return Err(PersistError::not_found(thread, id).into()),
    };
    let Some(mut state) = scope.living(thread)? else {
        return Err(rules::no_such_thread(thread).into());
    };
    // Before anything is changed.
    state.expect_last(thread, delete.after)?;
    let entry = state.entry_mut(thread)?;
    entry.changed(scope.now);
    let active_at = entry.tally.active_at.as_micros();
    let head = state.head_mut();
    // Its time and its role are not known, so the thread keeps its own time, and no earlier question is shown as new.
    head.deleted_seq = head.deleted_seq.max(damaged.seq);
    head.gone_at = head.gone_at.max(active_at);
    head.gone_question = head.gone_question.max(damaged.seq);
    let thread_pk = state.thread_pk;
    drop(state);
    let position = scope.take_position();
    damaged.clear_appends(scope)?;
    erase(scope.db, damaged.message_pk, position)?;
    ThreadSegment::forget_empty(scope.db, thread_pk, (damaged.seq, damaged.seq))?;
    recount(scope, thread)?;
    let (seq, revision) = (damaged.seq(), damaged.revision());
    scope.tell(
        position,
        thread_pk,
        &Happened::Deleted(ChangedMessage { id: damaged.id.clone(), seq, revision }),
    )?;
    Ok(Deleted {
        thread: thread.clone(),
        id: damaged.id,
        seq,
        revision,
        state: MessageState::from_name(&damaged.state).unwrap_or(MessageState::Final),
        attachments: Vec::new(),
        deduplicated: false,
    })
}

/// Overwrites a message that cannot be read with a copy of it, in its place. The thread is to be counted again.
pub(super) fn restore(
    scope: Scope<'_>,
    thread: &ThreadId,
    copy: &ImportRow,
    damaged: &DamagedRow,
) -> Applied<ImportedRow> {
    let Some(thread_pk) = scope.living(thread)?.map(|state| state.thread_pk) else {
        return Err(rules::no_such_thread(thread).into());
    };
    let position = scope.take_position();
    damaged.clear_appends(scope)?;
    let message = copy.to_message(scope.tenant, thread, damaged.seq());
    let length = Length::settled(&message.content);
    let message_pk = damaged.message_pk;
    let record = Record { message_pk, message, appends: 0, last_append: None, length, position };
    overwrite(scope, &record)?;
    scope.tell(position, thread_pk, &Happened::Edited(changed(&record.message)))?;
    Ok(ImportedRow::Restored(record.message.seq))
}

/// Writes every column of a settled message but for those that say which and where it is.
fn overwrite(scope: Scope<'_>, record: &Record) -> rusqlite::Result<()> {
    let Encoded { metadata, attachments, checksum, .. } = record.encode();
    let Message { seq, role, state, revision, created_at, updated_at, abandon_reason, content, .. } =
        &record.message;
    scope
        .db
        .prepare_cached(
            "UPDATE messages SET seq = ?2, role = ?3, state = ?4, revision = ?5, appends = 0, last_append = NULL, \
             content_bytes = ?6, tail = ?7, lease_ms = NULL, lease_expires_at = NULL, created_at = ?8, \
             updated_at = ?9, position = ?10, checksum = ?11, metadata = ?12, attachments = ?13, \
             abandon_reason = ?14, content = ?15 WHERE message_pk = ?1",
        )?
        .execute(params![
            record.message_pk,
            number(seq.get()),
            role.as_str(),
            state.as_str(),
            number(revision.get()),
            number(record.length.bytes),
            record.length.tail.code(),
            created_at.as_micros(),
            updated_at.as_micros(),
            record.position,
            checksum,
            metadata,
            attachments,
            abandon_reason,
            content.as_json(),
        ])?;
    Ok(())
}
