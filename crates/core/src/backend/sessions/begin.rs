//! The begin of a run, and the renewal of its lease.

use super::{
    AttemptRecord, Decision, EffectiveState, Running, SessionAddress, SessionStore, effective_state::Lapsed,
};
use crate::{
    ErrorKind, Lease, PersistError, Timestamp,
    backend::rules,
    id::AttemptId,
    operation::{BeginRun, RenewRun, RunBegun, RunRenewed},
    session::{Attempt, AttemptState, Directory},
};

pub(super) fn begin<R: SessionStore>(
    rows: &mut R,
    address: &SessionAddress,
    begin: &BeginRun,
    now: Timestamp,
) -> Result<RunBegun, R::Error> {
    if rows.attempt(&begin.attempt)?.is_some() {
        let detail = format!("the run `{}` of {} exists already", begin.attempt, describe(address));
        return Err(PersistError::new(ErrorKind::AlreadyExists, detail).into());
    }
    let (mut effective, _) = EffectiveState::read_as_if_taken_over(rows, address, now)?;
    if let Some(running) = &effective.head.running {
        let detail = format!("the run `{}` of {} is still running", running.attempt, describe(address));
        return Err(PersistError::new(ErrorKind::Busy, detail).into());
    }
    let revision = effective.head.revision;
    if begin.expected.is_some_and(|expected| expected != revision) {
        let detail =
            format!("the claim is based on an earlier revision than {revision} of {}", describe(address));
        return Err(PersistError::new(ErrorKind::Stale, detail).into());
    }
    let decision = Decision::of(rows, &effective, &begin.claimer)?;
    if decision.is_out_of_time {
        let (asked, now) = (decision.generation, effective.generation);
        let detail = format!(
            "the claim names generation {asked}, which cannot be resumed: {} is at generation {now}",
            describe(address)
        );
        return Err(PersistError::new(ErrorKind::Stale, detail).into());
    }
    if let Some(Lapsed { record, session }) = effective.lapsed.take() {
        rows.put_attempt(&record)?;
        if let Some(session) = &session {
            rows.put_session(session)?;
        }
    }
    record_loss(rows, &decision)?;
    record_resumption(rows, &decision)?;
    let number = effective.head.attempts + 1;
    let record = record(rows, begin, &decision, &effective, number, now)?;
    rows.put_attempt(&record)?;
    let lease = Lease::starting(now, begin.lease);
    effective.head.running = Some(Running { attempt: begin.attempt.clone(), lease });
    effective.head.attempts = number;
    effective.head.last = Some(begin.attempt.clone());
    effective.write(rows, now)?;
    Ok(RunBegun {
        agent: begin.agent.clone(),
        thread: begin.thread.clone(),
        attempt: begin.attempt.clone(),
        number,
        resolution: decision.resolution(rows, &effective)?,
        lease,
        deduplicated: false,
    })
}

/// Records that a gap was reported to the user, or that a session is missing.
fn record_loss<R: SessionStore>(rows: &mut R, decision: &Decision) -> Result<(), R::Error> {
    if decision.gap.is_none() && !decision.is_missing {
        return Ok(());
    }
    let lost = decision.lost.as_ref().map(|id| rows.session(id)).transpose()?.flatten();
    let Some(mut session) = lost else { return Ok(()) };
    if decision.gap.is_some() {
        session.delivered_gap = session.value.as_ref().map(|value| value.number);
    }
    if decision.is_missing {
        session.health = super::Health::Missing;
    }
    rows.put_session(&session)
}

/// A resumed session can be lost again, and then its gap is reported again.
fn record_resumption<R: SessionStore>(rows: &mut R, decision: &Decision) -> Result<(), R::Error> {
    let Some(value) = &decision.offered else { return Ok(()) };
    match rows.session(&value.session)? {
        Some(session) if session.delivered_gap.is_some() => {
            rows.put_session(&super::KnownSession { delivered_gap: None, ..session })
        }
        _ => Ok(()),
    }
}

