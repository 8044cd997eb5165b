use rusqlite::params;
use throughline_core::{
    PersistError, Seq, ThreadId,
    backend::{AnswerBytes, rules},
    messages::{Page, PageFrom, ReadPage, Visibility},
};

use super::{
    Scope,
    changes::reached,
    page_window::{Order, PageWindow, disordered},
    rows::{Answer, answer, placed},
    thread::{Known, last_seq, living, progress},
};
use crate::{
    error::EngineError,
    record::{ThreadSegment, by_seq, messages_behind, number},
};

/// A page in one direction: the thread, its first open message, and the rows to show.
///
/// There is one lower and one upper bound: with two lower bounds SQLite would seek to the first only, and walk from
/// there to the second. A row with an invalid state is shown with the final ones: it is damaged, and without it a
/// caller would not notice that.
macro_rules! page {
    ($before:literal, $visible:literal, $order:literal) => {
        answer!(
            concat!(
                "open AS MATERIALIZED (SELECT m.seq FROM messages m WHERE m.thread_pk = ?1 AND m.seq > ?2 \
                 AND m.state IN ('reserved', 'streaming') ORDER BY m.seq LIMIT 1), \
                 found AS MATERIALIZED (SELECT m.message_pk, m.seq FROM ",
                messages_behind!("?1", "?3", $before),
                $visible,
                by_seq!($order),
                " LIMIT ?5)"
            ),
            "SELECT 2, seq, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, \
             NULL, NULL, NULL, NULL, NULL, NULL, NULL FROM open UNION ALL ",
            "NULL",
            "f.seq"
        )
    };
}

const FORWARD: Shown = Shown {
    all: page!("< ?4", "", "ASC"),
    last: page!("< ?4", " AND m.state NOT IN ('reserved', 'streaming', 'abandoned')", "ASC"),
    settled: page!("< min(?4, coalesce((SELECT seq FROM open), ?4))", "", "ASC"),
};
const BACKWARD: Shown = Shown {
    all: page!("< ?4", "", "DESC"),
    last: page!("< ?4", " AND m.state NOT IN ('reserved', 'streaming', 'abandoned')", "DESC"),
    settled: page!("< min(?4, coalesce((SELECT seq FROM open), ?4))", "", "DESC"),
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

/// Returns every statement.
#[cfg(test)]
pub(super) fn every_statement() -> impl Iterator<Item = &'static str> {
    [FORWARD, BACKWARD].into_iter().flat_map(|shown| [shown.all, shown.last, shown.settled])
}

/// Reads a page of a thread.
pub(super) fn page(scope: Scope<'_>, read: &ReadPage) -> Result<Page, PersistError> {
    rules::check_page(read.limit, read.max_bytes)?;
    let (direction, after, before) = match read.from {
        PageFrom::Start => (FORWARD, 0, i64::MAX),
        PageFrom::After(seq) => (FORWARD, number(seq.get()), i64::MAX),
        PageFrom::End => (BACKWARD, 0, i64::MAX),
        PageFrom::Before(seq) => (BACKWARD, 0, number(seq.get())),
    };
    let position = reached(scope, &progress(scope)?)?;
    let Some(Known { thread_pk, head }) = living(scope, &read.thread)? else {
        let thread = read.thread.clone();
        return Ok(Page {
            thread,
            messages: Vec::new(),
            damaged: Vec::new(),
            has_more: false,
            first_open: None,
            last_seq: Seq::ZERO,
            position,
        });
    };
    let sql = direction.statement(read.visibility);
    let after = after.max(head.floor);
    let parameters = params![thread_pk, head.floor, after, before, i64::from(read.limit) + 1];
    let mut bytes = AnswerBytes::new(read.max_bytes);
    let Answer { messages: found, remark, is_truncated } =
        Answer::read(scope, sql, parameters, |row| placed(scope, row, &read.thread, &mut bytes))?;
    let found = found.into_iter().map(|row| row.map_err(|damage| damage.of(&read.thread)));
    let order = Order {
        key: |_: &ThreadId, seq: Seq| number(seq.get()),
        is_asked_for: |seq: &i64| after < *seq && *seq < before,
        is_forward: read.from.is_forward(),
        limit: read.limit,
        is_truncated,
    };
    let page_window = PageWindow::of(found.collect(), &order)?;
    let has_more = page_window.has_more;
    // The messages of a damaged segment are missing between the shown ones, or after them.
    let (from, until) = match (page_window.ends(), read.from.is_forward()) {
        (Some((_, last)), true) if has_more => (after, *last),
        (Some((first, _)), false) if has_more => (*first, before),
        _ => (after, before),
    };
    let is_whole = ThreadSegment::are_whole(scope.db, thread_pk, (from, until), head.last_segment);
    if !is_whole.map_err(EngineError::from)? {
        return Err(disordered());
    }
    let (messages, damaged) = page_window.into_parts();
    let last_seq = last_seq(scope, thread_pk, &head)?;
    let first_open = remark.and_then(|seq| u64::try_from(seq).ok()).map(Seq::new);
    Ok(Page { thread: read.thread.clone(), messages, damaged, has_more, first_open, last_seq, position })
}
