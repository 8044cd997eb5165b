use rusqlite::params;
use throughline_core::{
    Effect, ErrorKind, Page, PageFrom, PersistError, ReadPage, Result, Seq, Visibility, backend::rules,
};

use super::{
    Scope,
    rows::{Answer, answer},
    thread::{Known, living, position, progress},
};
use crate::record::{Columns as _, Record, number};

/// A page in one direction: the thread, its first open message, and the rows to show.
macro_rules! page {
    ($bound:literal, $visible:literal, $order:literal) => {
        answer!(
            concat!(
                "open AS MATERIALIZED (SELECT m.seq FROM messages m WHERE m.thread_pk = ?1 AND m.seq > ?2 \
                 AND m.state IN ('reserved', 'streaming') ORDER BY m.seq LIMIT 1), \
                 found AS MATERIALIZED (SELECT m.message_pk FROM messages m WHERE m.thread_pk = ?1 AND m.seq > ?2 \
                 AND m.seq ",
                $bound,
                " ?3",
                $visible,
                " ORDER BY m.seq ",
                $order,
                " LIMIT ?4)"
            ),
            "NULL",
            " UNION ALL SELECT 2, seq, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, \
             NULL, NULL, NULL, NULL, NULL, NULL FROM open"
        )
    };
}

const FORWARD: Shown = Shown {
    all: page!(">", "", "ASC"),
    last: page!(">", " AND m.state = 'final'", "ASC"),
    settled: page!(">", " AND m.seq < coalesce((SELECT seq FROM open), 9223372036854775807)", "ASC"),
};
const BACKWARD: Shown = Shown {
    all: page!("<", "", "DESC"),
    last: page!("<", " AND m.state = 'final'", "DESC"),
    settled: page!("<", " AND m.seq < coalesce((SELECT seq FROM open), 9223372036854775807)", "DESC"),
};

/// The statement of one direction for each visibility.
struct Shown {
    all: &'static str,
    last: &'static str,
    settled: &'static str,
}

impl Shown {
    const fn statement(&self, visibility: Visibility) -> &'static str {
        match visibility {
            Visibility::All => self.all,
            Visibility::Final => self.last,
            Visibility::Settled => self.settled,
        }
    }
}

/// Every statement, and where to begin in the middle of a thread.
#[cfg(test)]
pub(super) fn every_statement() -> impl Iterator<Item = (&'static str, i64)> {
    [(FORWARD, 20), (BACKWARD, 60)]
        .into_iter()
        .flat_map(|(shown, bound)| [shown.all, shown.last, shown.settled].map(|sql| (sql, bound)))
}

/// Reads a stretch of a thread.
pub(super) fn page(scope: Scope<'_>, read: &ReadPage) -> Result<Page> {
    rules::check_limit(read.limit)?;
    let (direction, bound) = match read.from {
        PageFrom::Start => (FORWARD, 0),
        PageFrom::After(seq) => (FORWARD, number(seq.get())),
        PageFrom::End => (BACKWARD, i64::MAX),
        PageFrom::Before(seq) => (BACKWARD, number(seq.get())),
    };
    let position = position(&progress(scope)?);
    let Some(Known { thread_pk, head }) = living(scope, &read.thread)? else {
        let thread = read.thread.clone();
        return Ok(Page { thread, messages: Vec::new(), has_more: false, first_open: None, position });
    };
    let sql = direction.statement(read.visibility);
    let parameters = params![thread_pk, head.floor, bound, i64::from(read.limit) + 1];
    let Answer { messages: mut found, remark, mut pieces } = Answer::read(scope, sql, parameters, |row| {
        (row.integer(3), Record::read(row, scope.tenant, &read.thread))
    })?;
    let first_open = remark.and_then(|seq| u64::try_from(seq).ok()).map(Seq::new);
    found.sort_unstable_by_key(|(seq, _)| *seq);
    let is_asked_for =
        |seq: i64| seq > head.floor && if read.from.is_forward() { seq > bound } else { seq < bound };
    let is_twice = found.windows(2).any(|pair| pair[0].0 == pair[1].0);
    if is_twice || !found.iter().filter_map(|(seq, _)| *seq).all(is_asked_for) {
        // Each row may be as it was written, and the index leads to it from another place.
        let error = PersistError::new(ErrorKind::Corrupt, "the order of the thread is damaged");
        return Err(error.with_effect(Effect::NotApplied));
    }
    let limit = read.limit as usize;
    let has_more = found.len() > limit;
    // The one row too many is the furthest in the direction of the read. If it is damaged, that is not about this page.
    let first = if read.from.is_forward() { 0 } else { found.len().saturating_sub(limit) };
    let shown = found.into_iter().skip(first).take(limit);
    let messages = shown
        .map(|(_, record)| pieces.complete(record.map_err(|damage| damage.into_error(&read.thread))?))
        .collect::<Result<_>>()?;
    Ok(Page { thread: read.thread.clone(), messages, has_more, first_open, position })
}
