//! Lists of threads.

use rusqlite::{Row, ToSql, params};
use throughline_core::{
    ListPurgeable, ListThreads, PurgeableThreads, Result, ThreadCursor, ThreadEntry, ThreadId, ThreadList,
    Timestamp, backend::rules,
};

use super::{
    Scope,
    changes::reached,
    thread::{corrupt, progress},
};
use crate::{
    error::EngineError,
    record::{
        Columns as _, ENTRY_COLUMNS, EntryRow, HEAD_COLUMNS, Head, Listed, entry_columns, head_columns,
    },
};

/// What a list shows of each thread.
const COLUMNS: &str = concat!("SELECT ", head_columns!(), ", ", entry_columns!(), ", t.thread, c.active_at ");
const ENTRY: usize = HEAD_COLUMNS;
const THREAD: usize = ENTRY + ENTRY_COLUMNS;

/// From the latest active thread on.
const BY_ACTIVITY: &str = "FROM catalogue c INDEXED BY catalogue_by_activity \
    CROSS JOIN threads t ON t.thread_pk = c.thread_pk";
/// From the threads with a label on: the first of the labels that are asked for.
const BY_LABEL: &str = "FROM labels l CROSS JOIN catalogue c ON c.thread_pk = l.thread_pk \
    CROSS JOIN threads t ON t.thread_pk = c.thread_pk";
const SHOWN: &str = " WHERE c.tenant = ?1 AND c.listed = 1 AND c.archived = ?2 AND c.active_at <= ?3 \
    AND c.active_slot <= ?6 AND (c.active_at < ?3 OR t.thread > ?4)";
const IN_ORDER: &str = " ORDER BY c.active_slot DESC, c.active_at DESC, t.thread LIMIT ?5";
/// The first of the parameters that are names and values of labels.
const LABELS: usize = 7;

/// With at most so many threads to a label, the list begins at them. With more of them, every so many threads of the tenant
/// is one, and the list begins at the latest.
const FEW: i64 = 1000;

/// How many threads carry a label, up to a limit.
const COUNT: &str = "SELECT count(*) FROM \
    (SELECT 1 FROM labels WHERE tenant = ?1 AND name = ?2 AND value = ?3 LIMIT ?4)";

/// A thread where the list comes to it.
struct Found {
    cursor: ThreadCursor,
    /// Nothing where it cannot be read.
    entry: Option<ThreadEntry>,
}

/// Lists threads.
pub(super) fn threads(scope: Scope<'_>, read: &ListThreads) -> Result<ThreadList> {
    rules::check_limit(read.limit)?;
    let position = reached(scope, &progress(scope)?)?;
    let mut wanted: Vec<(&str, &str)> =
        read.labels.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    wanted.extend(read.owner.as_ref().map(|owner| ("", owner.as_str())));
    let is_by_label = rarest_first(scope, &mut wanted)?;
    let sql = statement(is_by_label, wanted.len());
    let mut found = Vec::new();
    for archived in read.archived.map_or_else(|| vec![false, true], |archived| vec![archived]) {
        run(scope, &sql, read, archived, &wanted, &mut found)?;
    }
    found.sort_by(|a, b| {
        let (a, b) = (&a.cursor, &b.cursor);
        b.active_at.cmp(&a.active_at).then_with(|| a.thread.cmp(&b.thread))
    });
    let limit = read.limit as usize;
    let more = found.len() > limit;
    found.truncate(limit);
    let next = if more { found.last().map(|found| found.cursor.clone()) } else { None };
    let mut list =
        ThreadList { entries: Vec::with_capacity(found.len()), damaged: Vec::new(), next, position };
    for Found { cursor, entry } in found {
        match entry {
            Some(entry) => list.entries.push(entry),
            None => list.damaged.push(cursor.thread),
        }
    }
    Ok(list)
}

/// Puts the label that the fewest threads carry first; says whether they are few.
fn rarest_first(scope: Scope<'_>, wanted: &mut [(&str, &str)]) -> Result<bool> {
    let mut rarest = (0, i64::MAX);
    for (at, (name, value)) in wanted.iter().enumerate() {
        let count: i64 = scope
            .db
            .prepare_cached(COUNT)
            .and_then(|mut count| {
                let parameters = params![scope.tenant.as_str(), name, value, FEW + 1];
                count.query_row(parameters, |row| row.get(0))
            })
            .map_err(EngineError::from)?;
        if count < rarest.1 {
            rarest = (at, count);
        }
    }
    if !wanted.is_empty() {
        wanted.swap(0, rarest.0);
    }
    Ok(rarest.1 <= FEW)
}

