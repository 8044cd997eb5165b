//! Reads the head of a thread, with which every read of a thread begins, and the position of the store.

use rusqlite::{OptionalExtension, Row, params};
use throughline_core::{
    Effect, ErrorKind, PersistError, Position, Result, Seq, ThreadId,
    threads::{GetThread, ThreadSummary},
};

use super::Scope;
use crate::{
    error::EngineError,
    record::{Columns as _, EntryRow, Head, entry_columns, head_columns},
    writer::Progress,
};

pub(super) const HEAD: &str =
    concat!("SELECT ", head_columns!(), " FROM threads t WHERE t.tenant = ?1 AND t.thread = ?2");

/// An existing or deleted thread.
#[derive(Debug, Clone, Copy)]
pub(super) struct Known {
    pub(super) thread_pk: i64,
    pub(super) head: Head,
}

pub(super) fn corrupt(detail: String) -> PersistError {
    PersistError::new(ErrorKind::Corrupt, detail).with_effect(Effect::NotApplied)
}

/// Returns the id of a thread in a row; `None` if it is no valid id.
pub(super) fn thread_id(row: &Row<'_>, column: usize) -> Option<ThreadId> {
    ThreadId::new(str::from_utf8(row.text(column)?).ok()?).ok()
}

/// Returns the name under which a thread with an unreadable id is reported.
pub(super) fn nameless() -> ThreadId {
    ThreadId::new("?").expect("a valid id")
}

/// Returns the thread; `None` if it never existed or was deleted.
pub(super) fn living(scope: Scope<'_>, thread: &ThreadId) -> Result<Option<Known>> {
    Ok(known(scope, thread)?.filter(|known| !known.head.deleted))
}

/// Returns the thread, deleted or not; `None` if it never existed.
pub(super) fn known(scope: Scope<'_>, thread: &ThreadId) -> Result<Option<Known>> {
    let found = scope
        .db
        .prepare_cached(HEAD)
        .and_then(|mut statement| {
            let parameters = params![scope.tenant.as_str(), thread.as_str()];
            let read = |row: &Row<'_>| Ok(Head::read(row, 0, scope.tenant.as_str(), thread.as_str()));
            statement.query_row(parameters, read).optional()
        })
        .map_err(EngineError::from)?;
    match found {
        None => Ok(None),
        Some(None) => Err(corrupt(format!("the row of the thread `{thread}` is damaged"))),
        Some(Some((thread_pk, head))) => Ok(Some(Known { thread_pk, head })),
    }
}

/// The last message in the last segment of a thread.
pub(super) const LAST_SEQ: &str = "SELECT m.seq FROM thread_segments e \
    CROSS JOIN messages m ON m.segment = e.segment AND m.thread_pk = e.thread_pk \
    WHERE e.thread_pk = ?1 AND e.first_seq = ?2 AND m.seq > 0 ORDER BY m.seq DESC LIMIT 1";

/// Returns the last sequence number that a thread has assigned: that of a message in its last segment, or of a removed
/// one.
pub(super) fn last_seq(scope: Scope<'_>, thread_pk: i64, head: &Head) -> Result<Seq> {
    let found: Option<i64> = scope
        .db
        .prepare_cached(LAST_SEQ)
        .and_then(|mut statement| {
            statement.query_row(params![thread_pk, head.last_segment], |row| row.get(0)).optional()
        })
        .map_err(EngineError::from)?;
    let gone = head.deleted_seq.max(head.floor).max(head.last_segment);
    Ok(Seq::new(u64::try_from(gone.max(found.unwrap_or_default())).unwrap_or_default()))
}

/// Reads the row of the store.
pub(super) fn progress(scope: Scope<'_>) -> Result<Progress> {
    let read = scope
        .db
        .prepare_cached(Progress::SELECT)
        .and_then(|mut statement| statement.query_row([], Progress::of))
        .map_err(EngineError::from)?;
    read.ok_or_else(|| corrupt("the position of the store is damaged".to_owned()))
}

pub(super) fn position(progress: &Progress) -> Position {
    Position::new(u64::try_from(progress.position).unwrap_or_default())
}

pub(super) const ENTRY: &str = concat!("SELECT ", entry_columns!(), " FROM catalog c WHERE c.thread_pk = ?1");

/// Reads the summary of one thread.
pub(super) fn entry(scope: Scope<'_>, read: &GetThread) -> Result<Option<ThreadSummary>> {
    let thread = &read.thread;
    let Some(Known { thread_pk, head }) = living(scope, thread)? else { return Ok(None) };
    let found = scope
        .db
        .prepare_cached(ENTRY)
        .and_then(|mut statement| {
            let read = |row: &Row<'_>| Ok(EntryRow::read(row, 0, scope.tenant.as_str(), thread.as_str()));
            statement.query_row([thread_pk], read).optional()
        })
        .map_err(EngineError::from)?;
    match found.flatten() {
        Some(entry) => Ok(Some(entry.summary(scope.tenant, thread, &head))),
        None => Err(corrupt(format!("the summary of the thread `{thread}` is damaged"))),
    }
}
