//! Reads of threads.

use std::fmt::Write as _;

use sqlx::{AssertSqlSafe, Row as _, postgres::PgRow};
use throughline_core::{
    ErrorKind, PersistError, TenantId, ThreadId, Timestamp,
    backend::{AnswerBytes, EstimatedSize as _, rules},
    threads::{
        GetThread, ListPurgeable, ListTenants, ListThreads, PurgeableThreads, Tenants, ThreadCursor,
        ThreadList, ThreadSummary,
    },
};

use super::{
    Answer, Scope,
    fitting::{fitting, left_out},
};
use crate::{
    error::damaged,
    rows::{decode_thread, thread_columns},
};

/// A thread in a list.
struct Found {
    cursor: ThreadCursor,
    /// `None` if the summary is damaged.
    entry: Option<ThreadSummary>,
    /// Whether more threads with the same archive flag follow and were not read.
    is_cut_behind: bool,
}

/// The first parameter for the names and values of labels.
const LABELS: usize = 7;

impl Scope<'_> {
    /// Reads the thread summary.
    pub(super) async fn entry(&mut self, get: &GetThread) -> Answer<Option<ThreadSummary>> {
        let Some(state) = self.living(&get.thread).await? else { return Ok(None) };
        let entry = state.entry(self.tenant, &get.thread);
        entry.map(Some).ok_or_else(|| {
            let detail = format!("the summary of the thread `{}` is damaged", get.thread);
            PersistError::new(ErrorKind::Corrupt, detail).into()
        })
    }

    /// Lists threads.
    pub(super) async fn threads(&mut self, list: &ListThreads) -> Answer<ThreadList> {
        rules::check_page(list.limit, list.max_bytes)?;
        let (position, ..) = self.feed_bounds().await?;
        let mut found = Vec::new();
        for archived in list.archived.map_or_else(|| vec![false, true], |archived| vec![archived]) {
            self.find(list, archived, &mut found).await?;
        }
        found.sort_by(|a, b| {
            let (a, b) = (&a.cursor, &b.cursor);
            b.active_at.cmp(&a.active_at).then_with(|| a.thread.cmp(&b.thread))
        });
        let (limit, mut bytes) = (list.limit as usize, AnswerBytes::new(list.max_bytes));
        let (mut shown, mut more) = (0, false);
        for found in &found {
            let fits = found.entry.as_ref().is_none_or(|entry| bytes.take(entry.estimated_size()));
            more |= shown == limit || !fits;
            if more {
                break;
            }
            (shown, more) = (shown + 1, found.is_cut_behind);
        }
        found.truncate(shown);
        let next = if more { found.last().map(|found| found.cursor.clone()) } else { None };
        let mut answer =
            ThreadList { threads: Vec::with_capacity(found.len()), damaged: Vec::new(), next, position };
        for Found { cursor, entry, .. } in found {
            match entry {
                Some(entry) => answer.threads.push(entry),
                None => answer.damaged.push(cursor.thread),
            }
        }
        Ok(answer)
    }

    async fn find(&mut self, list: &ListThreads, archived: bool, found: &mut Vec<Found>) -> Answer<()> {
        let mut wanted: Vec<(&str, &str)> =
            list.labels.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        wanted.extend(list.owner.as_ref().map(|owner| ("", owner.as_str())));
        let mut sql = concat!(
            "SELECT t.active_slot, t.active_at, ",
            thread_columns!(),
            ", coalesce(octet_length(t.entry), 0) + 256 AS size FROM throughline.threads t WHERE t.tenant = $1 AND t.listed AND t.archived = $2 \
             AND t.active_slot <= $3 >> 20 AND t.active_at <= $3 AND (t.active_at < $3 OR t.thread > $4)"
        )
        .to_owned();
        for label in 0..wanted.len() {
            let (name, value) = (LABELS + 2 * label, LABELS + 2 * label + 1);
            // Writing into a string does not fail.
            let _ = write!(
                sql,
                " AND EXISTS (SELECT 1 FROM throughline.labels l WHERE l.tenant = $1 AND l.name = ${name} \
                 AND l.value = ${value} AND l.thread = t.thread)"
            );
        }
        // The index is sorted by `active_slot`; threads with the same slot are sorted here.
        sql.push_str(" ORDER BY t.active_slot DESC, t.active_at DESC, t.thread LIMIT $5");
        let sql = fitting!("*", sql, "active_slot DESC, active_at DESC, thread", "$6");
        let (active_at, thread) = match &list.after {
            Some(after) => (after.active_at.as_micros(), after.thread.as_str()),
            None => (i64::MAX, ""),
        };
        let mut asked = sqlx::query(AssertSqlSafe(sql))
            .bind(self.tenant.as_str())
            .bind(archived)
            .bind(active_at)
            .bind(thread)
            .bind(i64::from(list.limit) + 1)
            .bind(i64::from(list.max_bytes));
        for (name, value) in wanted {
            asked = asked.bind(name).bind(value);
        }
        let rows = asked.fetch_all(&mut *self.db).await?;
        for row in &rows {
            let thread = thread_id(row.try_get("thread")?)?;
            let state = decode_thread(row)?;
            let entry = state.and_then(|state| state.entry(self.tenant, &thread));
            let active_at = Timestamp::from_micros(row.try_get("active_at")?);
            let cursor = ThreadCursor { active_at, thread };
            found.push(Found { cursor, entry, is_cut_behind: false });
        }
        if let Some(last) = found.last_mut().filter(|_| !rows.is_empty()) {
            last.is_cut_behind = left_out(&rows)? > 0;
        }
        Ok(())
    }

    /// Lists the tenants that have a thread. The recursion visits one thread of each tenant.
    pub(super) async fn tenants(&mut self, list: &ListTenants) -> Answer<Tenants> {
        rules::check_limit(list.limit)?;
        let rows = sqlx::query(
            "WITH RECURSIVE found (tenant) AS ( \
                 (SELECT tenant FROM throughline.threads WHERE tenant > $1 ORDER BY tenant LIMIT 1) \
                 UNION ALL \
                 SELECT (SELECT t.tenant FROM throughline.threads t WHERE t.tenant > found.tenant \
                         ORDER BY t.tenant LIMIT 1) FROM found WHERE found.tenant IS NOT NULL) \
             SELECT tenant FROM found WHERE tenant IS NOT NULL LIMIT $2",
        )
        .bind(list.after.as_ref().map_or("", TenantId::as_str))
        .bind(i64::from(list.limit))
        .fetch_all(&mut *self.db)
        .await?;
        let tenant = |row: &PgRow| -> sqlx::Result<TenantId> {
            let stored: &str = row.try_get("tenant")?;
            TenantId::new(stored).map_err(|_| damaged("the tenant of a stored thread".to_owned()))
        };
        let tenants = rows.iter().map(tenant).collect::<sqlx::Result<_>>()?;
        Ok(Tenants { tenants })
    }

    /// Lists threads whose removed messages still take up space.
    pub(super) async fn purgeable(&mut self, list: &ListPurgeable) -> Answer<PurgeableThreads> {
        rules::check_limit(list.limit)?;
        let rows = sqlx::query(
            "SELECT thread FROM throughline.threads WHERE tenant = $1 AND purgeable AND thread > $2 \
             ORDER BY thread LIMIT $3",
        )
        .bind(self.tenant.as_str())
        .bind(list.after.as_ref().map_or("", ThreadId::as_str))
        .bind(i64::from(list.limit))
        .fetch_all(&mut *self.db)
        .await?;
        let threads =
            rows.iter().map(|row| thread_id(row.try_get("thread")?)).collect::<sqlx::Result<_>>()?;
        Ok(PurgeableThreads { threads })
    }
}

pub(super) fn thread_id(stored: &str) -> sqlx::Result<ThreadId> {
    ThreadId::new(stored).map_err(|_| damaged("the id of a stored thread".to_owned()))
}