fn record<R: SessionStore>(
    rows: &mut R,
    begin: &BeginRun,
    decision: &Decision,
    effective: &EffectiveState,
    number: u64,
    now: Timestamp,
) -> Result<AttemptRecord, R::Error> {
    let incarnation = match &begin.claimer.runtime {
        Some(runtime) => rows.incarnation(&runtime.id)?,
        None => 0,
    };
    // A claimer in another directory does not work in the recorded one, and its own directory is unknown until it
    // reports one.
    let is_elsewhere = begin.claimer.reach.directory == Directory::Elsewhere;
    let answered = decision.work_dir.clone().filter(|_| !is_elsewhere);
    let attempt = Attempt {
        id: begin.attempt.clone(),
        number,
        generation: decision.generation,
        provider: begin.claimer.provider.clone(),
        runtime: begin.claimer.runtime.clone(),
        resumes: decision.offered.as_ref().map(|value| value.session.clone()),
        assigned: begin.assigned.clone(),
        session: None,
        work_dir: begin.work_dir.clone().or(answered),
        rerun_of: begin.claimer.rerun_of.clone(),
        origin: begin.origin.clone(),
        state: AttemptState::Running,
        detail: None,
        started_at: now,
        ended_at: None,
    };
    Ok(AttemptRecord { attempt, incarnation, begun_under: effective.generation })
}

pub(super) fn renew<R: SessionStore>(
    rows: &mut R,
    address: &SessionAddress,
    renew: &RenewRun,
    now: Timestamp,
) -> Result<RunRenewed, R::Error> {
    let mut effective = EffectiveState::read(rows, address, now)?;
    let record = expect_running(rows, &effective, &renew.attempt)?;
    let Some(running) = &mut effective.head.running else { unreachable!("a running run has a lease") };
    running.lease = rules::renewed(running.lease, now);
    let lease = running.lease;
    // A renewal keeps the revision, so that the decision of a caller that waits for the run stays valid.
    rows.put_head(&effective.head)?;
    Ok(RunRenewed {
        agent: renew.agent.clone(),
        thread: renew.thread.clone(),
        attempt: renew.attempt.clone(),
        lease,
        superseded: record.begun_under != effective.generation,
        deduplicated: false,
    })
}

/// Returns the run if it is running and has the lease.
pub(super) fn expect_running<R: SessionStore>(
    rows: &mut R,
    effective: &EffectiveState,
    id: &AttemptId,
) -> Result<AttemptRecord, R::Error> {
    let record = known(rows, effective, id)?;
    let has_lease = effective.head.running.as_ref().is_some_and(|running| running.attempt == *id);
    if record.attempt.state == AttemptState::Running && has_lease {
        return Ok(record);
    }
    Err(is_over(&record, &effective.address).into())
}

/// Returns the run in any state.
pub(super) fn known<R: SessionStore>(
    rows: &mut R,
    effective: &EffectiveState,
    id: &AttemptId,
) -> Result<AttemptRecord, R::Error> {
    rows.attempt(id)?.ok_or_else(|| {
        let detail = format!("there is no run `{id}` of {}", describe(&effective.address));
        PersistError::new(ErrorKind::NotFound, detail).into()
    })
}

/// Returns the error for a report of an ended run.
fn is_over(record: &AttemptRecord, address: &SessionAddress) -> PersistError {
    late_report(
        record,
        address,
        match record.attempt.state {
            AttemptState::Running | AttemptState::Lapsed => "its lease ended and another run replaced it",
            AttemptState::Completed | AttemptState::Failed(_) | AttemptState::Cancelled => "it has ended",
        },
    )
}

/// Returns the error for a report of a run that began before a reset.
pub(super) fn superseded(record: &AttemptRecord, address: &SessionAddress) -> PersistError {
    late_report(record, address, "the sessions were reset since it began")
}

fn late_report(record: &AttemptRecord, address: &SessionAddress, why: &str) -> PersistError {
    let id = &record.attempt.id;
    PersistError::new(
        ErrorKind::Stale,
        format!("the report of the run `{id}` of {} came too late: {why}", describe(address)),
    )
}

pub(super) fn describe(address: &SessionAddress) -> String {
    format!("the agent `{}` in the thread `{}`", address.agent, address.thread)
}
