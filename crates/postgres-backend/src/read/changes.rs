//! Reads of the change feed, in commit order.

use sqlx::{Row as _, postgres::PgRow};
use throughline_core::{
    Position, TenantId, Timestamp,
    backend::rules,
    changes::{Change, ChangeKind, ChangeScope, Changes, ReadChanges},
};

use super::{Answer, Scope, thread::thread_id};
use crate::{
    error::damaged,
    rows::{counter, number},
};

/// The most changes that one read examines, of all tenants.
const LOOK_AT: i64 = 20_000;

macro_rules! changes {
    ($which:literal) => {
        concat!(
            "SELECT position, tenant, thread, at, kind FROM (SELECT * FROM throughline.changes WHERE position > $1 \
             ORDER BY position LIMIT $3) AS looked",
            $which,
            " ORDER BY position LIMIT $2"
        )
    };
}

const LOOKED: &str = "SELECT max(position) AS last, count(*) AS looked FROM (SELECT position FROM throughline.changes \
    WHERE position > $1 ORDER BY position LIMIT $2) AS looked";

impl Scope<'_> {
    /// Returns the last readable position, the position after which changes are kept, and whether the store is the
    /// primary. A replica has only the changes that it received.
    pub(super) async fn feed_bounds(&mut self) -> Answer<(Position, Position, bool)> {
        let row = sqlx::query(
            "SELECT s.kept_after, s.is_replica, CASE WHEN s.is_replica \
             THEN coalesce((SELECT max(c.position) FROM throughline.changes c), s.kept_after) ELSE s.position END AS last_position \
             FROM throughline.store s WHERE s.id = 1",
        )
        .fetch_optional(&mut *self.db)
        .await?;
        let broken = || damaged("the row of the store".to_owned());
        let row = row.ok_or_else(broken)?;
        let last = counter(row.try_get("last_position")?).ok_or_else(broken)?;
        let kept_after = counter(row.try_get("kept_after")?).ok_or_else(broken)?;
        Ok((Position::new(last), Position::new(kept_after), !row.try_get::<bool, _>("is_replica")?))
    }

    /// Reads the changes after a position.
    pub(super) async fn changes(&mut self, read: &ReadChanges) -> Answer<Changes> {
        rules::check_limit(read.limit)?;
        let (position, kept_after, is_primary) = self.feed_bounds().await?;
        rules::check_after(read.after, kept_after, is_primary.then_some(position))?;
        let (after, tenant) = (number(read.after.get()), self.tenant.as_str());
        let asked = sqlx::query(match read.scope {
            ChangeScope::Store => changes!(""),
            ChangeScope::Tenant => changes!(" WHERE tenant = $4"),
            ChangeScope::Thread(_) => changes!(" WHERE tenant = $4 AND thread = $5"),
        })
        .bind(after)
        .bind(i64::from(read.limit) + 1)
        .bind(LOOK_AT);
        let asked = match &read.scope {
            ChangeScope::Store => asked,
            ChangeScope::Tenant => asked.bind(tenant),
            ChangeScope::Thread(thread) => asked.bind(tenant).bind(thread.as_str()),
        };
        let rows = asked.fetch_all(&mut *self.db).await?;
        let limit = read.limit as usize;
        let changes = rows.iter().take(limit).map(change).collect::<sqlx::Result<Vec<_>>>()?;
        let mut answer = Changes { changes, position: position.max(read.after), more: false };
        if rows.len() > limit {
            answer.more = true;
            answer.position = answer.changes.last().map_or(answer.position, |last| last.position);
        } else if position.get().saturating_sub(read.after.get()) >= LOOK_AT.unsigned_abs() {
            let row = sqlx::query(LOOKED).bind(after).bind(LOOK_AT).fetch_one(&mut *self.db).await?;
            let last: Option<i64> = row.try_get("last")?;
            if let (Some(last), LOOK_AT) = (last.and_then(counter), row.try_get("looked")?) {
                (answer.position, answer.more) = (Position::new(last), true);
            }
        }
        Ok(answer)
    }
}

pub(crate) fn change(row: &PgRow) -> sqlx::Result<Change> {
    let broken = || damaged("a stored change".to_owned());
    let position = counter(row.try_get("position")?).map(Position::new).ok_or_else(broken)?;
    let kind: &str = row.try_get("kind")?;
    let unreadable =
        || ChangeKind::Unreadable { why: "it is damaged, or a newer version wrote it".to_owned() };
    Ok(Change {
        position,
        tenant: TenantId::new(row.try_get::<&str, _>("tenant")?).map_err(|_| broken())?,
        thread: thread_id(row.try_get("thread")?)?,
        at: Timestamp::from_micros(row.try_get("at")?),
        kind: serde_json::from_str(kind).unwrap_or_else(|_| unreadable()),
    })
}
