//! Who did what.

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

/// The entries of a stretch of the log. Of a tenant those that are its own, and of a thread those that are about it alone or may be
/// about others as well, which their text says.
macro_rules! stretch {
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

/// At so many entries one read looks at most, whoever they are of.
const LOOK_AT: u64 = 20_000;

/// How many rows are asked for at once at least: a read of one thread may look at many that are not shown.
const ROWS: u32 = 100;

/// How many bytes of rows are asked for at once at least: most of them may not be shown.
const BYTES: u32 = 1 << 20;

/// A stretch between two numbers that are not in it.
struct Stretch {
    after: u64,
    before: u64,
    is_forward: bool,
}

impl Scope<'_> {
    /// Reads a page of the log.
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
        let (stretch, end, goes_on) = match read.from {
            AuditFrom::After(after) => {
                let (after, end) = (after.get(), last.max(after.get()));
                let upto = after.saturating_add(LOOK_AT).min(end);
                let stretch = Stretch { after, before: upto.saturating_add(1), is_forward: true };
                (stretch, upto, upto < last)
            }
            AuditFrom::Before(_) | AuditFrom::End => {
                let before = match read.from {
                    AuditFrom::Before(before) => before.get().min(last.saturating_add(1)),
                    _ => last.saturating_add(1),
                };
                let after = before.saturating_sub(1).saturating_sub(LOOK_AT);
                // Where the stretch ends, the next one begins before it.
                let reached = if after == 0 { 0 } else { after + 1 };
                (Stretch { after, before, is_forward: false }, reached, after > 0)
            }
        };
        let (entries, damaged) = (Vec::new(), Vec::new());
        let reached = AuditNumber::new(end);
        let mut page = AuditPage { entries, damaged, reached, more: goes_on, written, position };
        self.stretch(read, stretch, &mut page).await?;
        if !matches!(read.from, AuditFrom::After(_)) {
            page.entries.reverse();
            page.damaged.reverse();
        }
        Ok(page)
    }

    /// Fills a page with what a stretch shows, in its direction.
    async fn stretch(&mut self, read: &ReadAudit, mut stretch: Stretch, page: &mut AuditPage) -> Answer<()> {
        let (tenant, thread) = match &read.scope {
            ChangeScope::Store => (None, None),
            ChangeScope::Tenant => (Some(self.tenant.as_str()), None),
            ChangeScope::Thread(thread) => (Some(self.tenant.as_str()), Some(thread.as_str())),
        };
        let (mut taken, mut last) = (0, page.reached);
        let mut bytes = AnswerBytes::new(read.max_bytes);
        let at_once = i64::from(read.limit.max(ROWS)) + 1;
        loop {
            let (rows, order) = if stretch.is_forward {
                (stretch!("ASC"), "number")
            } else {
                (stretch!("DESC"), "number DESC")
            };
            let sql = fitting!("number, tenant, thread, hash, body", rows, order, "$6");
            let rows = sqlx::query(AssertSqlSafe(sql))
                .bind(number(stretch.after))
                .bind(number(stretch.before))
                .bind(tenant)
                .bind(thread)
                .bind(at_once)
                .bind(i64::from(read.max_bytes.max(BYTES)))
                .fetch_all(&mut *self.db)
                .await?;
            for row in &rows {
                let at = counter(row.try_get("number")?).unwrap_or_default();
                if stretch.is_forward {
                    stretch.after = at;
                } else {
                    stretch.before = at;
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

/// What stands in a row, if it is shown: the entry, or nothing where it cannot be read as one.
fn found(row: &PgRow, scope: &ChangeScope, tenant: &TenantId) -> sqlx::Result<Option<Option<AuditEntry>>> {
    Ok(match entry(row)? {
        Some(entry) => entry.shown(scope, tenant).map(Some),
        // Whose it is cannot be told.
        None => (!matches!(scope, ChangeScope::Thread(_))).then_some(None),
    })
}

/// The entry of `hash, body`, whether or not the one is that of the other; nothing where it is found by another `tenant` or `thread`
/// than its record says.
fn entry(row: &PgRow) -> sqlx::Result<Option<AuditEntry>> {
    let (tenant, thread): (&str, Option<&str>) = (row.try_get("tenant")?, row.try_get("thread")?);
    Ok(entry_as_stored(row)?.filter(|entry| entry.is_found_by(tenant, thread)))
}

/// The entry of `hash, body`, whether or not the one is that of the other.
pub(crate) fn entry_as_stored(row: &PgRow) -> sqlx::Result<Option<AuditEntry>> {
    let (hash, body): (&[u8], &str) = (row.try_get("hash")?, row.try_get("body")?);
    let hash = hash.try_into().ok().map(AuditDigest::from_bytes);
    Ok(hash.and_then(|hash| AuditEntry::from_kept(body.as_bytes(), hash)))
}
