//! A new message: complete, or to come.

use rusqlite::params;
use throughline_core::{
    Add, Added, ErrorKind, Generation, Happened, Message, MessageId, PersistError, Reserve, Reserved, Seq,
    ThreadId,
    backend::{Length, rules},
};

use super::{
    Applied, Failure, Scope, refusal,
    row::is_alive,
    threads::{ThreadState, changed},
};
use crate::{
    error::is_taken,
    record::{Encoded, Record, ThreadSegment, number},
};

pub(super) fn add(scope: Scope<'_>, add: &Add) -> Applied<Added> {
    let make = |seq| add.to_message(scope.tenant, seq, scope.now);
    let message = insert(scope, &add.thread, (add.generation, add.after), make)?;
    Ok(Added { message, deduplicated: false })
}

pub(super) fn reserve(scope: Scope<'_>, reserve: &Reserve) -> Applied<Reserved> {
    let make = |seq| reserve.to_message(scope.tenant, seq, scope.now);
    let message = insert(scope, &reserve.thread, (reserve.generation, reserve.after), make)?;
    Ok(Reserved { message, deduplicated: false })
}

/// Appends the row that `make` makes of its place in the thread, if that is as its writer saw it.
fn insert(
    scope: Scope<'_>,
    thread: &ThreadId,
    (generation, after): (Option<Generation>, Option<Seq>),
    make: impl FnOnce(Seq) -> Message,
) -> Applied<Message> {
    let found = scope.living(thread)?;
    let is = found.as_ref().map_or(Generation::FIRST, |state| state.generation());
    rules::expect_generation(generation, is)?;
    found.as_ref().map_or(Ok(()), |state| state.expect_ordered(thread))?;
    let last_seq = found.as_ref().map_or(0, |state| state.last_seq);
    drop(found);
    let Ok(seq) = u64::try_from(last_seq) else {
        return Err(refusal(ErrorKind::Corrupt, "the last place of the thread is damaged").into());
    };
    rules::expect_last(after, Seq::new(seq))?;
    let message = make(Seq::new(seq).next());
    append(scope, message)
}

/// Appends a new message to its thread, which may begin with it.
pub(super) fn append(scope: Scope<'_>, message: Message) -> Applied<Message> {
    // Before anything is changed: a thread whose entry or order is damaged takes nothing.
    if let Some(state) = scope.living(&message.thread)? {
        state.entry(&message.thread)?;
        state.expect_ordered(&message.thread)?;
    }
    let length = Length::settled(&message.content);
    let position = scope.take_position();
    let record = Record { message_pk: 0, message, appends: 0, last_append: None, length, position };
    let message = &record.message;
    let thread_pk = {
        let mut state = scope.living_or_begun(&message.thread, message.created_at)?;
        // The id is checked by the index, in the statement that uses it: nothing was changed before.
        let segment = state.segment.unwrap_or_default().max(scope.segment_at(position));
        insert_row(scope, &record, state.thread_pk, segment)
            .map_err(|error| explain(scope, &state, &record, error))?;
        let before = std::mem::replace(&mut state.last_seq, number(message.seq.get()));
        if state.segment != Some(segment) {
            let (first_seq, previous) = (state.last_seq, state.head.last_segment);
            ThreadSegment { first_seq, segment, previous }.insert(scope.db, state.thread_pk)?;
            state.head_mut().last_segment = first_seq;
            state.segment = Some(segment);
            // Its messages may have gone while it was the last one.
            ThreadSegment::forget_empty(scope.db, state.thread_pk, (before, before))?;
        }
        if message.state.is_open() {
            // What is open is not counted. The last sequence number is written with the entry.
            state.entry_mut(&message.thread)?;
        } else {
            state.count(message)?;
        }
        state.thread_pk
    };
    let what = if message.state.is_open() { Happened::Reserved } else { Happened::Added };
    scope.tell(position, thread_pk, &what(changed(message)))?;
    Ok(record.message)
}

fn insert_row(scope: Scope<'_>, record: &Record, thread_pk: i64, segment: i64) -> rusqlite::Result<()> {
    let Encoded { metadata, attachments, lease, checksum, .. } = record.encode();
    let (lease_ms, lease_expires_at) = lease.unzip();
    let message = &record.message;
    scope
        .db
        .prepare_cached(
            "INSERT INTO messages (thread_pk, message_id, seq, segment, role, state, revision, appends, content_bytes, \
             tail, lease_ms, lease_expires_at, created_at, updated_at, position, checksum, metadata, attachments, \
             abandon_reason, content) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19, ?20)",
        )?
        .execute(params![
            thread_pk,
            message.id.as_str(),
            number(message.seq.get()),
            segment,
            message.role.as_str(),
            message.state.as_str(),
            number(message.revision.get()),
            record.appends,
            number(record.length.bytes),
            record.length.tail.code(),
            lease_ms,
            lease_expires_at,
            message.created_at.as_micros(),
            message.updated_at.as_micros(),
            record.position,
            checksum,
            metadata,
            attachments,
            message.abandon_reason,
            message.content.as_json(),
        ])?;
    Ok(())
}

/// Says what a violated index means: the id is taken, or was, or the indexes contradict each other.
fn explain(scope: Scope<'_>, state: &ThreadState, record: &Record, error: rusqlite::Error) -> Failure {
    if !is_taken(&error) {
        return error.into();
    }
    let Message { thread, id, .. } = &record.message;
    match is_alive(scope, state.thread_pk, state.head.floor, id) {
        Ok(Some(false)) => {
            refused(ErrorKind::Gone, "the thread had a message with this id, and it was deleted", thread, id)
        }
        Ok(Some(true)) => {
            refused(ErrorKind::AlreadyExists, "the thread has a message with this id", thread, id)
        }
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
