//! Reads of the audit log.

use sqlx::{AssertSqlSafe, Row as _, postgres::PgRow};
use throughline_core::{
    Position, TenantId,
    audit::{AuditDigest, AuditEntry, AuditFrom, AuditNumber, AuditPage, ReadAudit},
    backend::{AnswerBytes, EstimatedSize as _, rules},
    changes::ChangeScope,
};

use super::{
    Answer, Scope,
    fitting::{fitting, left_out},
};
use crate::rows::{counter, number};

/// The audit records between two numbers. For a tenant: its own records. For a thread: records of this thread, or
/// of several threads; the text of the record says whether this thread is among them.
macro_rules! records_between {
    ($order:literal) => {
        concat!(
            "SELECT l.number, l.tenant, l.thread, l.hash, l.body, octet_length(l.body) + 256 AS size \
             FROM throughline.audit l WHERE l.number > $1 AND l.number < $2 \
             AND ($3::text IS NULL OR l.tenant = $3) AND ($4::text IS NULL OR l.thread IS NULL OR l.thread = $4) \
             ORDER BY l.number ",
            $order,
            " LIMIT $5"
        )
    };
}

/// The most records that one read examines, of all tenants.
const LOOK_AT: u64 = 20_000;

/// The fewest rows of one query: a read of one thread may skip many rows.
const ROWS: u32 = 100;

/// The fewest bytes of one query: most rows may be skipped.
const BYTES: u32 = 1 << 20;

/// A window between two exclusive numbers.
struct Window {
    after: u64,
    before: u64,
    is_forward: bool,
}

impl Scope<'_> {
    /// Reads a page of the audit log.
    pub(super) async fn audit(&mut self, read: &ReadAudit) -> Answer<AuditPage> {
        rules::check_page(read.limit, read.max_bytes)?;
        let row = sqlx::query(
            "SELECT (SELECT max(number) FROM throughline.audit) AS last, audit, position FROM throughline.store",
        )
        .fetch_one(&mut *self.db)
        .await?;
        let last = row.try_get::<Option<i64>, _>("last")?.and_then(counter).unwrap_or_default();
        let written = AuditNumber::new(counter(row.try_get("audit")?).unwrap_or_default());
        let position = Position::new(counter(row.try_get("position")?).unwrap_or_default());
        let (window, end, goes_on) = match read.from {
            AuditFrom::After(after) => {
                let (after, end) = (after.get(), last.max(after.get()));
                let upto = after.saturating_add(LOOK_AT).min(end);
                let window = Window { after, before: upto.saturating_add(1), is_forward: true };
                (window, upto, upto < last)
            }
            AuditFrom::Before(_) | AuditFrom::End => {
                let before = match read.from {
                    AuditFrom::Before(before) => before.get().min(last.saturating_add(1)),
                    _ => last.saturating_add(1),
                };
                let after = before.saturating_sub(1).saturating_sub(LOOK_AT);
                // The next window begins where this one ends.
                let reached = if after == 0 { 0 } else { after + 1 };
                (Window { after, before, is_forward: false }, reached, after > 0)
            }
        };
        let (entries, damaged) = (Vec::new(), Vec::new());
        let reached = AuditNumber::new(end);
        let mut page = AuditPage { entries, damaged, reached, more: goes_on, written, position };
        self.fill(read, window, &mut page).await?;
        if !matches!(read.from, AuditFrom::After(_)) {
            page.entries.reverse();
            page.damaged.reverse();
        }
        Ok(page)
    }

    /// Fills a page with the records of a window, in its direction.
    async fn fill(&mut self, read: &ReadAudit, mut window: Window, page: &mut AuditPage) -> Answer<()> {
        let (tenant, thread) = match &read.scope {
            ChangeScope::Store => (None, None),
            ChangeScope::Tenant => (Some(self.tenant.as_str()), None),
            ChangeScope::Thread(thread) => (Some(self.tenant.as_str()), Some(thread.as_str())),
        };
        let (mut taken, mut last) = (0, page.reached);
        let mut bytes = AnswerBytes::new(read.max_bytes);
        let at_once = i64::from(read.limit.max(ROWS)) + 1;
        loop {
            let (rows, order) = if window.is_forward {
                (records_between!("ASC"), "number")
            } else {
                (records_between!("DESC"), "number DESC")
            };
            let sql = fitting!("number, tenant, thread, hash, body", rows, order, "$6");
            let rows = sqlx::query(AssertSqlSafe(sql))
                .bind(number(window.after))
                .bind(number(window.before))
                .bind(tenant)
                .bind(thread)
                .bind(at_once)
                .bind(i64::from(read.max_bytes.max(BYTES)))
                .fetch_all(&mut *self.db)
                .await?;
            for row in &rows {
                let at = counter(row.try_get("number")?).unwrap_or_default();
                if window.is_forward {
                    window.after = at;
                } else {
                    window.before = at;
                }
                let Some(found) = found(row, &read.scope, self.tenant)? else { continue };
                let is_over = found.as_ref().is_some_and(|entry| !bytes.take(entry.estimated_size()));
                if taken == read.limit || is_over {
                    (page.reached, page.more) = (last, true);
                    return Ok(());
                }
                taken += 1;
                last = AuditNumber::new(at);
                match found {
                    Some(entry) => page.entries.push(entry),
                    None => page.damaged.push(last),
                }
            }
            if (rows.len() as u64) < at_once.unsigned_abs() && left_out(&rows)? == 0 {
                return Ok(());
            }
        }
    }
}

/// Returns the record of a row, if the scope shows it. The inner `None` means that the row cannot be decoded.
fn found(row: &PgRow, scope: &ChangeScope, tenant: &TenantId) -> sqlx::Result<Option<Option<AuditEntry>>> {
    Ok(match entry(row)? {
        Some(entry) => entry.shown(scope, tenant).map(Some),
        // The thread of a damaged record is unknown.
        None => (!matches!(scope, ChangeScope::Thread(_))).then_some(None),
    })
}

/// Decodes `hash, body`, without checking the hash. Returns `None` if the record names another tenant or thread
/// than its row.
fn entry(row: &PgRow) -> sqlx::Result<Option<AuditEntry>> {
    let (tenant, thread): (&str, Option<&str>) = (row.try_get("tenant")?, row.try_get("thread")?);
    Ok(entry_as_stored(row)?.filter(|entry| entry.is_found_by(tenant, thread)))
}

/// Decodes `hash, body`, without checking the hash or the row's tenant and thread.
pub(crate) fn entry_as_stored(row: &PgRow) -> sqlx::Result<Option<AuditEntry>> {
    let (hash, body): (&[u8], &str) = (row.try_get("hash")?, row.try_get("body")?);
    let hash = hash.try_into().ok().map(AuditDigest::from_bytes);
    Ok(hash.and_then(|hash| AuditEntry::from_kept(body.as_bytes(), hash)))
}
