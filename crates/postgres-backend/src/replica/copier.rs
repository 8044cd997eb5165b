//! The transactions of replication operations.

use sqlx::PgConnection;
use throughline_core::{
    PersistError, Position,
    audit::AuditNumber,
    backend::replication_rules::{self, ReplicaFacts},
    operations::FingerprintKey,
    replication::{
        ApplyImages, BeginCapture, CaptureBegun, CaptureEnded, CaptureId, ImageCursor, ImagesApplied,
        ReplicaArgs, ReplicaResult, SetReplicationState,
    },
};
use throughline_engine::Outcome;

use super::{
    capture,
    put::put,
    read::{DONE, LISTED},
    state::{Followed, State},
};
use crate::{
    error::Failure,
    options::Settings,
    row_security::Reach,
    rows::number,
    transaction::{Of, begin},
    writer::in_time,
};

/// The result of an operation, and the position of the store.
#[derive(Debug)]
pub(crate) struct Replicated {
    pub(crate) outcome: Result<Outcome, PersistError>,
    pub(crate) position: Position,
    /// The timeline of the server, if a pooler chose the server.
    pub(crate) timeline: Option<u32>,
}

/// The result of an operation that may be refused.
type Done = sqlx::Result<Result<(ReplicaResult, bool), PersistError>>;

/// The time limit of a snapshot: the server reads the whole store.
const LISTING_LIMIT: std::time::Duration = std::time::Duration::from_secs(3600);

/// Runs everything except the commit. After a refusal, the caller rolls back.
pub(crate) async fn prepare(
    settings: &Settings,
    db: &mut PgConnection,
    args: &ReplicaArgs,
) -> Result<Replicated, Failure> {
    let is_whole = matches!(args, ReplicaArgs::Begin(begin) if begin.whole);
    let limit = settings.options.answer_limit + settings.options.wait_limit;
    if is_whole {
        in_time(limit, capture::turn_on(db)).await?;
    }
    let begun = begin(settings, db, Of::Writes, || Reach::Store, settings.options.wait_limit).await?;
    in_time(limit, begun.say(db)).await?;
    let listed = if is_whole { in_time(LISTING_LIMIT, capture::list(db)).await? } else { None };
    let replicated = in_time(limit, run(db, args, listed)).await?;
    Ok(Replicated { timeline: begun.timeline, ..replicated })
}

/// Runs one operation. `listed` is the capture whose snapshot was taken before.
async fn run(
    db: &mut PgConnection,
    args: &ReplicaArgs,
    listed: Option<CaptureId>,
) -> sqlx::Result<Replicated> {
    let mut state = State::hold(db).await?;
    if listed != state.capture && listed.is_some() {
        // Another process has ended the capture in the meantime; the operation starts again.
        return Err(sqlx::Error::Protocol("the snapshot belongs to a capture that has ended".into()));
    }
    let done = match args {
        ReplicaArgs::Begin(begin) => Ok((ReplicaResult::Begin(begin_capture(&mut state, *begin)), true)),
        ReplicaArgs::End(_) => {
            let was_on = state.capture.take().is_some();
            state.listed = false;
            if was_on {
                capture::turn_off(db).await?;
            }
            Ok((ReplicaResult::End(CaptureEnded { was_on }), was_on))
        }
        ReplicaArgs::SetState(take) => set_state(db, &mut state, take).await?,
        ReplicaArgs::Apply(apply) => apply_images(db, &mut state, apply).await?,
        other => Err(PersistError::unsupported(format_args!("`{}`", other.as_str()))),
    };
    let outcome = done.map(|(result, changed)| Outcome { result: result.into(), changed });
    if outcome.as_ref().is_ok_and(|outcome| outcome.changed) {
        // The operation takes a position without a change event.
        state.position = Position::new(state.position.get() + 1);
        state.write(db).await?;
    }
    Ok(Replicated { outcome, position: state.position, timeline: None })
}

fn begin_capture(state: &mut State, begin: BeginCapture) -> CaptureBegun {
    // A capture without a snapshot begins in one step.
    let capture = *state.capture.get_or_insert_with(CaptureId::fresh);
    state.listed |= begin.whole;
    let cursor = if begin.whole {
        let (changes, audit) = (state.kept_after, AuditNumber::ZERO);
        ImageCursor { capture, part: LISTED, row: 0, touched: 0, changes, audit }
    } else {
        let (changes, audit) = (state.position, state.audit.0);
        ImageCursor { capture, part: DONE, row: 0, touched: state.touched, changes, audit }
    };
    CaptureBegun { cursor }
}

async fn set_state(db: &mut PgConnection, state: &mut State, take: &SetReplicationState) -> Done {
    let to = match replication_rules::set_replication_state(state.replication_state, take) {
        Ok(to) => to,
        Err(refusal) => return Ok(Err(refusal)),
    };
    let takes_key = match take.taken_key() {
        Some(key) => take_key(db, &key).await?,
        None => false,
    };
    if let Some(to) = to {
        state.replication_state = to;
        if to.is_primary() {
            sqlx::raw_sql("DELETE FROM throughline.followed").execute(&mut *db).await?;
        }
    }
    let changed = to.is_some() || takes_key;
    let followed = Followed::read(db, state).await?;
    let mut status = state.status(&followed);
    if changed {
        status.position = Position::new(state.position.get() + 1);
    }
    Ok(Ok((ReplicaResult::SetState(status), changed)))
}

/// Sets the fingerprint key of the store. Returns whether the key was different.
async fn take_key(db: &mut PgConnection, key: &FingerprintKey) -> sqlx::Result<bool> {
    let taken = sqlx::query(
        "UPDATE throughline.store SET fingerprint_key = $1 WHERE id = 1 AND fingerprint_key <> $1",
    )
    .bind(key.as_bytes().as_slice())
    .execute(db)
    .await?;
    Ok(taken.rows_affected() > 0)
}

async fn apply_images(db: &mut PgConnection, state: &mut State, apply: &ApplyImages) -> Done {
    let Followed { cursor, is_empty, last_change } = Followed::read(db, state).await?;
    let present = ReplicaFacts { replication_state: state.replication_state, cursor, is_empty, last_change };
    let applied = |already| ReplicaResult::Apply(ImagesApplied { cursor: apply.to, already });
    match replication_rules::may_apply(present, apply) {
        Ok(true) => {}
        Ok(false) => return Ok(Ok((applied(true), false))),
        Err(refusal) => return Ok(Err(refusal)),
    }
    if let Err(refusal) = put(db, state, &apply.images).await? {
        return Ok(Err(refusal));
    }
    let json = serde_json::to_string(&apply.to).expect("numbers serialize into memory");
    sqlx::query(
        "INSERT INTO throughline.followed (id, cursor) VALUES (1, $1) \
         ON CONFLICT (id) DO UPDATE SET cursor = excluded.cursor",
    )
    .bind(json)
    .execute(&mut *db)
    .await?;
    if apply.kept_after > state.kept_after {
        state.kept_after = apply.kept_after;
        sqlx::query("DELETE FROM throughline.changes WHERE position <= $1")
            .bind(number(apply.kept_after.get()))
            .execute(&mut *db)
            .await?;
    }
    state.position = state.position.max(apply.position).max(apply.to.changes);
    Ok(Ok((applied(false), true)))
}
