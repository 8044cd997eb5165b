//! Lists threads.

use std::cmp::Ordering;

use rusqlite::{OptionalExtension as _, Row, ToSql, params, types::Value};
use throughline_core::{
    Result, TenantId, ThreadId, Timestamp,
    backend::{AnswerBytes, EstimatedSize as _, rules},
    threads::{
        ListPurgeable, ListTenants, ListThreads, PurgeableThreads, Tenants, ThreadCursor, ThreadList,
        ThreadOrder, ThreadSummary,
    },
};

use super::{
    Scope,
    changes::reached,
    find_enough::find_enough,
    thread::{corrupt, nameless, progress, thread_id},
};
use crate::{
    error::EngineError,
    record::{
        Columns as _, ENTRY_COLUMNS, EntryRow, HEAD_COLUMNS, Head, Listed, entry_columns, head_columns,
    },
};

/// The position of a thread, as `p`, and its id.
macro_rules! position_columns {
    () => {
        ", p.slot, p.sort_at, p.called, CAST(t.thread AS TEXT) "
    };
}
/// The columns of a thread in a list by activity, and its position. The slot is that of the index, from which the list was
/// sorted.
const ACTIVE_COLUMNS: &str =
    concat!("SELECT ", head_columns!(), ", ", entry_columns!("p.slot"), position_columns!());
/// The columns of a thread in a list by the time of creation, and its position.
const CREATED_COLUMNS: &str =
    concat!("SELECT ", head_columns!(), ", ", entry_columns!(), position_columns!());
/// The position in a list by activity: `sort_at` in the slot, and `called` among those with the same time.
///
/// The index is in the order of the slots. A time outside of its slot is damaged. As a cursor it would break the list,
/// so the row is sorted to the beginning of its slot. A name that has become a blob would sort after every text, and so
/// after itself.
const ACTIVE_POSITION: &str = "c.active_slot AS slot, \
     iif(c.active_at >> 14 = c.active_slot, c.active_at, c.active_slot << 14) AS sort_at, CAST(c.thread AS TEXT) AS called ";
/// The position in a list by the time of creation. SQLite reads both columns from the index, which has them in order.
const CREATED_POSITION: &str = "0 AS slot, c.created_at AS sort_at, c.thread AS called ";
const ENTRY: usize = HEAD_COLUMNS;
const SLOT: usize = ENTRY + ENTRY_COLUMNS;
const SORT_AT: usize = SLOT + 1;
const CALLED: usize = SORT_AT + 1;
const NAME: usize = CALLED + 1;

/// From the threads with a label on: the first of the requested labels.
const BY_LABEL: &str = "FROM labels l CROSS JOIN catalog c ON c.thread_pk = l.thread_pk";
/// The columns of the threads at the positions `p`. The list sorts positions alone: a thread has many columns, and all threads of
/// the first slot are sorted for one page.
const AT_POSITIONS: &str = " CROSS JOIN catalog c ON c.thread_pk = p.thread_pk \
    LEFT JOIN threads t ON t.thread_pk = p.thread_pk";
const SHOWN: &str = " WHERE c.tenant = ?1 AND c.hidden = 0 AND c.archived = ?2 AND c.listed = ?3";
/// The first of the parameters for the names and values of labels.
const LABELS: usize = 8;

/// The parts of the statement that depend on the order of the list. The parameters are the limit `?4`, and the cursor: its time
/// `?5`, its thread `?6` and its slot `?7`.
struct InOrder {
    columns: &'static str,
    position: &'static str,
    from: &'static str,
    after: &'static str,
    order: &'static str,
}

