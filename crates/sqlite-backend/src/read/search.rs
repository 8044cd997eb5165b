//! Messages with certain words.

use std::fmt::Write as _;

use rusqlite::params;
use throughline_core::{
    Position, Result, SearchHit, SearchHits, SearchMessages,
    backend::{rules, search::Query},
};

use super::{
    Scope,
    thread::{Known, living, nameless, thread_id},
};
use crate::{
    error::EngineError,
    record::{Record, message_columns},
    search::{State, mark_of_tenant, scope_of_thread},
};

/// What the index finds, held against the rows: it may be behind.
pub(super) const FOUND: &str = concat!(
    "SELECT 0, ",
    message_columns!(),
    ", t.thread FROM (SELECT rowid AS message_pk, bm25(search, 1.0, 0.0) AS score FROM search \
     WHERE search MATCH ?1 ORDER BY score, rowid DESC LIMIT ?2) f \
     CROSS JOIN messages m ON m.message_pk = f.message_pk CROSS JOIN threads t ON t.thread_pk = m.thread_pk \
     WHERE t.tenant = ?3 AND m.state = 'final' AND m.seq > t.floor AND t.deleted = 0 \
     ORDER BY f.score, m.created_at DESC, m.message_pk DESC"
);
const THREAD: usize = 21;

/// Looks for messages.
pub(super) fn search(scope: Scope<'_>, read: &SearchMessages) -> Result<SearchHits> {
    rules::check_limit(read.limit)?;
    let query = Query::parse(&read.query)?;
    let state = State::read(scope.db).map_err(EngineError::from)?;
    let indexed = match state {
        State { complete: true, swept: None, indexed } => u64::try_from(indexed).unwrap_or_default(),
        _ => 0,
    };
    let mut found = SearchHits { hits: Vec::new(), damaged: Vec::new(), indexed: Position::new(indexed) };
    let thread_pk = match &read.thread {
        None => None,
        Some(thread) => match living(scope, thread)? {
            Some(Known { thread_pk, .. }) => Some(thread_pk),
            None => return Ok(found),
        },
    };
    let limit = read.limit as usize;
    // Some of what the index finds may be gone by now.
    let parameters = params![matches(scope, thread_pk, &query), 2 * read.limit + 16, scope.tenant.as_str()];
    let mut statement = scope.db.prepare_cached(FOUND).map_err(EngineError::from)?;
    let mut rows = statement.query(parameters).map_err(EngineError::from)?;
    while let Some(row) = rows.next().map_err(EngineError::from)? {
        if found.hits.len() == limit {
            break;
        }
        let thread = thread_id(row, THREAD).unwrap_or_else(nameless);
        let Ok(record) = Record::read(row, scope.tenant, &thread) else {
            // It hides no other.
            found.damaged.push(thread);
            continue;
        };
        let text = record.message.content.plain_text(usize::MAX);
        if !query.matches(&text) {
            // It was edited since.
            continue;
        }
        let (snippet, marks) = query.snippet(&text);
        let message = record.message;
        found.hits.push(SearchHit {
            thread,
            id: message.id,
            seq: message.seq,
            role: message.role,
            created_at: message.created_at,
            snippet,
            marks,
        });
    }
    Ok(found)
}

/// The query in the words of FTS5. A word is of letters and digits alone; it is quoted so that it is never an operator.
fn matches(scope: Scope<'_>, thread_pk: Option<i64>, query: &Query) -> String {
    let mut matches = match thread_pk {
        Some(thread_pk) => format!("scope : {} AND text : (", scope_of_thread(thread_pk)),
        None => "text : (".to_owned(),
    };
    let mark = mark_of_tenant(scope.tenant.as_str());
    for (at, word) in query.words().iter().enumerate() {
        let (and, star) = (if at == 0 { "" } else { " AND " }, if word.is_prefix { " *" } else { "" });
        // Writing into a string does not fail.
        let _ = write!(matches, "{and}\"{mark}{}\"{star}", word.text);
    }
    matches.push(')');
    matches
}
