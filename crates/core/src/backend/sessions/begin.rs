//! The beginning of a run, and its heartbeat.

use super::{AttemptRecord, Decision, Running, SessionAddress, SessionStore, Standing, standing::Lapsed};
use crate::{
    ErrorKind, Lease, PersistError, Timestamp,
    backend::rules,
    id::AttemptId,
    operation::{BeginRun, RenewRun, RunBegun, RunRenewed},
    session::{Attempt, AttemptState, Directory},
};

pub(super) fn begin<R: SessionStore>(
    rows: &mut R,
    place: &SessionAddress,
    begin: &BeginRun,
    now: Timestamp,
) -> Result<RunBegun, R::Error> {
    if rows.attempt(&begin.attempt)?.is_some() {
        let detail = format!("there is a run `{}` of {}", begin.attempt, whose(place));
        return Err(PersistError::new(ErrorKind::AlreadyExists, detail).into());
    }
    let (mut standing, _) = Standing::read_as_if_taken_over(rows, place, now)?;
    if let Some(running) = &standing.head.running {
        let detail = format!("the run `{}` of {} is under way", running.attempt, whose(place));
        return Err(PersistError::new(ErrorKind::Busy, detail).into());
    }
    let revision = standing.head.revision;
    if begin.expected.is_some_and(|expected| expected != revision) {
        let detail =
            format!("the claim was decided on an earlier revision than {revision} of {}", whose(place));
        return Err(PersistError::new(ErrorKind::Stale, detail).into());
    }
    let decision = Decision::of(rows, &standing, &begin.claimer)?;
    if decision.is_out_of_time {
        let (asked, now) = (decision.generation, standing.generation);
        let detail = format!("work of generation {asked} is not resumed: {} is at {now}", whose(place));
        return Err(PersistError::new(ErrorKind::Stale, detail).into());
    }
    if let Some(Lapsed { record, session }) = standing.lapsed.take() {
        rows.put_attempt(&record)?;
        if let Some(session) = &session {
            rows.put_session(session)?;
        }
    }
    take_down(rows, &decision)?;
    gone_on_with(rows, &decision)?;
    let number = standing.head.attempts + 1;
    let record = record(rows, begin, &decision, &standing, number, now)?;
    rows.put_attempt(&record)?;
    let lease = Lease::starting(now, begin.lease);
    standing.head.running = Some(Running { attempt: begin.attempt.clone(), lease });
    standing.head.attempts = number;
    standing.head.last = Some(begin.attempt.clone());
    standing.write(rows, now)?;
    Ok(RunBegun {
        agent: begin.agent.clone(),
        thread: begin.thread.clone(),
        attempt: begin.attempt.clone(),
        number,
        resolution: decision.resolution(rows, &standing)?,
        lease,
        deduplicated: false,
    })
}

/// Takes down that the user is told of a gap, and that a session is not where it was.
fn take_down<R: SessionStore>(rows: &mut R, decision: &Decision) -> Result<(), R::Error> {
    if decision.gap.is_none() && !decision.is_missing {
        return Ok(());
    }
    let lost = decision.lost.as_ref().map(|id| rows.session(id)).transpose()?.flatten();
    let Some(mut session) = lost else { return Ok(()) };
    if decision.gap.is_some() {
        session.told = session.value.as_ref().map(|value| value.number);
    }
    if decision.is_missing {
        session.health = super::Health::Missing;
    }
    rows.put_session(&session)
}

/// A session that is gone on with can be lost once more, and is told of again then.
fn gone_on_with<R: SessionStore>(rows: &mut R, decision: &Decision) -> Result<(), R::Error> {
    let Some(value) = &decision.offered else { return Ok(()) };
    match rows.session(&value.session)? {
        Some(session) if session.told.is_some() => {
            rows.put_session(&super::KnownSession { told: None, ..session })
        }
        _ => Ok(()),
    }
}

fn record<R: SessionStore>(
    rows: &mut R,
    begin: &BeginRun,
    decision: &Decision,
    standing: &Standing,
    number: u64,
    now: Timestamp,
) -> Result<AttemptRecord, R::Error> {
    let incarnation = match &begin.claimer.runtime {
        Some(runtime) => rows.incarnation(&runtime.id)?,
        None => 0,
    };
    // Who works elsewhere does not work there, and where is not known before it says so.
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
    Ok(AttemptRecord { attempt, incarnation, begun_under: standing.generation })
}

pub(super) fn renew<R: SessionStore>(
    rows: &mut R,
    place: &SessionAddress,
    renew: &RenewRun,
    now: Timestamp,
) -> Result<RunRenewed, R::Error> {
    let mut standing = Standing::read(rows, place, now)?;
    let record = under_way(rows, &standing, &renew.attempt)?;
    let Some(running) = &mut standing.head.running else {
        unreachable!("a run that is under way has a lease")
    };
    running.lease = rules::renewed(running.lease, now);
    let lease = running.lease;
    // Not another revision: who waits for the run has decided on what is as it was.
    rows.put_head(&standing.head)?;
    Ok(RunRenewed {
        agent: renew.agent.clone(),
        thread: renew.thread.clone(),
        attempt: renew.attempt.clone(),
        lease,
        superseded: record.begun_under != standing.generation,
        deduplicated: false,
    })
}

/// The run, which has the lease.
pub(super) fn under_way<R: SessionStore>(
    rows: &mut R,
    standing: &Standing,
    id: &AttemptId,
) -> Result<AttemptRecord, R::Error> {
    let record = known(rows, standing, id)?;
    let has_lease = standing.head.running.as_ref().is_some_and(|running| running.attempt == *id);
    if record.attempt.state == AttemptState::Running && has_lease {
        return Ok(record);
    }
    Err(is_over(&record, &standing.place).into())
}

/// The run, whatever became of it.
pub(super) fn known<R: SessionStore>(
    rows: &mut R,
    standing: &Standing,
    id: &AttemptId,
) -> Result<AttemptRecord, R::Error> {
    rows.attempt(id)?.ok_or_else(|| {
        let detail = format!("there is no run `{id}` of {}", whose(&standing.place));
        PersistError::new(ErrorKind::NotFound, detail).into()
    })
}

/// What is answered to a run that is over.
fn is_over(record: &AttemptRecord, place: &SessionAddress) -> PersistError {
    came_late(
        record,
        place,
        match record.attempt.state {
            AttemptState::Running | AttemptState::Lapsed => "its lease ended and another run took its place",
            AttemptState::Completed | AttemptState::Failed(_) | AttemptState::Cancelled => "it has ended",
        },
    )
}

/// What is answered to a run of an earlier generation.
pub(super) fn superseded(record: &AttemptRecord, place: &SessionAddress) -> PersistError {
    came_late(record, place, "the sessions were reset since it began")
}

fn came_late(record: &AttemptRecord, place: &SessionAddress, why: &str) -> PersistError {
    let id = &record.attempt.id;
    PersistError::new(ErrorKind::Stale, format!("the run `{id}` of {} came late: {why}", whose(place)))
}

pub(super) fn whose(place: &SessionAddress) -> String {
    format!("the agent `{}` in the thread `{}`", place.agent, place.thread)
}
