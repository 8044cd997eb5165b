//! Reads the audit log.

use rusqlite::{Row, params};
use throughline_core::{
    Position, Result, TenantId,
    audit::{AuditEntry, AuditFrom, AuditNumber, AuditPage, ReadAudit},
    backend::{AnswerBytes, EstimatedSize as _, rules},
    changes::ChangeScope,
};

use super::Scope;
use crate::{
    error::EngineError,
    record::{AuditRow, Columns as _, audit_columns, number},
};

/// The records of a window of the audit log. With a tenant, those of the tenant; with a thread, those of this thread
/// alone and those that may concern several threads, which their text decides.
macro_rules! page_window {
    ($order:literal) => {
        concat!(
            "SELECT ",
            audit_columns!(),
            " FROM audit l WHERE l.number > ?1 AND l.number < ?2 AND (?3 IS NULL OR l.tenant = ?3) \
             AND (?4 IS NULL OR l.thread IS NULL OR l.thread = ?4) ORDER BY l.number ",
            $order
        )
    };
}
pub(super) const FORWARD: &str = page_window!("ASC");
pub(super) const BACKWARD: &str = page_window!("DESC");

/// The largest number of records that one read examines, regardless of their tenants.
const SCAN_LIMIT: u64 = 20_000;

/// Reads a page of the audit log.
pub(super) fn audit(scope: Scope<'_>, read: &ReadAudit) -> Result<AuditPage> {
    rules::check_page(read.limit, read.max_bytes)?;
    let (last, written, position) = scope
        .db
        .prepare_cached("SELECT (SELECT max(number) FROM audit), audit, position FROM store")
        .and_then(|mut statement| {
            let counter =
                |row: &Row<'_>, at| row.integer(at).and_then(|n| u64::try_from(n).ok()).unwrap_or_default();
            statement.query_row([], |row| Ok((counter(row, 0), counter(row, 1), counter(row, 2))))
        })
        .map_err(EngineError::from)?;
    let page = match read.from {
        AuditFrom::After(after) => {
            let (after, end) = (after.get(), last.max(after.get()));
            let upto = after.saturating_add(SCAN_LIMIT).min(end);
            page(scope, read, FORWARD, (after, upto.saturating_add(1)), (upto, upto < last))
        }
        AuditFrom::Before(_) | AuditFrom::End => {
            let before = match read.from {
                AuditFrom::Before(before) => before.get().min(last.saturating_add(1)),
                _ => last.saturating_add(1),
            };
            let from = before.saturating_sub(1).saturating_sub(SCAN_LIMIT);
            // The next page begins before the end of this window.
            let reached = if from == 0 { 0 } else { from + 1 };
            page(scope, read, BACKWARD, (from, before), (reached, from > 0)).map(|mut page| {
                page.entries.reverse();
                page.damaged.reverse();
                page
            })
        }
    };
    page.map(|page| AuditPage {
        written: AuditNumber::new(written),
        position: Position::new(position),
        ..page
    })
}

/// Reads the records between two numbers in the order of the statement. Returns the end of the window, and whether
/// there are records after it.
fn page(
    scope: Scope<'_>,
    read: &ReadAudit,
    sql: &'static str,
    (after, before): (u64, u64),
    (end, goes_on): (u64, bool),
) -> Result<AuditPage> {
    let (tenant, thread) = match &read.scope {
        ChangeScope::Store => (None, None),
        ChangeScope::Tenant => (Some(scope.tenant.as_str()), None),
        ChangeScope::Thread(thread) => (Some(scope.tenant.as_str()), Some(thread.as_str())),
    };
    let mut page = AuditPage {
        entries: Vec::new(),
        damaged: Vec::new(),
        reached: AuditNumber::new(end),
        more: goes_on,
        written: AuditNumber::ZERO,
        position: Position::ZERO,
    };
    let mut statement = scope.db.prepare_cached(sql).map_err(EngineError::from)?;
    let bounds = params![number(after), number(before), tenant, thread];
    let mut rows = statement.query(bounds).map_err(EngineError::from)?;
    let (mut taken, mut last) = (0, page.reached);
    let mut bytes = AnswerBytes::new(read.max_bytes);
    while let Some(row) = rows.next().map_err(EngineError::from)? {
        let Some(found) = found(row, &read.scope, scope.tenant) else { continue };
        let is_over = found.as_ref().is_ok_and(|entry| !bytes.take(entry.estimated_size()));
        if taken == read.limit || is_over {
            (page.reached, page.more) = (last, true);
            break;
        }
        taken += 1;
        last = audit_number(row);
        match found {
            Ok(entry) => page.entries.push(entry),
            Err(number) => page.damaged.push(number),
        }
    }
    Ok(page)
}

/// Returns the record of a row if it is in the scope, or the number of a record that cannot be decoded.
fn found(row: &Row<'_>, scope: &ChangeScope, tenant: &TenantId) -> Option<Result<AuditEntry, AuditNumber>> {
    match AuditRow::read(row, 0) {
        Some(entry) => entry.shown(scope, tenant).map(Ok),
        // The tenant of the record is unknown.
        None => (!matches!(scope, ChangeScope::Thread(_))).then(|| Err(audit_number(row))),
    }
}

fn audit_number(row: &Row<'_>) -> AuditNumber {
    AuditNumber::new(row.integer(0).and_then(|number| u64::try_from(number).ok()).unwrap_or_default())
}
