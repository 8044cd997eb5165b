//! An entry made of the messages.

use rusqlite::params;
use throughline_core::{
    Labels, OwnerId, ThreadId, Timestamp,
    backend::{Tally, ThreadFacts, rules},
};

use super::change::write_labels;
use crate::{
    apply::{Applied, Scope, threads::order_is_damaged},
    record::{Record, ThreadSegment, by_place, message_columns, messages_behind},
};

/// Every settled message of a thread.
const SETTLED: &str = concat!(
    "SELECT 0, ",
    message_columns!(),
    " FROM ",
    messages_behind!("?1", "?2"),
    " AND m.state IN ('final', 'abandoned')",
    by_place!("ASC")
);

pub(super) fn rebuild(scope: Scope<'_>, thread: &ThreadId) -> Applied<()> {
    drop(scope.living(thread)?);
    mend_order(scope, thread)?;
    let (thread_pk, head, readable) = {
        let Some(state) = scope.living(thread)? else { return Err(rules::no_such_thread(thread).into()) };
        (state.thread_pk, state.head, state.readable_entry().cloned())
    };
    let is_damaged = readable.is_none();
    let mut entry = match readable {
        Some(entry) => entry,
        None => of_labels(scope, thread_pk, head.gone_at)?,
    };
    let gone_at = Timestamp::from_micros(head.gone_at);
    let mut first = None;
    {
        let mut statement = scope.db.prepare_cached(SETTLED)?;
        let mut rows = statement.query(params![thread_pk, head.floor])?;
        let mut tally = Tally::new(entry.created_at.max(gone_at));
        while let Some(row) = rows.next()? {
            // One that cannot be read is named where it is read, and hides no other.
            let Ok(Record { message, .. }) = Record::read(row, scope.tenant, thread) else { continue };
            first.get_or_insert(message.created_at);
            tally.settled(&message);
        }
        entry.tally = tally;
    }
    if is_damaged {
        // The host's words are lost; that the thread had begun is not.
        entry.has_begun = first.is_some() || head.deleted_seq > 0 || head.floor > 0;
        entry.created_at = first.map_or(entry.created_at, |first| first.min(entry.created_at));
        entry.changed(scope.now);
    }
    if let Some(mut state) = scope.living(thread)? {
        state.set_entry(Some(entry));
    }
    if is_damaged { write_labels(scope, thread) } else { Ok(()) }
}

/// Finds out anew in which segments the messages of a thread lie, where that is damaged.
pub(super) fn mend_order(scope: Scope<'_>, thread: &ThreadId) -> Applied<()> {
    let Some(thread_pk) = scope.thread(thread)?.map(|state| state.thread_pk) else { return Ok(()) };
    if ThreadSegment::are_whole(scope.db, thread_pk, 0, i64::MAX)? {
        return Ok(());
    }
    if !ThreadSegment::mend(scope.db, thread_pk)? {
        return Err(order_is_damaged(thread).into());
    }
    // What was read of the thread was read by the damaged ones.
    scope.threads.flush(scope.db)?;
    scope.threads.forget();
    Ok(())
}

/// What is left of an entry that cannot be read: the labels stand once more in a table of their own.
fn of_labels(scope: Scope<'_>, thread_pk: i64, gone_at: i64) -> Applied<ThreadFacts> {
    let mut entry = ThreadFacts::implied(Timestamp::from_micros(gone_at));
    let mut statement = scope.db.prepare_cached("SELECT name, value FROM labels WHERE thread_pk = ?1")?;
    let mut rows = statement.query([thread_pk])?;
    let mut labels = Labels::new();
    while let Some(row) = rows.next()? {
        let (name, value): (String, String) = (row.get(0)?, row.get(1)?);
        if name.is_empty() {
            entry.owner = OwnerId::new(value).ok();
        } else if let (Ok(name), Ok(value)) = (name.parse(), value.parse()) {
            labels.set(name, value);
        }
    }
    entry.labels = labels;
    Ok(entry)
}
