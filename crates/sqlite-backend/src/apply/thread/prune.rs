//! The oldest messages of a thread.

use rusqlite::params;
use throughline_core::{Happened, PruneThread, Pruned, Seq, backend::rules};

use super::existing;
use crate::{
    apply::{Applied, Scope, delete::erase, threads::order_is_damaged},
    record::{Record, ThreadSegment, by_place, message_columns, messages_behind, number},
};

/// The oldest messages up to a place, and not beyond the first open one.
pub(crate) const OLDEST: &str = concat!(
    "SELECT 0, ",
    message_columns!(),
    " FROM ",
    messages_behind!("?1", "?2", "<= ?3"),
    " AND m.seq < coalesce((SELECT o.seq FROM messages o WHERE o.thread_pk = ?1 AND o.seq > ?2 \
     AND o.state IN ('reserved', 'streaming') ORDER BY o.seq LIMIT 1), 9223372036854775807)",
    by_place!("ASC"),
    " LIMIT ?4"
);

pub(super) fn prune(scope: Scope<'_>, prune: &PruneThread) -> Applied<Pruned> {
    let thread = &prune.thread;
    let (thread_pk, head) = {
        let state = existing(scope, thread)?;
        rules::expect_generation(Some(prune.generation), state.generation())?;
        state.entry(thread)?;
        (state.thread_pk, state.head)
    };
    let floor = head.floor;
    let places = (floor, number(prune.through.get()));
    if !ThreadSegment::are_whole(scope.db, thread_pk, places, head.last_segment)? {
        return Err(order_is_damaged(thread).into());
    }
    let mut gone = Vec::new();
    {
        let mut statement = scope.db.prepare_cached(OLDEST)?;
        let limit = i64::from(prune.limit) + 1;
        let mut rows = statement.query(params![thread_pk, floor, number(prune.through.get()), limit])?;
        while let Some(row) = rows.next()? {
            // A damaged row is not taken for one that may go: it is the host's to decide.
            gone.push(Record::read(row, scope.tenant, thread).map_err(|damage| damage.into_error(thread))?);
        }
    }
    let more = gone.len() > prune.limit as usize;
    gone.truncate(prune.limit as usize);
    let mut pruned = Pruned {
        thread: thread.clone(),
        messages: gone.len() as u64,
        bytes: 0,
        attachments: Vec::new(),
        more,
        deduplicated: false,
    };
    let Some(through) = gone.last().map(|record| record.message.seq) else { return Ok(pruned) };
    let position = scope.take_position();
    for Record { message_pk, message, length, .. } in &gone {
        pruned.bytes += length.bytes;
        pruned.attachments.extend(message.attachments.iter().cloned());
        erase(scope.db, *message_pk, position)?;
    }
    ThreadSegment::forget_empty(scope.db, thread_pk, (floor, number(through.get())))?;
    let mut state = existing(scope, thread)?;
    for record in &gone {
        state.uncount(scope, &record.message, record.length.bytes)?;
    }
    state.entry_mut(thread)?.changed(scope.now);
    scope.tell(position, thread_pk, &Happened::ThreadPruned { through: Seq::new(through.get()) })?;
    Ok(pruned)
}
