//! Reads of consumers: the cursor and the quarantine.

use sqlx::{Row as _, postgres::PgRow};
use throughline_core::{
    Position, Timestamp,
    backend::rules,
    changes::{ConsumerCursor, GetCursor, ListQuarantined, QuarantinedChange, QuarantinedChanges},
};

use super::{Answer, Scope, thread::thread_id};
use crate::{
    error::damaged,
    rows::{counter, number},
};

impl Scope<'_> {
    /// Reads the cursor of a consumer.
    pub(super) async fn cursor(&mut self, read: &GetCursor) -> Answer<ConsumerCursor> {
        let row = sqlx::query(
            "SELECT coalesce((SELECT position FROM throughline.consumers WHERE tenant = $1 AND consumer = $2), 0) AS position, \
             (SELECT count(*) FROM throughline.quarantine WHERE tenant = $1 AND consumer = $2) AS quarantined",
        )
        .bind(self.tenant.as_str())
        .bind(read.consumer.as_str())
        .fetch_one(&mut *self.db)
        .await?;
        let broken = || damaged(format!("the cursor of the consumer `{}`", read.consumer));
        Ok(ConsumerCursor {
            consumer: read.consumer.clone(),
            position: counter(row.try_get("position")?).map(Position::new).ok_or_else(broken)?,
            quarantined: counter(row.try_get("quarantined")?).unwrap_or_default(),
        })
    }

    /// Lists the quarantined changes of a consumer.
    pub(super) async fn quarantined(&mut self, list: &ListQuarantined) -> Answer<QuarantinedChanges> {
        rules::check_limit(list.limit)?;
        let rows = sqlx::query(
            "SELECT position, at, thread, why FROM throughline.quarantine \
             WHERE tenant = $1 AND consumer = $2 AND position > $3 ORDER BY position LIMIT $4",
        )
        .bind(self.tenant.as_str())
        .bind(list.consumer.as_str())
        .bind(number(list.after.get()))
        .bind(i64::from(list.limit) + 1)
        .fetch_all(&mut *self.db)
        .await?;
        let limit = list.limit as usize;
        let changes = rows.iter().take(limit).map(skipped).collect::<sqlx::Result<_>>()?;
        Ok(QuarantinedChanges { consumer: list.consumer.clone(), changes, more: rows.len() > limit })
    }
}

fn skipped(row: &PgRow) -> sqlx::Result<QuarantinedChange> {
    let broken = || damaged("a quarantined change of a consumer".to_owned());
    Ok(QuarantinedChange {
        position: counter(row.try_get("position")?).map(Position::new).ok_or_else(broken)?,
        thread: thread_id(row.try_get("thread")?)?,
        at: Timestamp::from_micros(row.try_get("at")?),
        why: String::from_utf8(row.try_get("why")?).map_err(|_| broken())?,
    })
}
