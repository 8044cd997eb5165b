//! Reads of threads.

use std::fmt::Write as _;

use sqlx::{AssertSqlSafe, Row as _, postgres::PgRow};
use throughline_core::{
    ErrorKind, PersistError, TenantId, ThreadId, Timestamp,
    backend::{AnswerBytes, EstimatedSize as _, rules},
    threads::{
        GetThread, ListPurgeable, ListTenants, ListThreads, PurgeableThreads, Tenants, ThreadCursor,
        ThreadList, ThreadOrder, ThreadSummary,
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
            for listed in if list.unlisted { &[true, false][..] } else { &[true] } {
                self.find(list, (archived, *listed), &mut found).await?;
            }
        }
        found.sort_by(|a, b| a.cursor.compare(&b.cursor));
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

    async fn find(
        &mut self,
        list: &ListThreads,
        (archived, listed): (bool, bool),
        found: &mut Vec<Found>,
    ) -> Answer<()> {
        let wanted = wanted(list);
        let mut asked = sqlx::query(AssertSqlSafe(statement(list)))
            .bind(self.tenant.as_str())
            .bind(archived)
            .bind(listed)
            .bind(i64::from(list.limit) + 1)
            .bind(i64::from(list.max_bytes));
        if let Some(after) = &list.after {
            asked = asked.bind(after.at.as_micros()).bind(after.thread.as_str());
        }
        for (name, value) in wanted {
            asked = asked.bind(name).bind(value);
        }
        let rows = asked.fetch_all(&mut *self.db).await?;
        for row in &rows {
            let thread = thread_id(row.try_get("thread")?)?;
            let state = decode_thread(row)?;
            let entry = state.and_then(|state| state.entry(self.tenant, &thread));
            let at = Timestamp::from_micros(row.try_get("sort_at")?);
            let cursor = ThreadCursor { order: list.order, at, thread };
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

/// The names and values of the labels that a list requires. The owner has the empty name.
fn wanted(list: &ListThreads) -> Vec<(&str, &str)> {
    let labels = list.labels.iter().map(|(name, value)| (name.as_str(), value.as_str()));
    labels.chain(list.owner.as_ref().map(|owner| ("", owner.as_str()))).collect()
}

/// Returns the statement of a list. The parameters are the tenant, the archive flag, whether the threads are listed, the limits
/// of rows and of bytes, the time and the thread of the cursor if there is one, and the [`wanted`] names and values.
pub(super) fn statement(list: &ListThreads) -> String {
    // The index by activity is sorted by `active_slot`; threads with the same slot are sorted here.
    let (position, after, order) = match list.order {
        ThreadOrder::LatestActivity => (
            "t.active_slot, t.active_at AS sort_at",
            " AND t.active_slot <= $6 >> 20 AND t.active_at <= $6 AND (t.active_at < $6 OR t.thread > $7)",
            "active_slot DESC, sort_at DESC, thread",
        ),
        ThreadOrder::NewestCreated => (
            "t.created_at AS sort_at",
            " AND (t.created_at, t.thread) < ($6, $7)",
            "sort_at DESC, thread DESC",
        ),
        ThreadOrder::OldestCreated => {
            ("t.created_at AS sort_at", " AND (t.created_at, t.thread) > ($6, $7)", "sort_at, thread")
        }
    };
    let (after, labels) = if list.after.is_some() { (after, 8) } else { ("", 6) };
    let mut sql = format!(
        "SELECT {position}, {}, coalesce(octet_length(t.entry), 0) + 256 AS size FROM throughline.threads t \
         WHERE t.tenant = $1 AND t.created_at IS NOT NULL AND t.archived = $2 AND t.listed = $3{after}",
        thread_columns!()
    );
    for label in 0..wanted(list).len() {
        let (name, value) = (labels + 2 * label, labels + 2 * label + 1);
        // Writing into a string does not fail.
        let _ = write!(
            sql,
            " AND EXISTS (SELECT 1 FROM throughline.labels l WHERE l.tenant = $1 AND l.name = ${name} \
             AND l.value = ${value} AND l.thread = t.thread)"
        );
    }
    let _ = write!(sql, " ORDER BY {order} LIMIT $4");
    fitting!("*", sql, order, "$5")
}

pub(super) fn thread_id(stored: &str) -> sqlx::Result<ThreadId> {
    ThreadId::new(stored).map_err(|_| damaged("the id of a stored thread".to_owned()))
}