/// The statement of a list with so many labels.
pub(super) fn statement(is_by_label: bool, labels: usize) -> String {
    let mut sql = format!("{COLUMNS}{}{SHOWN}", if is_by_label { BY_LABEL } else { BY_ACTIVITY });
    for label in 0..labels {
        let (name, value) = (LABELS + 2 * label, LABELS + 2 * label + 1);
        if is_by_label && label == 0 {
            sql.push_str(&format!(" AND l.tenant = ?1 AND l.name = ?{name} AND l.value = ?{value}"));
        } else {
            sql.push_str(&format!(
                " AND EXISTS (SELECT 1 FROM labels x WHERE x.tenant = ?1 AND x.name = ?{name} \
                 AND x.value = ?{value} AND x.thread_pk = c.thread_pk)"
            ));
        }
    }
    sql.push_str(IN_ORDER);
    sql
}

fn run(
    scope: Scope<'_>,
    sql: &str,
    read: &ListThreads,
    archived: bool,
    wanted: &[(&str, &str)],
    found: &mut Vec<Found>,
) -> Result<()> {
    let (active_at, thread) = match &read.after {
        Some(after) => (after.active_at.as_micros(), after.thread.as_str()),
        None => (i64::MAX, ""),
    };
    let (tenant, limit) = (scope.tenant.as_str(), i64::from(read.limit) + 1);
    let slot = Listed::slot(active_at);
    let mut parameters: Vec<&dyn ToSql> = vec![&tenant, &archived, &active_at, &thread, &limit, &slot];
    for (name, value) in wanted {
        parameters.extend([name as &dyn ToSql, value]);
    }
    let mut statement = scope.db.prepare_cached(sql).map_err(EngineError::from)?;
    let mut rows = statement.query(&parameters[..]).map_err(EngineError::from)?;
    while let Some(row) = rows.next().map_err(EngineError::from)? {
        found.push(Found::read(scope, row)?);
    }
    Ok(())
}

impl Found {
    fn read(scope: Scope<'_>, row: &Row<'_>) -> Result<Self> {
        let thread = row.text(THREAD).and_then(|text| ThreadId::new(str::from_utf8(text).ok()?).ok());
        let Some((thread, active_at)) = thread.zip(row.integer(THREAD + 1)) else {
            return Err(corrupt("the id of a stored thread is damaged".to_owned()));
        };
        let tenant = scope.tenant;
        let entry = Head::read(row, 0, tenant.as_str(), thread.as_str())
            .zip(EntryRow::read(row, ENTRY, tenant.as_str(), thread.as_str()))
            .map(|((_, head), entry)| entry.entry(tenant, &thread, head.generation()));
        let cursor = ThreadCursor { active_at: Timestamp::from_micros(active_at), thread };
        Ok(Self { cursor, entry })
    }
}

pub(super) const PURGEABLE: &str = "SELECT thread FROM threads INDEXED BY threads_purgeable \
    WHERE tenant = ?1 AND purgeable = 1 AND thread > ?2 ORDER BY thread LIMIT ?3";

/// Lists threads that take up room for messages that are gone.
pub(super) fn purgeable(scope: Scope<'_>, read: &ListPurgeable) -> Result<PurgeableThreads> {
    rules::check_limit(read.limit)?;
    let after = read.after.as_ref().map_or("", ThreadId::as_str);
    let mut statement = scope.db.prepare_cached(PURGEABLE).map_err(EngineError::from)?;
    let parameters = params![scope.tenant.as_str(), after, read.limit];
    let mut rows = statement.query(parameters).map_err(EngineError::from)?;
    let mut threads = Vec::new();
    while let Some(row) = rows.next().map_err(EngineError::from)? {
        let thread = row.text(0).and_then(|text| ThreadId::new(str::from_utf8(text).ok()?).ok());
        threads.push(thread.ok_or_else(|| corrupt("the id of a stored thread is damaged".to_owned()))?);
    }
    Ok(PurgeableThreads { threads })
}
