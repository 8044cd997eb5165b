//! Plans a prune: computes the messages that it would remove.

use rusqlite::params;
use throughline_core::{
    Result, Seq,
    threads::{Generation, Keep, PlanPrune, PrunePlan},
};

use super::{
    Scope,
    page_window::disordered,
    thread::{Known, living},
};
use crate::{
    error::EngineError,
    record::{ThreadSegment, by_seq, messages_behind},
};

/// From the latest message back, for limits on the number and the size.
pub(super) const LATEST_FIRST: &str = concat!(
    "SELECT m.seq, m.state = 'final', m.content_bytes FROM ",
    messages_behind!("?1", "?2"),
    by_seq!("DESC")
);
/// From the oldest message on, for a limit on the time.
pub(super) const OLDEST_FIRST: &str =
    concat!("SELECT m.seq, m.created_at FROM ", messages_behind!("?1", "?2"), by_seq!("ASC"));
/// The messages up to a sequence number and before the first open message.
pub(super) const REMOVABLE: &str = concat!(
    "SELECT max(m.seq), count(*), coalesce(sum(m.content_bytes), 0) FROM ",
    messages_behind!("?1", "?2", "<= ?3"),
    " AND m.seq < coalesce((SELECT o.seq FROM messages o WHERE o.thread_pk = ?1 AND o.seq > ?2 \
     AND o.state IN ('reserved', 'streaming') ORDER BY o.seq LIMIT 1), 9223372036854775807)"
);

/// Computes the messages that a prune would remove.
pub(super) fn plan(scope: Scope<'_>, read: &PlanPrune) -> Result<PrunePlan> {
    let thread = read.thread.clone();
    let mut plan = PrunePlan { thread, generation: Generation::FIRST, through: None, messages: 0, bytes: 0 };
    let Some(living) = living(scope, &read.thread)? else { return Ok(plan) };
    plan.generation = living.head.generation();
    let (seqs, last) = ((living.head.floor, i64::MAX), living.head.last_segment);
    let is_ordered = ThreadSegment::are_whole(scope.db, living.thread_pk, seqs, last);
    if !is_ordered.map_err(EngineError::from)? {
        return Err(disordered());
    }
    let beyond = beyond(scope, living, &read.keep).map_err(EngineError::from)?;
    if let Some(through) = beyond {
        let parameters = params![living.thread_pk, living.head.floor, through];
        let going = scope.db.prepare_cached(REMOVABLE).and_then(|mut going| {
            going.query_row(parameters, |row| {
                Ok((row.get::<_, Option<i64>>(0)?, row.get::<_, i64>(1)?, row.get::<_, i64>(2)?))
            })
        });
        let (through, messages, bytes) = going.map_err(EngineError::from)?;
        plan.through = through.and_then(|seq| u64::try_from(seq).ok()).map(Seq::new);
        plan.messages = u64::try_from(messages).unwrap_or_default();
        plan.bytes = u64::try_from(bytes).unwrap_or_default();
    }
    Ok(plan)
}

/// Returns the last sequence number that is beyond a limit.
fn beyond(scope: Scope<'_>, living: Known, keep: &Keep) -> rusqlite::Result<Option<i64>> {
    let parameters = params![living.thread_pk, living.head.floor];
    let mut beyond = None;
    if keep.messages.is_some() || keep.bytes.is_some() {
        let mut statement = scope.db.prepare_cached(LATEST_FIRST)?;
        let mut rows = statement.query(parameters)?;
        let (mut count, mut bytes) = (0_u64, 0_u64);
        while let Some(row) = rows.next()? {
            count += u64::from(row.get::<_, bool>(1)?);
            bytes += u64::try_from(row.get::<_, i64>(2)?).unwrap_or_default();
            if keep.messages.is_some_and(|most| count > most) || keep.bytes.is_some_and(|most| bytes > most) {
                beyond = Some(row.get(0)?);
                break;
            }
        }
    }
    if let Some(since) = keep.since {
        let mut statement = scope.db.prepare_cached(OLDEST_FIRST)?;
        let mut rows = statement.query(parameters)?;
        while let Some(row) = rows.next()? {
            if row.get::<_, i64>(1)? >= since.as_micros() {
                break;
            }
            beyond = beyond.max(Some(row.get(0)?));
        }
    }
    Ok(beyond)
}
