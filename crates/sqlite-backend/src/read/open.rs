use rusqlite::{Row, ToSql, params};
use throughline_core::{
    Message, MessageId, Result, ThreadId,
    backend::{AnswerBytes, rules},
    messages::{ListOpen, OpenCursor, OpenReservations},
};

use super::{
    Scope,
    find_enough::find_enough,
    page_window::{Order, PageWindow},
    rows::{Answer, SEQ, THREAD, answer, placed},
    thread::{nameless, thread_id},
};
use crate::record::{Columns as _, Damage, number};

/// The conditions of both lists: after the cursor, and expired if requested. `called` is the id of the thread as stored
/// text.
macro_rules! list {
    ($from:literal) => {
        answer!(
            concat!(
                "found AS MATERIALIZED (SELECT m.message_pk, m.seq, CAST(t.thread AS TEXT) AS called ",
                $from,
                " AND m.seq > t.floor AND (called, m.seq) > (?2, ?3) \
                 AND (NOT ?4 OR m.lease_expires_at IS NULL OR m.lease_expires_at <= ?5) \
                 ORDER BY called, m.seq LIMIT ?6)"
            ),
            "",
            "f.called",
            "f.seq"
        )
    };
}

/// The open messages of all threads of the tenant. Few messages are open and threads are many, so the query begins with
/// the open messages.
pub(super) const OF_TENANT: &str = list!(
    "FROM messages m INDEXED BY messages_open CROSS JOIN threads t ON t.thread_pk = m.thread_pk \
     WHERE m.state IN ('reserved', 'streaming') AND t.tenant = ?1"
);

/// The open messages of one thread.
pub(super) const OF_THREAD: &str = list!(
    "FROM threads t CROSS JOIN messages m INDEXED BY messages_open ON m.thread_pk = t.thread_pk \
     WHERE m.state IN ('reserved', 'streaming') AND t.tenant = ?1 AND t.thread = ?7"
);

/// An open message with its thread, or the stored bytes if the id of the thread cannot be read.
type Found = Result<(ThreadId, Result<Message, Damage>), (Option<Vec<u8>>, Damage)>;

/// Lists the open messages.
pub(super) fn open(scope: Scope<'_>, read: &ListOpen) -> Result<OpenReservations> {
    rules::check_page(read.limit, read.max_bytes)?;
    let (after_thread, after_seq) = match &read.after {
        Some(after) => (after.thread.as_str(), number(after.seq.get())),
        None => ("", 0),
    };
    let (tenant, now) = (scope.tenant.as_str(), scope.now.as_micros());
    let thread = read.thread.as_ref().map(ThreadId::as_str);
    let sql = if thread.is_some() { OF_THREAD } else { OF_TENANT };
    let (found, is_truncated) = find_enough(read.limit, Found::is_ok, |row_limit| {
        let of_tenant = params![tenant, after_thread, after_seq, read.expired_only, now, row_limit];
        let mut parameters = Vec::with_capacity(7);
        parameters.extend_from_slice(of_tenant);
        parameters.extend(thread.as_ref().map(|thread| thread as &dyn ToSql));
        let mut bytes = AnswerBytes::new(read.max_bytes);
        let answer = Answer::read(scope, sql, &parameters[..], |row| found(scope, row, &mut bytes))?;
        Ok((answer.messages, answer.is_truncated))
    })?;
    let (mut rows, mut unnamed) = (Vec::with_capacity(found.len()), Vec::new());
    for found in found {
        match found {
            Ok((thread, message)) => rows.push(message.map_err(|damage| damage.of(&thread))),
            Err(found) => unnamed.push(found),
        }
    }
    let order = Order {
        key: |thread: &ThreadId, seq| OpenCursor { thread: thread.clone(), seq },
        is_asked_for: |key: &OpenCursor| read.after.as_ref().is_none_or(|after| key > after),
        is_forward: true,
        limit: read.limit,
        is_truncated,
    };
    let page_window = PageWindow::of(rows, &order)?;
    let next = if page_window.has_more { page_window.ends().map(|(_, last)| last.clone()) } else { None };
    // A damaged row without a name has no position. The page that covers its neighbors reports it, and the last page
    // reports those before the cursor too.
    if let Some(OpenCursor { thread, seq }) = &next {
        let end = (Some(thread.as_str().as_bytes()), Some(number(seq.get())));
        unnamed.retain(|(called, damage)| (called.as_deref(), damage.seq) < end);
    }
    let (messages, mut damaged) = page_window.into_parts();
    if !unnamed.is_empty() {
        damaged.extend(unnamed.into_iter().map(|(_, damage)| damage.of(&nameless())));
        damaged.sort_unstable();
    }
    Ok(OpenReservations { messages, damaged, next })
}

fn found(scope: Scope<'_>, row: &Row<'_>, bytes: &mut AnswerBytes) -> rusqlite::Result<Option<Found>> {
    let Some(thread) = thread_id(row, THREAD) else {
        let id = row.text(2).and_then(|text| MessageId::new(str::from_utf8(text).ok()?).ok());
        let damage = Damage { id, seq: row.integer(SEQ) };
        return Ok(Some(Err((row.text(THREAD).map(<[u8]>::to_vec), damage))));
    };
    Ok(placed(scope, row, &thread, bytes)?.map(|message| Ok((thread, message))))
}
