//! The end of a thread, and of everything in it.

use rusqlite::params;
use throughline_core::{
    AttachmentKey, ClearThread, ErrorKind, Happened, PurgeThread, Purged, Seq, ThreadDeleted, ThreadId,
    backend::rules,
};

use super::{change::FORGET_LABELS, existing, rebuild::mend_order};
use crate::{
    apply::{Applied, Scope, delete::erase, refusal, row::clear_appends_of, session, threads::ThreadState},
    record::{ThreadSegment, by_place, messages_behind},
};

pub(super) fn clear(scope: Scope<'_>, clear: &ClearThread) -> Applied<()> {
    let thread = &clear.thread;
    let mut state = existing(scope, thread)?;
    rules::expect_generation(clear.expected, state.generation())?;
    state.expect_ordered(thread)?;
    let has_rows = has_rows(scope, &state, state.head.floor)?;
    let entry = state.entry_mut(thread)?;
    entry.changed(scope.now);
    let active_at = entry.tally.active_at.as_micros();
    entry.tally.cleared();
    let last_seq = state.last_seq;
    let head = state.head_mut();
    head.generation += 1;
    head.floor = last_seq;
    head.gone_at = head.gone_at.max(active_at);
    if has_rows && !state.head.purgeable {
        state.set_purgeable(true);
    }
    let through = Seq::new(u64::try_from(last_seq).unwrap_or_default());
    let what = Happened::ThreadCleared { generation: state.generation(), through };
    scope.tell(scope.take_position(), state.thread_pk, &what)
}

pub(super) fn delete(scope: Scope<'_>, thread: &ThreadId) -> Applied<ThreadDeleted> {
    mend_order(scope, thread)?;
    let Some(mut state) = scope.thread(thread)? else { return Err(rules::no_such_thread(thread).into()) };
    let already = state.head.deleted;
    if !already {
        // The entry goes with everything else, also one that is damaged.
        let has_rows = has_rows(scope, &state, 0)? || session::has_rows(scope, state.thread_pk)?;
        let last_seq = state.last_seq;
        let head = state.head_mut();
        head.deleted = true;
        head.floor = last_seq;
        if has_rows != state.head.purgeable {
            state.set_purgeable(has_rows);
        }
        state.set_entry(None);
        scope.db.prepare_cached(FORGET_LABELS)?.execute([state.thread_pk])?;
        scope.db.prepare_cached("DELETE FROM catalogue WHERE thread_pk = ?1")?.execute([state.thread_pk])?;
        scope.tell(scope.take_position(), state.thread_pk, &Happened::ThreadDeleted)?;
    }
    Ok(ThreadDeleted { thread: thread.clone(), already, deduplicated: false })
}

/// Whether a thread has messages above a place, or names of messages; it may, where that is not known.
fn has_rows(scope: Scope<'_>, state: &ThreadState, floor: i64) -> rusqlite::Result<bool> {
    let thread_pk = state.thread_pk;
    if !ThreadSegment::are_whole(scope.db, thread_pk, (floor, i64::MAX), state.head.last_segment)? {
        return Ok(true);
    }
    const HAS_ROWS: &str = concat!(
        "SELECT EXISTS (SELECT 1 FROM ",
        messages_behind!("?1", "?2"),
        ") OR EXISTS (SELECT 1 FROM aliases WHERE thread_pk = ?1)"
    );
    scope.db.prepare_cached(HAS_ROWS)?.query_row(params![thread_pk, floor], |row| row.get(0))
}

/// Rows that nobody is shown any more, the oldest first.
pub(crate) const PURGEABLE_ROWS: &str = concat!(
    "SELECT m.message_pk, m.seq, m.appends, m.last_append, m.attachments FROM ",
    messages_behind!("?1", "0", "<= ?2"),
    by_place!("ASC"),
    " LIMIT ?3"
);

pub(super) fn purge(scope: Scope<'_>, purge: &PurgeThread) -> Applied<Purged> {
    let thread = &purge.thread;
    // Nobody else can, of a thread that was deleted, and what is to be erased is to be found.
    mend_order(scope, thread)?;
    let Some(mut state) = scope.thread(thread)? else { return Err(rules::no_such_thread(thread).into()) };
    let mut purged = Purged {
        thread: thread.clone(),
        messages: 0,
        attachments: Vec::new(),
        more: false,
        deduplicated: false,
    };
    if !state.head.purgeable {
        return Ok(purged);
    }
    let mut gone = Vec::new();
    {
        let mut statement = scope.db.prepare_cached(PURGEABLE_ROWS)?;
        let mut rows =
            statement.query(params![state.thread_pk, state.head.floor, i64::from(purge.limit) + 1])?;
        while let Some(row) = rows.next()? {
            gone.push(Gone {
                message_pk: row.get(0)?,
                seq: row.get(1)?,
                appends: row.get(2)?,
                last_append: row.get(3)?,
                attachments: row.get(4)?,
            });
        }
    }
    purged.more = gone.len() > purge.limit as usize;
    gone.truncate(purge.limit as usize);
    let position = scope.position.get();
    for row in &gone {
        purged.attachments.extend(row.attachments(thread)?);
    }
    for row in &gone {
        clear_appends_of(scope.db, row.message_pk, row.appends, row.last_append)?;
        // Its id stays dead.
        erase(scope.db, row.message_pk, position)?;
    }
    purged.messages = gone.len() as u64;
    if let Some(last) = gone.last() {
        let head = state.head_mut();
        head.deleted_seq = head.deleted_seq.max(last.seq);
        ThreadSegment::forget_empty(scope.db, state.thread_pk, (0, last.seq))?;
    }
    if !purged.more && state.head.deleted {
        purged.more = session::purge(scope, state.thread_pk, purge.limit)?;
    }
    if !purged.more {
        // Everything that an earlier generation knew its messages by, once they are gone.
        let kept = if state.head.deleted { i64::MAX } else { state.head.generation };
        let limit = i64::from(purge.limit);
        let forgotten =
            scope.db.prepare_cached(FORGET_ALIASES)?.execute(params![state.thread_pk, kept, limit])?;
        purged.more = forgotten as u64 == u64::from(purge.limit);
    }
    if !purged.more {
        state.set_purgeable(false);
    }
    Ok(purged)
}

/// So many names of earlier generations.
pub(crate) const FORGET_ALIASES: &str = "DELETE FROM aliases WHERE alias_pk IN \
    (SELECT alias_pk FROM aliases WHERE thread_pk = ?1 AND generation < ?2 LIMIT ?3)";

/// A row that is to be erased.
struct Gone {
    message_pk: i64,
    seq: i64,
    appends: i64,
    last_append: Option<i64>,
    attachments: Option<String>,
}

impl Gone {
    fn attachments(&self, thread: &ThreadId) -> Applied<Vec<AttachmentKey>> {
        let Some(json) = &self.attachments else { return Ok(Vec::new()) };
        serde_json::from_str(json).map_err(|_| {
            let detail = format!(
                "the attachments of the message of seq {} in the thread `{thread}` are damaged",
                self.seq
            );
            refusal(ErrorKind::Corrupt, detail).into()
        })
    }
}
