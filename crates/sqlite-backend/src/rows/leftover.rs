//! The rows that a purge removes after the messages: aliases of earlier generations, and the sessions of a deleted
//! thread.

use rusqlite::{Connection, params};
use throughline_engine::{StagedRows, rows::LeftoverQuery};

use super::Source;
use crate::{failure::Applied, record::number};

/// Deletes a number of aliases of earlier generations.
pub(crate) const FORGET_ALIASES: &str = "DELETE FROM aliases WHERE alias_pk IN \
    (SELECT alias_pk FROM aliases WHERE thread_pk = ?1 AND generation < ?2 LIMIT ?3)";

const COUNT_ALIASES: &str = "SELECT count(*) FROM \
    (SELECT 1 FROM aliases WHERE thread_pk = ?1 AND generation < ?2 LIMIT ?3)";
const COUNT_SESSIONS: &str = "SELECT count(*) FROM (SELECT 1 FROM session_heads h WHERE h.thread_pk = ?1 \
    UNION ALL SELECT 1 FROM session_heads h JOIN session_known k ON k.head_pk = h.head_pk WHERE h.thread_pk = ?1 \
    UNION ALL SELECT 1 FROM session_heads h JOIN session_attempts a ON a.head_pk = h.head_pk WHERE h.thread_pk = ?1 \
    LIMIT ?2)";

impl Source<'_> {
    pub(super) fn count_leftovers(&mut self, query: &LeftoverQuery) -> Applied<u64> {
        let Some(thread) = self.stored_thread(&query.thread)? else { return Ok(0) };
        let (thread_pk, limit) = (thread.thread_pk, number(query.limit));
        let below = query.below.map_or(i64::MAX, |generation| number(generation.get()));
        let mut count: i64 = self
            .db
            .prepare_cached(COUNT_ALIASES)?
            .query_row(params![thread_pk, below, limit], |row| row.get(0))?;
        if query.below.is_none() {
            let sessions: i64 = self
                .db
                .prepare_cached(COUNT_SESSIONS)?
                .query_row(params![thread_pk, limit], |row| row.get(0))?;
            count = count.saturating_add(sessions).min(limit);
        }
        Ok(u64::try_from(count).unwrap_or_default())
    }
}

/// Deletes the leftovers of threads.
pub(super) fn delete(source: &mut Source<'_>, staged: &StagedRows) -> Applied<()> {
    for (key, (row, limit)) in staged.leftover_limits() {
        let thread_pk = source.thread_pk(key)?;
        let below = if row.deleted { i64::MAX } else { number(row.generation.get()) };
        let limit = number(limit);
        source.db.prepare_cached(FORGET_ALIASES)?.execute(params![thread_pk, below, limit])?;
        if row.deleted {
            delete_sessions(source.db, thread_pk, limit)?;
        }
    }
    Ok(())
}

fn delete_sessions(db: &Connection, thread_pk: i64, limit: i64) -> rusqlite::Result<()> {
    for sql in [
        "DELETE FROM session_attempts WHERE attempt_pk IN (SELECT a.attempt_pk FROM session_heads h \
         JOIN session_attempts a ON a.head_pk = h.head_pk WHERE h.thread_pk = ?1 LIMIT ?2)",
        "DELETE FROM session_known WHERE known_pk IN (SELECT k.known_pk FROM session_heads h \
         JOIN session_known k ON k.head_pk = h.head_pk WHERE h.thread_pk = ?1 LIMIT ?2)",
        "DELETE FROM session_heads WHERE head_pk IN (SELECT head_pk FROM session_heads WHERE thread_pk = ?1 LIMIT ?2)",
    ] {
        let deleted = db.prepare_cached(sql)?.execute(params![thread_pk, limit])?;
        // A session and an attempt refer to their head: all of them are deleted before it.
        if number(deleted as u64) >= limit {
            break;
        }
    }
    Ok(())
}
