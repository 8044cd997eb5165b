use throughline_core::{
    ErrorKind, ListOpen, OpenCursor, OpenReservations, PersistError, Result, ThreadId, backend::rules,
};

use super::{
    Scope,
    rows::{Answer, answer},
};
use crate::record::{Columns as _, number};

/// The column that holds the thread of a message.
const THREAD: usize = 21;

/// What both lists ask of a message: after the cursor, and expired if that is asked.
macro_rules! list {
    ($from:literal) => {
        answer!(
            concat!(
                "found AS MATERIALIZED (SELECT m.message_pk, t.thread ",
                $from,
                " AND (t.thread, m.seq) > (?2, ?3) \
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
pub(super) async fn open(scope: Scope<'_>, read: &ListOpen) -> Result<OpenReservations> {
    rules::check_limit(read.limit)?;
    let (after_thread, after_seq) = match &read.after {
        Some(after) => (after.thread.as_str(), number(after.seq.get())),
        None => ("", 0),
    };
    let statement = sqlx::query(if read.thread.is_some() { OF_THREAD } else { OF_TENANT })
        .bind(scope.tenant.as_str().to_owned())
        .bind(after_thread.to_owned())
        .bind(after_seq)
        .bind(read.expired_only)
        .bind(scope.now.as_micros())
        .bind(i64::from(read.limit) + 1);
    let statement = match &read.thread {
        Some(thread) => statement.bind(thread.as_str().to_owned()),
        None => statement,
    };
    let mut answer = Answer::of(scope.rows(statement).await?);
    let mut rows = answer.take_messages()?;
    rows.sort_unstable_by(|a, b| (a.text(THREAD), a.integer(3)).cmp(&(b.text(THREAD), b.integer(3))));
    let limit = read.limit as usize;
    let has_more = rows.len() > limit;
    rows.truncate(limit);
    let mut messages = Vec::with_capacity(rows.len());
    for row in &rows {
        let thread = row.text(THREAD).and_then(|text| ThreadId::new(str::from_utf8(text).ok()?).ok());
        let thread = thread
            .ok_or_else(|| PersistError::new(ErrorKind::Corrupt, "the id of a stored thread is damaged"))?;
        messages.push(answer.message(row, scope.tenant, &thread)?);
    }
    let next = match messages.last() {
        Some(last) if has_more => Some(OpenCursor { thread: last.thread.clone(), seq: last.seq }),
        _ => None,
    };
    Ok(OpenReservations { messages, next })
}
