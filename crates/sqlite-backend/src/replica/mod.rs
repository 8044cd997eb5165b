//! Replication: the dirty set of a primary, the row images on a replica, and the replication role.

mod capture;
mod put;

use rusqlite::{Connection, OptionalExtension, params};
use throughline_core::{
    Effect, ErrorKind, PersistError, Position,
    audit::AuditNumber,
    backend::replication_rules::{self, ReplicaFacts},
    replication::{
        ApplyImages, BeginCapture, CaptureBegun, CaptureEnded, ImageCursor, ImagesApplied, ReplicaArgs,
        ReplicaResult, ReplicationState, ReplicationStatus,
    },
};

pub(crate) use self::capture::{Part, is_capture_trigger, present as capture};
use crate::{
    blob::BlobWriter,
    failure::Applied,
    record::{AuditRow, Checksum, number},
    rows::ThreadCache,
};

/// The state of a transaction that a replication operation reads and updates.
#[derive(Debug)]
pub(crate) struct CopyScope<'a> {
    pub(crate) db: &'a Connection,
    /// The thread cache of the writer. All of its changes are written.
    pub(crate) threads: &'a mut ThreadCache,
    pub(crate) blobs: Option<&'a mut BlobWriter>,
    /// The number of positions in a segment of the order.
    pub(crate) segment_positions: i64,
    /// The last position that was taken.
    pub(crate) position: &'a mut i64,
    /// The last change that is no longer kept.
    pub(crate) kept_after: &'a mut i64,
    pub(crate) replication_state: &'a mut ReplicationState,
}

/// Applies a replication operation. Returns its result, and whether it changed anything.
pub(crate) fn apply(scope: CopyScope<'_>, args: &ReplicaArgs) -> Applied<(ReplicaResult, bool)> {
    Ok(match args {
        ReplicaArgs::Begin(begin) => (ReplicaResult::Begin(begin_capture(&scope, *begin)?), true),
        ReplicaArgs::End(_) => {
            let was_on = capture::end(scope.db)?;
            (ReplicaResult::End(CaptureEnded { was_on }), was_on)
        }
        ReplicaArgs::SetState(take) => {
            let to = replication_rules::set_replication_state(*scope.replication_state, take)?;
            if let Some(to) = to {
                *scope.replication_state = to;
                if to.is_primary() {
                    scope.db.execute("DELETE FROM followed", [])?;
                }
            }
            (ReplicaResult::SetState(replication_status(&scope)?), to.is_some())
        }
        ReplicaArgs::Apply(apply) => {
            let (applied, changed) = apply_images(scope, apply)?;
            (ReplicaResult::Apply(applied), changed)
        }
        other => return Err(PersistError::unsupported(format_args!("`{}`", other.as_str())).into()),
    })
}

fn begin_capture(scope: &CopyScope<'_>, begin: BeginCapture) -> Applied<CaptureBegun> {
    let capture = capture::begin(scope.db)?;
    let touched = capture::last(scope.db)?;
    let (part, changes, audit) = if begin.whole {
        (Part::FIRST, *scope.kept_after, AuditNumber::ZERO)
    } else {
        (Part::DONE, *scope.position, AuditRow::last(scope.db)?)
    };
    let changes = position(changes);
    Ok(CaptureBegun { cursor: ImageCursor { capture, part, row: 0, touched, changes, audit } })
}

fn apply_images(scope: CopyScope<'_>, apply: &ApplyImages) -> Applied<(ImagesApplied, bool)> {
    let present = ReplicaFacts {
        replication_state: *scope.replication_state,
        cursor: followed(scope.db)?,
        is_empty: is_empty(scope.db)?,
        last_change: last_change(&scope)?,
    };
    let cursor = apply.to;
    if !replication_rules::may_apply(present, apply)? {
        return Ok((ImagesApplied { cursor, already: true }, false));
    }
    let CopyScope { db, threads, blobs, segment_positions, position, kept_after, .. } = scope;
    put::put(db, (threads, blobs), (segment_positions, *position), &apply.images)?;
    write_followed(db, cursor)?;
    *kept_after = (*kept_after).max(number(apply.kept_after.get()));
    let reached = number(apply.position.get().max(cursor.changes.get()));
    *position = (*position).max(reached) + 1;
    Ok((ImagesApplied { cursor, already: false }, true))
}

fn replication_status(scope: &CopyScope<'_>) -> Applied<ReplicationStatus> {
    Ok(ReplicationStatus {
        replication_state: *scope.replication_state,
        cursor: followed(scope.db)?,
        position: position(*scope.position),
        is_empty: is_empty(scope.db)?,
    })
}

fn last_change(scope: &CopyScope<'_>) -> Applied<Position> {
    let last: i64 = scope
        .db
        .prepare_cached("SELECT coalesce(max(position), ?1) FROM changes")?
        .query_row([*scope.kept_after], |row| row.get(0))?;
    Ok(position(last))
}

fn position(at: i64) -> Position {
    Position::new(u64::try_from(at).unwrap_or_default())
}

/// Returns whether the store has never held a row that a copy would bring.
pub(crate) fn is_empty(db: &Connection) -> rusqlite::Result<bool> {
    db.prepare_cached(
        "SELECT NOT EXISTS (SELECT 1 FROM threads) AND NOT EXISTS (SELECT 1 FROM consumers) \
         AND NOT EXISTS (SELECT 1 FROM session_agents) AND NOT EXISTS (SELECT 1 FROM session_runtimes) \
         AND NOT EXISTS (SELECT 1 FROM audit)",
    )?
    .query_row([], |row| row.get(0))
}

/// Returns the progress of a replica.
pub(crate) fn followed(db: &Connection) -> Applied<Option<ImageCursor>> {
    let found = db
        .prepare_cached("SELECT checksum, cursor FROM followed WHERE id = 1")?
        .query_row([], |row| Ok((row.get::<_, i64>(0)?, row.get::<_, String>(1)?)))
        .optional()?;
    let Some((sum, json)) = found else { return Ok(None) };
    let cursor = (sum == checksum(&json)).then(|| serde_json::from_str(&json).ok()).flatten();
    let damaged = || {
        PersistError::new(ErrorKind::Corrupt, "the progress of the replica is damaged")
            .with_effect(Effect::NotApplied)
    };
    Ok(Some(cursor.ok_or_else(damaged)?))
}

fn write_followed(db: &Connection, cursor: ImageCursor) -> Applied<()> {
    let json = serde_json::to_string(&cursor).expect("numbers serialize into memory");
    db.prepare_cached("INSERT OR REPLACE INTO followed (id, checksum, cursor) VALUES (1, ?1, ?2)")?
        .execute(params![checksum(&json), json])?;
    Ok(())
}

fn checksum(json: &str) -> i64 {
    Checksum::new().text(json).finish()
}