impl InOrder {
    const fn of(order: ThreadOrder) -> Self {
        const BY_CREATION: &str = "FROM catalog c INDEXED BY catalog_by_creation";
        match order {
            ThreadOrder::LatestActivity => Self {
                columns: ACTIVE_COLUMNS,
                position: ACTIVE_POSITION,
                from: "FROM catalog c INDEXED BY catalog_by_activity",
                after: " AND c.active_slot <= ?7 AND (c.active_slot < ?7 OR (sort_at <= ?5 AND (sort_at < ?5 OR called > ?6)))",
                order: " ORDER BY slot DESC, sort_at DESC, called",
            },
            ThreadOrder::NewestCreated => Self {
                columns: CREATED_COLUMNS,
                position: CREATED_POSITION,
                from: BY_CREATION,
                after: " AND (c.created_at, c.thread) < (?5, ?6)",
                order: " ORDER BY sort_at DESC, called DESC",
            },
            ThreadOrder::OldestCreated => Self {
                columns: CREATED_COLUMNS,
                position: CREATED_POSITION,
                from: BY_CREATION,
                after: " AND (c.created_at, c.thread) > (?5, ?6)",
                order: " ORDER BY sort_at, called",
            },
        }
    }
}

/// The largest number of threads with a label for which the list begins at the label. With more of them, the label is
/// frequent among the threads of the tenant, and the list begins at the latest thread.
const FEW: i64 = 1000;

/// Counts the threads with a label, up to a limit.
const COUNT: &str = "SELECT count(*) FROM \
    (SELECT 1 FROM labels WHERE tenant = ?1 AND name = ?2 AND value = ?3 LIMIT ?4)";

/// A thread at its position in the list.
struct Found {
    /// The slot of a list by activity; 0 in other lists.
    slot: i64,
    /// The time that the list is ordered by.
    at: i64,
    /// The id by which the list is ordered, or the stored bytes if it cannot be read.
    thread: Result<ThreadId, Option<Vec<u8>>>,
    /// The id of the thread, if it can be read. In a list by the time of creation, the copy of it can differ by damage.
    name: Option<ThreadId>,
    /// `None` if it cannot be read.
    entry: Option<ThreadSummary>,
    /// Whether further threads with the same archive flag follow that were not read.
    is_truncated_after: bool,
}

/// Lists threads.
pub(super) fn threads(scope: Scope<'_>, read: &ListThreads) -> Result<ThreadList> {
    rules::check_page(read.limit, read.max_bytes)?;
    let position = reached(scope, &progress(scope)?)?;
    let mut wanted: Vec<(&str, &str)> =
        read.labels.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    wanted.extend(read.owner.as_ref().map(|owner| ("", owner.as_str())));
    let is_by_label = rarest_first(scope, &mut wanted)?;
    let sql = statement(read, is_by_label, wanted.len());
    let mut found = Vec::new();
    for archived in read.archived.map_or_else(|| vec![false, true], |archived| vec![archived]) {
        for listed in if read.unlisted { &[true, false][..] } else { &[true] } {
            run(scope, &sql, read, (archived, *listed), &wanted, &mut found)?;
        }
    }
    found.sort_by(|a, b| a.compare(b, read.order));
    // A damaged row has no position. The page that covers its neighbors reports it, and the last page reports those
    // before the cursor too.
    let (limit, mut bytes) = (read.limit as usize, AnswerBytes::new(read.max_bytes));
    let (mut placed, mut shown, mut more) = (0, 0, false);
    for (at, thread) in found.iter().enumerate().filter(|(_, thread)| thread.has_position(read.order)) {
        let fits = thread.entry.as_ref().is_none_or(|entry| bytes.take(entry.estimated_size()));
        more |= placed == limit || !fits;
        if more {
            break;
        }
        (placed, shown, more) = (placed + 1, at + 1, thread.is_truncated_after);
    }
    let mut next = None;
    if more {
        found.truncate(shown);
        next = found.last().and_then(|last| last.cursor(read.order));
    }
    let mut list =
        ThreadList { threads: Vec::with_capacity(found.len()), damaged: Vec::new(), next, position };
    for Found { name, entry, .. } in found {
        match entry {
            Some(entry) => list.threads.push(entry),
            None => list.damaged.push(name.unwrap_or_else(nameless)),
        }
    }
    Ok(list)
}

/// Moves the label with the fewest threads to the front. Returns whether they are few.
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

