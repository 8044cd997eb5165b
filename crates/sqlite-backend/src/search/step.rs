use std::time::{Duration, Instant};

use rusqlite::{Connection, OptionalExtension, params};
use throughline_core::{backend::search::Tokenizer, changes::ChangeKind};

use super::{State, refresh::refresh, shards::term_of_thread, state::clear, vocabulary};
use crate::{
    record::{ChangeRow, change_columns},
    writer::Progress,
};

/// The duration of one step.
const SPAN: Duration = Duration::from_millis(5);

/// The largest number of messages in one step that reads changes.
const MESSAGES: i64 = 256;

const CHANGES: &str = concat!(
    "SELECT ",
    change_columns!(),
    ", m.message_pk FROM changes f LEFT JOIN messages m ON m.message_id = f.message_id AND m.thread_pk = f.thread_pk \
     WHERE f.position > ?1 ORDER BY f.position"
);
const MESSAGE_PK: usize = 8;

/// Messages of a thread that are in the index and are no longer visible.
const GONE: &str = "SELECT s.rowid FROM search s JOIN messages m ON m.message_pk = s.rowid \
    JOIN threads t ON t.thread_pk = m.thread_pk WHERE search MATCH ?1 AND m.thread_pk = ?2 \
    AND (m.seq IS NULL OR m.seq <= t.floor OR t.deleted) LIMIT ?3";

/// The result of a step.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Step {
    pub(super) wrote: bool,
    /// Whether there are more changes or messages to index.
    pub(super) more: bool,
    /// Whether shards may be missing in their vocabularies.
    pub(super) lacks_vocabularies: bool,
    /// There is no index, and none is kept.
    pub(super) is_absent: bool,
}

impl Step {
    /// Runs a step. With `makes`, it begins a rebuild of an index with another tokenizer.
    pub(super) fn take(db: &Connection, adds: bool, makes: Option<Tokenizer>) -> rusqlite::Result<Self> {
        let mut state = State::read(db)?;
        if adds && makes.is_some() && state.tokenizer != makes {
            clear(db, makes)?;
            return Ok(Self { wrote: true, more: true, ..Self::default() });
        }
        let before = state;
        let Some(progress) = db.prepare_cached(Progress::SELECT)?.query_row([], Progress::of)? else {
            return Ok(Self::default());
        };
        let is_missing_changes = state.indexed < progress.kept_after;
        if !adds {
            let has_words = has_words(db)?;
            if has_words && (state.recovered.is_some() || is_missing_changes) {
                // The removed messages are unknown. A process that keeps an index rebuilds it.
                clear(db, state.tokenizer)?;
                return Ok(Self { wrote: true, is_absent: true, ..Self::default() });
            }
            if !has_words {
                let wrote = !state.is_empty();
                if wrote {
                    clear(db, state.tokenizer)?;
                }
                return Ok(Self { wrote, is_absent: true, ..Self::default() });
            }
        }
        if adds && state.recovered.is_none() && (is_missing_changes || !state.complete) {
            // The rebuild reads every message, and later commits are in the change feed.
            state.indexed = last_change(db, progress.kept_after)?;
            (state.recovered, state.complete) = (Some(0), false);
        }
        let changes = db.total_changes();
        let mut more = match state.recovered {
            Some(recovered) => index_messages(db, &mut state, recovered)?,
            None => index_changes(db, &mut state, adds)?,
        };
        if !adds {
            state.complete = false;
        }
        let until = Instant::now() + SPAN;
        more = more || vocabulary::remove(db, until)?;
        let lacks_vocabularies = !more && vocabulary::build(db, until)?;
        if state != before {
            state.write(db)?;
        }
        // Also if it removed only some of the messages of one change, and stays before that change.
        let wrote = db.total_changes() != changes || state != before;
        Ok(Self { wrote, more, lacks_vocabularies, is_absent: false })
    }
}

/// Returns the last change in the feed. A replica also commits without the changes of its primary, and receives older
/// changes later.
fn last_change(db: &Connection, kept_after: i64) -> rusqlite::Result<i64> {
    db.prepare_cached("SELECT coalesce(max(position), ?1) FROM changes")?
        .query_row([kept_after], |row| row.get(0))
}

