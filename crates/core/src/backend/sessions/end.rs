//! What a run says of its session, in its midst and at its end.

use super::{
    AttemptRecord, SessionAddress, SessionStore, Standing,
    begin::{known, superseded, under_way},
    standing::{Verdict, recorded, unknown},
};
use crate::{
    Timestamp,
    id::SessionId,
    operation::{CancelRun, ConfirmRun, FailRun, PinSession, RunReport, SessionChanged},
    session::{AfterFailure, AttemptState},
};

pub(super) fn confirm<R: SessionStore>(
    rows: &mut R,
    place: &SessionAddress,
    confirm: &ConfirmRun,
    now: Timestamp,
) -> Result<SessionChanged, R::Error> {
    let standing = Standing::read(rows, place, now)?;
    let record = under_way(rows, &standing, &confirm.attempt)?;
    if record.begun_under != standing.generation {
        return Err(superseded(&record, place).into());
    }
    let end = End { state: AttemptState::Completed, verdict: Verdict::Healed, blames_resumed: false };
    finish(rows, standing, record, end, &confirm.report, now)
}

pub(super) fn fail<R: SessionStore>(
    rows: &mut R,
    place: &SessionAddress,
    fail: &FailRun,
    now: Timestamp,
) -> Result<SessionChanged, R::Error> {
    let standing = Standing::read(rows, place, now)?;
    let mut record = under_way(rows, &standing, &fail.attempt)?;
    record.attempt.detail.clone_from(&fail.detail);
    let verdict = match fail.failure.session() {
        AfterFailure::Kept => Verdict::Kept,
        AfterFailure::Poisoned => Verdict::Poisoned(fail.failure),
        AfterFailure::Missing => Verdict::Missing,
    };
    let blames_resumed = verdict != Verdict::Kept;
    let end = End { state: AttemptState::Failed(fail.failure), verdict, blames_resumed };
    finish(rows, standing, record, end, &fail.report, now)
}

pub(super) fn cancel<R: SessionStore>(
    rows: &mut R,
    place: &SessionAddress,
    cancel: &CancelRun,
    now: Timestamp,
) -> Result<SessionChanged, R::Error> {
    let standing = Standing::read(rows, place, now)?;
    let record = under_way(rows, &standing, &cancel.attempt)?;
    let end = End { state: AttemptState::Cancelled, verdict: Verdict::Kept, blames_resumed: false };
    finish(rows, standing, record, end, &cancel.report, now)
}

/// How a run ends.
#[derive(Debug, Clone, Copy)]
struct End {
    state: AttemptState,
    verdict: Verdict,
    /// Where it reported no session, what it says is said of the one that it resumed.
    blames_resumed: bool,
}

fn finish<R: SessionStore>(
    rows: &mut R,
    mut standing: Standing,
    mut record: AttemptRecord,
    end: End,
    report: &RunReport,
    now: Timestamp,
) -> Result<SessionChanged, R::Error> {
    let attempt = &mut record.attempt;
    attempt.state = end.state;
    attempt.ended_at = Some(now);
    if let Some(session) = &report.session {
        attempt.session = Some(session.clone());
    }
    if let Some(work_dir) = &report.work_dir {
        attempt.work_dir = Some(work_dir.clone());
    }
    let resumed = attempt.resumes.clone().filter(|_| end.blames_resumed || report.artifact_missing);
    let about = attempt.session.clone().or(resumed);
    let verdict = if report.artifact_missing { Verdict::Missing } else { end.verdict };
    rows.put_attempt(&record)?;
    if let Some(session) = &report.retires {
        retire(rows, session)?;
    }
    let mut moved = false;
    if let Some(session) = about {
        let session = recorded(rows, &record, &session, verdict)?;
        rows.put_session(&session)?;
        moved = standing.advance(&session);
    }
    standing.head.running = None;
    standing.write(rows, now)?;
    changed(rows, &standing, moved)
}

pub(super) fn pin<R: SessionStore>(
    rows: &mut R,
    place: &SessionAddress,
    pin: &PinSession,
    now: Timestamp,
) -> Result<SessionChanged, R::Error> {
    let mut standing = Standing::read(rows, place, now)?;
    let mut record = known(rows, &standing, &pin.attempt)?;
    let is_late = record.attempt.state == AttemptState::Cancelled && record.attempt.session.is_none();
    if !is_late {
        under_way(rows, &standing, &pin.attempt)?;
    }
    if record.begun_under != standing.generation {
        return Err(superseded(&record, place).into());
    }
    record.attempt.session = Some(pin.session.clone());
    if let Some(work_dir) = &pin.work_dir {
        record.attempt.work_dir = Some(work_dir.clone());
    }
    rows.put_attempt(&record)?;
    let mut moved = false;
    // While it runs nobody else resumes; how it ends says what becomes of the pointer.
    if is_late {
        let session = recorded(rows, &record, &pin.session, Verdict::Kept)?;
        rows.put_session(&session)?;
        moved = standing.advance(&session);
    }
    standing.write(rows, now)?;
    changed(rows, &standing, moved)
}

/// Declares a session unusable for good.
pub(super) fn retire<R: SessionStore>(rows: &mut R, id: &SessionId) -> Result<(), R::Error> {
    let mut session = rows.session(id)?.unwrap_or_else(|| unknown(id));
    session.retired = true;
    rows.put_session(&session)
}

pub(super) fn changed<R: SessionStore>(
    rows: &mut R,
    standing: &Standing,
    moved: bool,
) -> Result<SessionChanged, R::Error> {
    let Some(binding) = standing.binding(rows)? else {
        unreachable!("it was written, so that there is something to tell")
    };
    Ok(SessionChanged { binding, moved, deduplicated: false })
}
