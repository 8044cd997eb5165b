use rusqlite::{ToSql, params};
use throughline_core::{
    ErrorKind, ListOpen, OpenCursor, OpenReservations, PersistError, Result, ThreadId, backend::rules,
};

use super::{
    Scope,
    rows::{Answer, answer},
    stretch::{Order, Stretch},
};
use crate::record::{Columns as _, Record, number};

/// The column that holds the thread of a message.
const THREAD: usize = 21;

/// What both lists ask of a message: after the cursor, and expired if that is asked.
macro_rules! list {
    ($from:literal) => {
        answer!(
            concat!(
                "found AS MATERIALIZED (SELECT m.message_pk, t.thread ",
                $from,
                " AND m.seq > t.floor AND (t.thread, m.seq) > (?2, ?3) \
                 AND (NOT ?4 OR m.lease_expires_at IS NULL OR m.lease_expires_at <= ?5) \
                 ORDER BY t.thread, m.seq LIMIT ?6)"
            ),
            "f.thread",
            ""
        )
    };
}

/// Of every thread of the tenant. Few messages are open, and threads are many: it begins at the open messages.
pub(super) const OF_TENANT: &str = list!(
    "FROM messages m INDEXED BY messages_open CROSS JOIN threads t ON t.thread_pk = m.thread_pk \
     WHERE m.state IN ('reserved', 'streaming') AND t.tenant = ?1"
);

/// Of one thread.
pub(super) const OF_THREAD: &str = list!(
    "FROM threads t CROSS JOIN messages m INDEXED BY messages_open ON m.thread_pk = t.thread_pk \
     WHERE m.state IN ('reserved', 'streaming') AND t.tenant = ?1 AND t.thread = ?7"
);

/// Lists the open messages.
pub(super) fn open(scope: Scope<'_>, read: &ListOpen) -> Result<OpenReservations> {
    rules::check_limit(read.limit)?;
    let (after_thread, after_seq) = match &read.after {
        Some(after) => (after.thread.as_str(), number(after.seq.get())),
        None => ("", 0),
    };
    let (tenant, now) = (scope.tenant.as_str(), scope.now.as_micros());
    let limit = i64::from(read.limit) + 1;
    let of_tenant = params![tenant, after_thread, after_seq, read.expired_only, now, limit];
    let thread = read.thread.as_ref().map(ThreadId::as_str);
    let mut parameters = Vec::with_capacity(7);
    parameters.extend_from_slice(of_tenant);
    parameters.extend(thread.as_ref().map(|thread| thread as &dyn ToSql));
    let sql = if thread.is_some() { OF_THREAD } else { OF_TENANT };
    let Answer { messages: found, mut pieces, .. } = Answer::read(scope, sql, &parameters[..], |row| {
        let thread = row.text(THREAD).and_then(|text| ThreadId::new(str::from_utf8(text).ok()?).ok())?;
        let record = Record::read(row, scope.tenant, &thread);
        Some((thread, record))
    })?;
    let mut rows = Vec::with_capacity(found.len());
    for found in found {
        let Some((thread, record)) = found else {
            return Err(PersistError::new(ErrorKind::Corrupt, "the id of a stored thread is damaged"));
        };
        let whole = record.and_then(|record| pieces.complete(record));
        rows.push(whole.map_err(|damage| damage.of(&thread)));
    }
    let order = Order {
        place: |thread: &ThreadId, seq| OpenCursor { thread: thread.clone(), seq },
        is_asked_for: |place: &OpenCursor| read.after.as_ref().is_none_or(|after| place > after),
        is_forward: true,
        limit: read.limit,
    };
    let stretch = Stretch::of(rows, &order)?;
    let next = if stretch.has_more { stretch.ends().map(|(_, last)| last.clone()) } else { None };
    let (messages, damaged) = stretch.into_parts();
    Ok(OpenReservations { messages, damaged, next })
}