/// Returns the statement of a list with this number of labels.
pub(super) fn statement(read: &ListThreads, is_by_label: bool, labels: usize) -> String {
    let InOrder { columns, position, from, after, order } = InOrder::of(read.order);
    let from = if is_by_label { BY_LABEL } else { from };
    let after = if read.after.is_some() { after } else { "" };
    let mut sql = [columns, "FROM (SELECT c.thread_pk, ", position, from, SHOWN, after].concat();
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
    sql.extend([order, " LIMIT ?4) p", AT_POSITIONS, order]);
    sql
}

fn run(
    scope: Scope<'_>,
    sql: &str,
    read: &ListThreads,
    (archived, listed): (bool, bool),
    wanted: &[(&str, &str)],
    found: &mut Vec<Found>,
) -> Result<()> {
    let (at, thread) =
        read.after.as_ref().map_or((0, ""), |after| (after.at.as_micros(), after.thread.as_str()));
    let slot = Listed::slot(at);
    let tenant = scope.tenant.as_str();
    let mut statement = scope.db.prepare_cached(sql).map_err(EngineError::from)?;
    let has_position = |found: &Found| found.has_position(read.order);
    let (mut some, is_truncated) = find_enough(read.limit, has_position, |row_limit| {
        let mut parameters: Vec<&dyn ToSql> =
            vec![&tenant, &archived, &listed, &row_limit, &at, &thread, &slot];
        for (name, value) in wanted {
            parameters.extend([name as &dyn ToSql, value]);
        }
        // Without labels, the last parameters are those of the cursor, and not every statement has them.
        parameters.truncate(statement.parameter_count());
        let mut rows = statement.query(&parameters[..]).map_err(EngineError::from)?;
        let (mut found, mut bytes) = (Vec::new(), AnswerBytes::new(read.max_bytes));
        while let Some(row) = rows.next().map_err(EngineError::from)? {
            let thread = Found::read(scope, row);
            if thread.entry.as_ref().is_some_and(|entry| !bytes.take(entry.estimated_size())) {
                return Ok((found, true));
            }
            found.push(thread);
        }
        Ok((found, false))
    })?;
    if let Some(last) = some.iter_mut().rfind(|thread| thread.has_position(read.order)) {
        last.is_truncated_after = is_truncated;
    }
    found.append(&mut some);
    Ok(())
}

impl Found {
    fn read(scope: Scope<'_>, row: &Row<'_>) -> Self {
        let tenant = scope.tenant;
        let thread = thread_id(row, CALLED).ok_or_else(|| row.text(CALLED).map(<[u8]>::to_vec));
        let name = thread_id(row, NAME);
        let entry = name.as_ref().and_then(|thread| {
            let (_, head) = Head::read(row, 0, tenant.as_str(), thread.as_str())?;
            let entry = EntryRow::read(row, ENTRY, tenant.as_str(), thread.as_str())?;
            Some(entry.summary(tenant, thread, &head))
        });
        let [slot, at] = [SLOT, SORT_AT].map(|column| row.integer(column).unwrap_or(i64::MIN));
        Self { slot, at, thread, name, entry, is_truncated_after: false }
    }

    /// Compares the positions in the order of the statement.
    fn compare(&self, other: &Self, order: ThreadOrder) -> Ordering {
        let position = |found: &Self| (found.slot, found.at);
        let by_time = position(self).cmp(&position(other));
        let by_name = self.called().cmp(&other.called());
        match order {
            ThreadOrder::LatestActivity => by_time.reverse().then(by_name),
            ThreadOrder::NewestCreated => by_time.then(by_name).reverse(),
            ThreadOrder::OldestCreated => by_time.then(by_name),
        }
    }

    fn called(&self) -> Option<&[u8]> {
        match &self.thread {
            Ok(thread) => Some(thread.as_str().as_bytes()),
            Err(bytes) => bytes.as_deref(),
        }
    }

    /// Returns whether a cursor can name its position: that needs a valid id, which is that of the thread, and a time that
    /// belongs to its slot. Two rows with the same damaged id would have one position.
    fn has_position(&self, order: ThreadOrder) -> bool {
        let is_in_slot = order != ThreadOrder::LatestActivity || Listed::slot(self.at) == self.slot;
        self.name.is_some() && self.thread.as_ref().ok() == self.name.as_ref() && is_in_slot
    }

