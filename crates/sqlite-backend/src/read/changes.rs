//! Reads the change feed, in commit order.

use std::collections::HashMap;

use foldhash::fast::RandomState;
use rusqlite::{CachedStatement, OptionalExtension, Row, params};
use throughline_core::{
    Position, Result, TenantId, ThreadId, Timestamp,
    backend::rules,
    changes::{Change, ChangeScope, Changes, ReadChanges},
};

use super::{
    Scope,
    thread::{nameless, position, progress, thread_id},
};
use crate::{
    error::EngineError,
    record::{ChangeRow, Columns as _, change_columns, number, unreadable},
    writer::Progress,
};

pub(super) const CHANGES: &str =
    concat!("SELECT ", change_columns!(), " FROM changes f WHERE f.position > ?1 ORDER BY f.position");

/// The owner of the changes of a thread.
pub(super) const OWNER: &str = "SELECT t.tenant, t.thread FROM threads t WHERE t.thread_pk = ?1";

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
    let mut owners = Owners::new(scope, &read.scope)?;
    let (mut scanned, mut last) = (0, read.after);
    while let Some(row) = rows.next().map_err(EngineError::from)? {
        let is_full = answer.changes.len() == limit || scanned == SCAN_LIMIT;
        let change = owners.change(row)?;
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
    let mut owners = Owners::new(scope, &ChangeScope::Store)?;
    let mut statement = scope.db.prepare_cached(CHANGES).map_err(EngineError::from)?;
    let mut rows = statement.query(params![number(after.get())]).map_err(EngineError::from)?;
    let mut changes = Vec::new();
    while let Some(row) = rows.next().map_err(EngineError::from)? {
        if changes.len() as u64 >= limit.unsigned_abs() {
            break;
        }
        changes.extend(owners.change(row)?);
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

/// The tenant and the thread of changes, as far as they can be read.
#[derive(Debug, Clone, Default)]
struct Owner {
    tenant: Option<TenantId>,
    thread: Option<ThreadId>,
}

/// The owners of the changes of a read. Each thread is looked up once, and of a thread outside of the scope only this fact is kept.
struct Owners<'a> {
    scope: Scope<'a>,
    asked: &'a ChangeScope,
    find: CachedStatement<'a>,
    /// `None` for a thread outside of the scope.
    known: HashMap<i64, Option<Owner>, RandomState>,
}

impl<'a> Owners<'a> {
    fn new(scope: Scope<'a>, asked: &'a ChangeScope) -> Result<Self> {
        let find = scope.db.prepare_cached(OWNER).map_err(EngineError::from)?;
        Ok(Self { scope, asked, find, known: HashMap::default() })
    }

    /// Returns the change of a row if it is in the scope.
    fn change(&mut self, row: &Row<'_>) -> Result<Option<Change>> {
        let change = ChangeRow::read(row, 0);
        // The owner of a damaged row is unknown too.
        let unknown;
        let owner = match change {
            Some(change) => self.of(change.thread_pk)?,
            None => {
                unknown = Some(Owner::default()).filter(|owner| self.is_asked_for(owner));
                &unknown
            }
        };
        let Some(Owner { tenant, thread }) = owner.clone() else { return Ok(None) };
        let Some(position) = row.integer(0).and_then(|at| u64::try_from(at).ok()) else { return Ok(None) };
        let at = Timestamp::from_micros(change.map_or(0, |change| change.at));
        let kind = match change {
            None => unreadable("its checksum does not match".to_owned()),
            Some(_) if thread.is_none() => unreadable("its thread cannot be read".to_owned()),
            Some(change) => change.kind(),
        };
        let tenant = tenant.unwrap_or_else(|| self.scope.tenant.clone());
        let thread = thread.unwrap_or_else(nameless);
        Ok(Some(Change { position: Position::new(position), tenant, thread, at, kind }))
    }

    /// Returns the owner of the changes of a thread, if they are in the scope.
    fn of(&mut self, thread_pk: i64) -> Result<&Option<Owner>> {
        if !self.known.contains_key(&thread_pk) {
            let found = self.find.query_row([thread_pk], |row| {
                let tenant = row.text(0).and_then(|text| TenantId::new(str::from_utf8(text).ok()?).ok());
                Ok(Owner { tenant, thread: thread_id(row, 1) })
            });
            let owner = found.optional().map_err(EngineError::from)?.unwrap_or_default();
            let owner = Some(owner).filter(|owner| self.is_asked_for(owner));
            self.known.insert(thread_pk, owner);
        }
        Ok(self.known.get(&thread_pk).unwrap_or(&None))
    }

    /// An unreadable change may belong to any tenant, so every reader of more than one thread gets it.
    fn is_asked_for(&self, owner: &Owner) -> bool {
        let is_the_tenants = owner.tenant.as_ref().is_none_or(|tenant| tenant == self.scope.tenant);
        match self.asked {
            ChangeScope::Store => true,
            ChangeScope::Tenant => is_the_tenants,
            ChangeScope::Thread(asked) => is_the_tenants && owner.thread.as_ref() == Some(asked),
        }
    }
}
