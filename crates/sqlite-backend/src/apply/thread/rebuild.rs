//! An entry made of the messages.

use rusqlite::params;
use throughline_core::{
    Labels, OwnerId, Seq, ThreadId, Timestamp,
    backend::{Tally, ThreadFacts, rules},
};

use super::change::write_labels;
use crate::{
    apply::{Applied, Failure, Scope},
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
    let counts = readable.as_ref().map(|entry| entry.tally.messages);
    let mut entry = match readable {
        Some(entry) => entry,
        None => of_labels(scope, thread_pk, head.gone_at)?,
    };
    let begun = entry.created_at.max(Timestamp::from_micros(head.gone_at));
    let mut counted = Counted::of(scope, thread, (thread_pk, head.floor), begun)?;
    if counts != Some(counted.tally.messages) || !counted.is_in_order {
        // A segment may be lost as a whole, with its messages.
        find_order_anew(scope, thread)?;
        counted = Counted::of(scope, thread, (thread_pk, head.floor), begun)?;
    }
    let Counted { tally, first, .. } = counted;
    entry.tally = tally;
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

/// Counts the settled messages of a thread again, of those that can be read. Its summary and its head can be read.
pub(in crate::apply) fn recount(scope: Scope<'_>, thread: &ThreadId) -> Applied<()> {
    let Some((thread_pk, head, created_at)) = scope
        .living(thread)?
        .map(|state| Ok::<_, Failure>((state.thread_pk, state.head, state.entry(thread)?.created_at)))
        .transpose()?
    else {
        return Ok(());
    };
    let begun = created_at.max(Timestamp::from_micros(head.gone_at));
    let Counted { tally, .. } = Counted::of(scope, thread, (thread_pk, head.floor), begun)?;
    if let Some(mut state) = scope.living(thread)? {
        state.entry_mut(thread)?.tally = tally;
    }
    Ok(())
}

/// What the settled messages of a thread come to.
struct Counted {
    tally: Tally,
    /// When the first of them was made.
    first: Option<Timestamp>,
    /// Whether they were met in the order of their places.
    is_in_order: bool,
}

impl Counted {
    fn of(
        scope: Scope<'_>,
        thread: &ThreadId,
        (thread_pk, floor): (i64, i64),
        begun: Timestamp,
    ) -> Applied<Self> {
        let mut statement = scope.db.prepare_cached(SETTLED)?;
        let mut rows = statement.query(params![thread_pk, floor])?;
        let mut counted = Self { tally: Tally::new(begun), first: None, is_in_order: true };
        let mut last = Seq::ZERO;
        while let Some(row) = rows.next()? {
            // One that cannot be read is named where it is read, and hides no other.
            let Ok(Record { message, .. }) = Record::read(row, scope.tenant, thread) else { continue };
            counted.first.get_or_insert(message.created_at);
            counted.tally.settled(&message);
            counted.is_in_order &= last < message.seq;
            last = message.seq;
        }
        Ok(counted)
    }
}

/// Finds out anew in which segments the messages of a thread lie, where what says so is damaged.
pub(super) fn mend_order(scope: Scope<'_>, thread: &ThreadId) -> Applied<()> {
    let Some((thread_pk, head)) = scope.thread(thread)?.map(|state| (state.thread_pk, state.head)) else {
        return Ok(());
    };
    if ThreadSegment::are_whole(scope.db, thread_pk, (0, i64::MAX), head.last_segment)? {
        return Ok(());
    }
    find_order_anew(scope, thread)
}

fn find_order_anew(scope: Scope<'_>, thread: &ThreadId) -> Applied<()> {
    if let Some(mut state) = scope.thread(thread)? {
        state.head_mut().last_segment = ThreadSegment::mend(scope.db, state.thread_pk)?;
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