fn has_words(db: &Connection) -> rusqlite::Result<bool> {
    db.prepare_cached("SELECT EXISTS (SELECT 1 FROM search_messages)")?.query_row([], |row| row.get(0))
}

/// Indexes the messages after `recovered`. Returns whether there are more.
fn index_messages(db: &Connection, state: &mut State, recovered: i64) -> rusqlite::Result<bool> {
    let begun = Instant::now();
    // Only the time limits the number of messages: one that the index already has takes microseconds.
    let mut statement =
        db.prepare_cached("SELECT message_pk FROM messages WHERE message_pk > ?1 ORDER BY message_pk")?;
    let mut messages = statement.query([recovered])?;
    while let Some(message) = messages.next()? {
        let message_pk = message.get(0)?;
        refresh(db, message_pk, state.tokenizer, true)?;
        state.recovered = Some(message_pk);
        if begun.elapsed() >= SPAN {
            return Ok(true);
        }
    }
    (state.recovered, state.complete) = (None, true);
    // The changes that were committed meanwhile come next.
    Ok(true)
}

/// Indexes the changes after `indexed`. Returns whether there are more.
fn index_changes(db: &Connection, state: &mut State, adds: bool) -> rusqlite::Result<bool> {
    let begun = Instant::now();
    let mut left = MESSAGES;
    loop {
        let found = db
            .prepare_cached(CHANGES)?
            .query_row([state.indexed], |row| {
                let change = ChangeRow::read(row, 0).map(|change| (change.thread_pk, change.kind()));
                Ok((row.get::<_, i64>(0)?, change, row.get::<_, Option<i64>>(MESSAGE_PK)?))
            })
            .optional()?;
        let Some((position, change, message_pk)) = found else {
            return index_replaced(db, state, adds, left);
        };
        match (change, message_pk) {
            (Some((_, change)), Some(message_pk)) if is_about_words(&change) => {
                refresh(db, message_pk, state.tokenizer, adds)?;
                left -= 1;
            }
            (Some((thread_pk, change)), None) if takes_away(&change) => {
                let gone = gone(db, thread_pk, left)?;
                for message_pk in &gone {
                    refresh(db, *message_pk, state.tokenizer, false)?;
                }
                left -= i64::try_from(gone.len()).unwrap_or(left);
                if left <= 0 {
                    // The thread may have more of them; the next step reads it again.
                    return Ok(true);
                }
            }
            // An unreadable change may have removed something, which a search does not show in any case.
            _ => {}
        }
        state.indexed = position;
        if left <= 0 || begun.elapsed() >= SPAN {
            return Ok(true);
        }
    }
}

/// Indexes the messages whose content was replaced by a statement that left no change, such as one of a later version. A
/// complete index has none. Returns whether there are more.
fn index_replaced(db: &Connection, state: &State, adds: bool, limit: i64) -> rusqlite::Result<bool> {
    let replaced: Vec<i64> = db
        .prepare_cached("SELECT message_pk FROM search_replaced LIMIT ?1")?
        .query_map([limit], |row| row.get(0))?
        .collect::<rusqlite::Result<_>>()?;
    for message_pk in &replaced {
        refresh(db, *message_pk, state.tokenizer, adds)?;
        // Also without an entry in the index.
        db.prepare_cached("DELETE FROM search_replaced WHERE message_pk = ?1")?.execute([message_pk])?;
    }
    Ok(!replaced.is_empty())
}

const fn is_about_words(change: &ChangeKind) -> bool {
    matches!(
        change,
        ChangeKind::Added(_) | ChangeKind::Finished(_) | ChangeKind::Edited(_) | ChangeKind::Deleted(_)
    )
}

const fn takes_away(change: &ChangeKind) -> bool {
    matches!(
        change,
        ChangeKind::ThreadCleared { .. } | ChangeKind::ThreadPruned { .. } | ChangeKind::ThreadDeleted
    )
}

/// Returns these messages, at most `limit`.
pub(super) fn gone(db: &Connection, thread_pk: i64, limit: i64) -> rusqlite::Result<Vec<i64>> {
    let thread = format!("\"{}\"", term_of_thread(thread_pk));
    db.prepare_cached(GONE)?.query_map(params![thread, thread_pk, limit], |row| row.get(0))?.collect()
}
