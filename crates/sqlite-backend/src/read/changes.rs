//! Reads the change feed, in commit order.

use rusqlite::{Row, params};
use throughline_core::{
    Position, Result, TenantId, ThreadId, Timestamp,
    backend::rules,
    changes::{Change, ChangeScope, Changes, ReadChanges},
};

use super::{
    Scope,
    thread::{nameless, position, progress},
};
use crate::{
    error::EngineError,
    record::{CHANGE_COLUMNS, ChangeRow, Columns as _, change_columns, number, unreadable},
    writer::Progress,
};

pub(super) const CHANGES: &str = concat!(
    "SELECT ",
    change_columns!(),
    ", t.tenant, t.thread FROM changes f LEFT JOIN threads t ON t.thread_pk = f.thread_pk \
     WHERE f.position > ?1 ORDER BY f.position"
);
const TENANT: usize = CHANGE_COLUMNS;
const THREAD: usize = TENANT + 1;

/// The largest number of changes that one read examines, regardless of their tenants. An answer can therefore have no changes and
/// a later position: the changes of others cost the reader time, and never more than this in one read.
const SCAN_LIMIT: usize = 20_000;

/// Reads the changes after a position.
pub(super) fn changes(scope: Scope<'_>, read: &ReadChanges) -> Result<Changes> {
    rules::check_limit(read.limit)?;
    let progress = progress(scope)?;
    let reached = reached(scope, &progress)?;
    let kept_after = Position::new(u64::try_from(progress.kept_after).unwrap_or_default());
    let end = progress.replication_state().is_primary().then(|| position(&progress));
    rules::check_after(read.after, kept_after, end)?;
    let limit = read.limit as usize;
    let mut answer = Changes { changes: Vec::new(), position: reached.max(read.after), more: false };
    let after = i64::try_from(read.after.get()).unwrap_or(i64::MAX);
    let mut statement = scope.db.prepare_cached(CHANGES).map_err(EngineError::from)?;
    let mut rows = statement.query(params![after]).map_err(EngineError::from)?;
    let mut owners = Owners::new(scope, &read.scope);
    let (mut scanned, mut last) = (0, read.after);
    while let Some(row) = rows.next().map_err(EngineError::from)? {
        let is_full = answer.changes.len() == limit || scanned == SCAN_LIMIT;
        let change = owners.change(row);
        if is_full && (change.is_some() || scanned == SCAN_LIMIT) {
            (answer.position, answer.more) = (last, true);
            break;
        }
        scanned += 1;
        last = row.integer(0).and_then(|at| u64::try_from(at).ok()).map_or(last, Position::new);
        answer.changes.extend(change);
        answer.position = answer.position.max(last);
    }
    Ok(answer)
}

/// Reads every change after a position, of all tenants; at most `limit`.
pub(super) fn every_change(scope: Scope<'_>, after: Position, limit: i64) -> Result<Vec<Change>> {
    let mut owners = Owners::new(scope, &ChangeScope::Store);
    let mut statement = scope.db.prepare_cached(CHANGES).map_err(EngineError::from)?;
    let mut rows = statement.query(params![number(after.get())]).map_err(EngineError::from)?;
    let mut changes = Vec::new();
    while let Some(row) = rows.next().map_err(EngineError::from)? {
        if changes.len() as u64 >= limit.unsigned_abs() {
            break;
        }
        changes.extend(owners.change(row));
    }
    Ok(changes)
}

/// Returns the position up to which the feed is complete. On a replica, which also commits changes of its own, it is
/// the position of the last copied change.
pub(super) fn reached(scope: Scope<'_>, progress: &Progress) -> Result<Position> {
    if progress.replication_state().is_primary() {
        return Ok(position(progress));
    }
    let last: i64 = scope
        .db
        .prepare_cached("SELECT coalesce(max(position), ?1) FROM changes")
        .and_then(|mut statement| statement.query_row([progress.kept_after], |row| row.get(0)))
        .map_err(EngineError::from)?;
    Ok(Position::new(u64::try_from(last).unwrap_or_default()))
}

/// The tenant and the thread of a change, as far as they can be read.
#[derive(Debug, Default)]
struct Owner {
    thread_pk: Option<i64>,
    tenant: Option<TenantId>,
    thread: Option<ThreadId>,
    is_asked_for: bool,
}

/// Reads the rows of a feed. It keeps the owner of the last row: consecutive changes are often of one thread.
struct Owners<'a> {
    scope: Scope<'a>,
    asked: &'a ChangeScope,
    last: Owner,
}

impl<'a> Owners<'a> {
    fn new(scope: Scope<'a>, asked: &'a ChangeScope) -> Self {
        Self { scope, asked, last: Owner::default() }
    }

    /// Returns the change of a row if it is in the scope.
    fn change(&mut self, row: &Row<'_>) -> Option<Change> {
        let change = ChangeRow::read(row, 0);
        // The owner of a damaged row is unknown too.
        let thread_pk = change.map(|change| change.thread_pk);
        if thread_pk.is_none() || self.last.thread_pk != thread_pk {
            self.last = self.owner(row, thread_pk);
        }
        let Owner { tenant, thread, is_asked_for, .. } = &self.last;
        if !is_asked_for {
            return None;
        }
        let position = Position::new(u64::try_from(row.integer(0)?).ok()?);
        let at = Timestamp::from_micros(change.map_or(0, |change| change.at));
        let kind = match change {
            None => unreadable("its checksum does not match".to_owned()),
            Some(_) if thread.is_none() => unreadable("its thread cannot be read".to_owned()),
            Some(change) => change.kind(),
        };
        let tenant = tenant.as_ref().unwrap_or(self.scope.tenant).clone();
        let thread = thread.clone().unwrap_or_else(nameless);
        Some(Change { position, tenant, thread, at, kind })
    }

    /// An unreadable change may belong to any tenant, so every reader of more than one thread gets it.
    fn owner(&self, row: &Row<'_>, thread_pk: Option<i64>) -> Owner {
        let text = |column| thread_pk.and_then(|_| str::from_utf8(row.text(column)?).ok());
        let tenant = text(TENANT).and_then(|tenant| match self.scope.tenant {
            own if own.as_str() == tenant => Some(own.clone()),
            _ => TenantId::new(tenant).ok(),
        });
        let thread = text(THREAD).and_then(|thread| ThreadId::new(thread).ok());
        let is_the_tenants = tenant.as_ref().is_none_or(|tenant| tenant == self.scope.tenant);
        let is_asked_for = match self.asked {
            ChangeScope::Store => true,
            ChangeScope::Tenant => is_the_tenants,
            ChangeScope::Thread(asked) => is_the_tenants && thread.as_ref() == Some(asked),
        };
        Owner { thread_pk, tenant, thread, is_asked_for }
    }
}
