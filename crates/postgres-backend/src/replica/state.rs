use sqlx::{PgConnection, Row as _, postgres::PgRow};
use throughline_core::{
    Position,
    audit::{AuditDigest, AuditLink, AuditNumber},
    replication::{CaptureId, Epoch, ImageCursor, ReplicationRole, ReplicationState, ReplicationStatus},
};

use crate::{
    error::damaged,
    rows::{counter, number},
};

/// The row of the store.
#[derive(Debug, Clone)]
pub(crate) struct State {
    pub(crate) position: Position,
    pub(crate) kept_after: Position,
    pub(crate) replication_state: ReplicationState,
    /// The last audit record and its hash.
    pub(crate) audit: (AuditNumber, AuditDigest),
    /// The running capture.
    pub(crate) capture: Option<CaptureId>,
    /// Whether the capture has a snapshot.
    pub(crate) listed: bool,
    /// The last number of the dirty set.
    pub(crate) touched: u64,
}

macro_rules! state {
    ($rest:literal) => {
        concat!(
            "SELECT position, kept_after, epoch, is_replica, audit, audit_hash, capture, listed, touched \
             FROM throughline.store WHERE id = 1",
            $rest
        )
    };
}

/// The progress of a replica, for [`may_apply`](throughline_core::backend::replication_rules::may_apply).
pub(crate) struct Followed {
    pub(crate) cursor: Option<ImageCursor>,
    pub(crate) is_empty: bool,
    pub(crate) last_change: Position,
}

impl State {
    pub(crate) async fn read(db: &mut PgConnection) -> sqlx::Result<Self> {
        Self::of(sqlx::query(state!("")).fetch_optional(db).await?.as_ref())
    }

    /// Reads the row and locks it until the end of the transaction: no other transaction can commit changes
    /// meanwhile.
    pub(super) async fn hold(db: &mut PgConnection) -> sqlx::Result<Self> {
        Self::of(sqlx::query(state!(" FOR NO KEY UPDATE")).fetch_optional(db).await?.as_ref())
    }

    fn of(row: Option<&PgRow>) -> sqlx::Result<Self> {
        let broken = || damaged("the row of the store".to_owned());
        let row = row.ok_or_else(broken)?;
        let count = |column| counter(row.try_get(column)?).ok_or_else(broken);
        let (last, hash) = audit(row)?;
        Ok(Self {
            position: Position::new(count("position")?),
            kept_after: Position::new(count("kept_after")?),
            replication_state: replication_state(row)?,
            audit: (last, hash),
            capture: capture(row)?,
            listed: row.try_get("listed")?,
            touched: count("touched")?,
        })
    }

    pub(super) async fn write(&self, db: &mut PgConnection) -> sqlx::Result<()> {
        sqlx::query(
            "UPDATE throughline.store SET position = $1, kept_after = $2, epoch = $3, is_replica = $4, audit = $5, \
             audit_hash = $6, capture = $7, listed = $8, touched = $9 WHERE id = 1",
        )
        .bind(number(self.position.get()))
        .bind(number(self.kept_after.get()))
        .bind(number(self.replication_state.epoch.get()))
        .bind(!self.replication_state.is_primary())
        .bind(number(self.audit.0.get()))
        .bind(self.audit.1.as_bytes().as_slice())
        .bind(self.capture.map(|capture| number(capture.get())))
        .bind(self.listed)
        .bind(number(self.touched))
        .execute(db)
        .await
        .map(drop)
    }

    pub(crate) fn status(&self, followed: &Followed) -> ReplicationStatus {
        let Followed { cursor, is_empty, last_change: _ } = *followed;
        ReplicationStatus {
            replication_state: self.replication_state,
            cursor,
            position: self.position,
            is_empty,
        }
    }
}

impl Followed {
    pub(crate) async fn read(db: &mut PgConnection, state: &State) -> sqlx::Result<Self> {
        let row = sqlx::query(
            "SELECT (SELECT cursor FROM throughline.followed WHERE id = 1) AS cursor, \
             (SELECT max(position) FROM throughline.changes) AS last_change, \
             NOT EXISTS (SELECT 1 FROM throughline.threads) AND NOT EXISTS (SELECT 1 FROM throughline.consumers) \
             AND NOT EXISTS (SELECT 1 FROM throughline.session_agents) \
             AND NOT EXISTS (SELECT 1 FROM throughline.session_runtimes) \
             AND NOT EXISTS (SELECT 1 FROM throughline.audit) AS is_empty",
        )
        .fetch_one(db)
        .await?;
        let cursor = match row.try_get::<Option<&str>, _>("cursor")? {
            Some(json) => {
                let broken = |_| damaged("the replication cursor of the store".to_owned());
                Some(serde_json::from_str(json).map_err(broken)?)
            }
            None => None,
        };
        let last_change = row.try_get::<Option<i64>, _>("last_change")?.and_then(counter).map(Position::new);
        let is_empty = row.try_get("is_empty")?;
        Ok(Self { cursor, is_empty, last_change: last_change.unwrap_or(state.kept_after) })
    }
}

/// Decodes the replication state from `epoch` and `is_replica`.
pub(crate) fn replication_state(row: &PgRow) -> sqlx::Result<ReplicationState> {
    let role = if row.try_get("is_replica")? { ReplicationRole::Replica } else { ReplicationRole::Primary };
    let epoch = counter(row.try_get("epoch")?).ok_or_else(|| damaged("the row of the store".to_owned()))?;
    Ok(ReplicationState { role, epoch: Epoch::new(epoch) })
}

/// Decodes the running capture from `capture`.
pub(crate) fn capture(row: &PgRow) -> sqlx::Result<Option<CaptureId>> {
    Ok(row.try_get::<Option<i64>, _>("capture")?.and_then(counter).map(CaptureId::new))
}

/// Decodes the last audit record from `audit` and `audit_hash`.
pub(crate) fn audit(row: &PgRow) -> sqlx::Result<(AuditNumber, AuditDigest)> {
    let broken = || damaged("the row of the store".to_owned());
    let last = counter(row.try_get("audit")?).ok_or_else(broken)?;
    let hash: [u8; 32] = row.try_get::<&[u8], _>("audit_hash")?.try_into().map_err(|_| broken())?;
    Ok((AuditNumber::new(last), AuditDigest::from_bytes(hash)))
}

/// Returns the link for the next audit record.
pub(crate) fn link(row: &PgRow) -> sqlx::Result<AuditLink> {
    audit(row).map(|(last, hash)| AuditLink::after(last, hash))
}
