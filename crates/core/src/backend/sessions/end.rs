//! The reports of a run about its session: pin, confirm, fail and cancel.

use super::{
    AttemptRecord, EffectiveState, SessionAddress, SessionStore,
    begin::{expect_running, known, superseded},
    effective_state::{Verdict, recorded, unknown},
};
use crate::{
    Timestamp,
    id::SessionId,
    operation::{CancelRun, ConfirmRun, FailRun, PinSession, RunReport, SessionChanged},
    session::{AfterFailure, AttemptState},
};

pub(super) fn confirm<R: SessionStore>(
    rows: &mut R,
    address: &SessionAddress,
    confirm: &ConfirmRun,
    now: Timestamp,
) -> Result<SessionChanged, R::Error> {
    let effective = EffectiveState::read(rows, address, now)?;
    let record = expect_running(rows, &effective, &confirm.attempt)?;
    if record.begun_under != effective.generation {
        return Err(superseded(&record, address).into());
    }
    let end = End { state: AttemptState::Completed, verdict: Verdict::Healed, blames_resumed: false };
    finish(rows, effective, record, end, &confirm.report, now)
}

pub(super) fn fail<R: SessionStore>(
    rows: &mut R,
    address: &SessionAddress,
    fail: &FailRun,
    now: Timestamp,
) -> Result<SessionChanged, R::Error> {
    let effective = EffectiveState::read(rows, address, now)?;
    let mut record = expect_running(rows, &effective, &fail.attempt)?;
    record.attempt.detail.clone_from(&fail.detail);
    let verdict = match fail.failure.session() {
        AfterFailure::Kept => Verdict::Kept,
        AfterFailure::Poisoned => Verdict::Poisoned(fail.failure),
        AfterFailure::Missing => Verdict::Missing,
    };
    let blames_resumed = verdict != Verdict::Kept;
    let end = End { state: AttemptState::Failed(fail.failure), verdict, blames_resumed };
    finish(rows, effective, record, end, &fail.report, now)
}

pub(super) fn cancel<R: SessionStore>(
    rows: &mut R,
    address: &SessionAddress,
    cancel: &CancelRun,
    now: Timestamp,
) -> Result<SessionChanged, R::Error> {
    let effective = EffectiveState::read(rows, address, now)?;
    let record = expect_running(rows, &effective, &cancel.attempt)?;
    let end = End { state: AttemptState::Cancelled, verdict: Verdict::Kept, blames_resumed: false };
    finish(rows, effective, record, end, &cancel.report, now)
}

/// The end of a run.
#[derive(Debug, Clone, Copy)]
struct End {
    state: AttemptState,
    verdict: Verdict,
    /// Whether the result applies to the resumed session if the run reported no session.
    blames_resumed: bool,
}

fn finish<R: SessionStore>(
    rows: &mut R,
    mut effective: EffectiveState,
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
        moved = effective.advance(&session);
    }
    effective.head.running = None;
    effective.write(rows, now)?;
    changed(rows, &effective, moved)
}

pub(super) fn pin<R: SessionStore>(
    rows: &mut R,
    address: &SessionAddress,
    pin: &PinSession,
    now: Timestamp,
) -> Result<SessionChanged, R::Error> {
    let mut effective = EffectiveState::read(rows, address, now)?;
    let mut record = known(rows, &effective, &pin.attempt)?;
    let is_late = record.attempt.state == AttemptState::Cancelled && record.attempt.session.is_none();
    if !is_late {
        expect_running(rows, &effective, &pin.attempt)?;
    }
    if record.begun_under != effective.generation {
        return Err(superseded(&record, address).into());
    }
    record.attempt.session = Some(pin.session.clone());
    if let Some(work_dir) = &pin.work_dir {
        record.attempt.work_dir = Some(work_dir.clone());
    }
    rows.put_attempt(&record)?;
    let mut moved = false;
    // No other run resumes the session while this one runs. The end of this run decides about the pointer.
    if is_late {
        let session = recorded(rows, &record, &pin.session, Verdict::Kept)?;
        rows.put_session(&session)?;
        moved = effective.advance(&session);
    }
    effective.write(rows, now)?;
    changed(rows, &effective, moved)
}

/// Marks a session as unusable for good.
pub(super) fn retire<R: SessionStore>(rows: &mut R, id: &SessionId) -> Result<(), R::Error> {
    let mut session = rows.session(id)?.unwrap_or_else(|| unknown(id));
    session.retired = true;
    rows.put_session(&session)
}

pub(super) fn changed<R: SessionStore>(
    rows: &mut R,
    effective: &EffectiveState,
    moved: bool,
) -> Result<SessionChanged, R::Error> {
    let Some(binding) = effective.binding(rows)? else { unreachable!("the head was written before") };
    Ok(SessionChanged { binding: Box::new(binding), moved, deduplicated: false })
}