    fn cursor(&self, order: ThreadOrder) -> Option<ThreadCursor> {
        let thread = self.thread.as_ref().ok()?.clone();
        Some(ThreadCursor { order, at: Timestamp::from_micros(self.at), thread })
    }
}

/// One tenant of each call: the index finds it without a visit to the threads of the one before.
const NEXT_TENANT: &str = "SELECT tenant FROM threads WHERE tenant > ?1 ORDER BY tenant LIMIT 1";

/// Lists the tenants that have a thread.
///
/// # Errors
/// `Corrupt` at the end of the list, if the tenant of a thread cannot be read: no page can show it.
pub(super) fn tenants(scope: Scope<'_>, read: &ListTenants) -> Result<Tenants> {
    rules::check_limit(read.limit)?;
    let after = read.after.as_ref().map_or("", TenantId::as_str);
    let (tenants, _) = tenants_after(scope, after, read.limit as usize)?;
    // A damaged tenant can be anywhere in the order, also before the page.
    if tenants.is_empty() && tenants_after(scope, "", usize::MAX)?.1 {
        return Err(corrupt("the tenant of a stored thread is damaged".to_owned()));
    }
    Ok(Tenants { tenants })
}

/// The tenants after a name, and whether there is one among them that cannot be read.
fn tenants_after(scope: Scope<'_>, after: &str, limit: usize) -> Result<(Vec<TenantId>, bool)> {
    let mut statement = scope.db.prepare_cached(NEXT_TENANT).map_err(EngineError::from)?;
    let (mut tenants, mut is_damaged, mut after) = (Vec::new(), false, Value::Text(after.to_owned()));
    while tenants.len() < limit
        && let Some(tenant) = statement
            .query_row([&after], |row| row.get::<_, Value>(0))
            .optional()
            .map_err(EngineError::from)?
    {
        match &tenant {
            Value::Text(text) if TenantId::new(text).is_ok() => tenants.extend(TenantId::new(text)),
            _ => is_damaged = true,
        }
        after = tenant;
    }
    Ok((tenants, is_damaged))
}

pub(super) const PURGEABLE: &str = "SELECT thread FROM threads INDEXED BY threads_purgeable \
    WHERE tenant = ?1 AND purgeable = 1 AND thread >= ?2 ORDER BY thread";

/// Lists threads whose removed messages still take up space.
///
/// # Errors
/// `Corrupt` at the end of the list, if the id of one of the threads cannot be read: it has no position in the list,
/// and only its id would permit to purge it.
pub(super) fn purgeable(scope: Scope<'_>, read: &ListPurgeable) -> Result<PurgeableThreads> {
    rules::check_limit(read.limit)?;
    let after = read.after.as_ref().map_or("", ThreadId::as_str);
    let (threads, _) = named(scope, after, read.limit as usize)?;
    // A damaged id may sort anywhere, also before all requested ones.
    if threads.is_empty() && named(scope, "", usize::MAX)?.1 {
        return Err(corrupt("the id of a stored thread is damaged".to_owned()));
    }
    Ok(PurgeableThreads { threads })
}

/// Returns the purgeable threads after a name, and whether the id of one among them cannot be read.
fn named(scope: Scope<'_>, after: &str, limit: usize) -> Result<(Vec<ThreadId>, bool)> {
    let mut statement = scope.db.prepare_cached(PURGEABLE).map_err(EngineError::from)?;
    let mut rows = statement.query(params![scope.tenant.as_str(), after]).map_err(EngineError::from)?;
    let (mut threads, mut is_damaged) = (Vec::new(), false);
    while threads.len() < limit
        && let Some(row) = rows.next().map_err(EngineError::from)?
    {
        match thread_id(row, 0) {
            Some(thread) if thread.as_str() == after => {}
            Some(thread) => threads.push(thread),
            None => is_damaged = true,
        }
    }
    Ok((threads, is_damaged))
}
