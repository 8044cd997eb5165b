//! What was kept elsewhere, and what can be made of it.

use super::{
    AttemptRecord, BoundRuntime, KnownSession, SessionAddress, SessionStore, SessionValue, Standing,
    begin::whose,
    end,
    standing::{Verdict, is_bound, recorded, unknown},
};
use crate::{
    ErrorKind, PersistError, Timestamp,
    operation::{
        AdoptSession, AdoptedPointer, AdoptedRun, BackfillRuntime, RuntimeBackfilled, SessionChanged,
    },
    session::{AfterFailure, Attempt, AttemptState},
};

pub(super) fn adopt<R: SessionStore>(
    rows: &mut R,
    place: &SessionAddress,
    adopt: &AdoptSession,
    now: Timestamp,
) -> Result<SessionChanged, R::Error> {
    if rows.head()?.is_some() {
        let detail = format!("there are sessions of {}", whose(place));
        return Err(PersistError::new(ErrorKind::AlreadyExists, detail).into());
    }
    let mut standing = Standing::read(rows, place, now)?;
    for run in &adopt.runs {
        standing.head.attempts += 1;
        let record = run_of(rows, run, &standing)?;
        rows.put_attempt(&record)?;
        standing.head.last = Some(run.id.clone());
        if let Some(session) = &run.session {
            let session = recorded(rows, &record, session, verdict(run.state))?;
            rows.put_session(&session)?;
        }
    }
    if let Some(pointer) = &adopt.pointer {
        let value = value_of(rows, pointer, &standing)?;
        if rows.session(&pointer.session)?.is_none() {
            rows.put_session(&KnownSession { value: Some(value.clone()), ..unknown(&pointer.session) })?;
        }
        standing.head.pointer = Some(value);
    }
    standing.write(rows, now)?;
    end::changed(rows, &standing, adopt.pointer.is_some())
}

fn run_of<R: SessionStore>(
    rows: &mut R,
    run: &AdoptedRun,
    standing: &Standing,
) -> Result<AttemptRecord, R::Error> {
    let incarnation = match &run.runtime {
        Some(runtime) => rows.incarnation(&runtime.id)?,
        None => 0,
    };
    let attempt = Attempt {
        id: run.id.clone(),
        number: standing.head.attempts,
        generation: standing.generation,
        provider: run.provider.clone(),
        runtime: run.runtime.clone(),
        resumes: None,
        assigned: None,
        session: run.session.clone(),
        work_dir: run.work_dir.clone(),
        rerun_of: None,
        origin: None,
        state: match run.state {
            AttemptState::Running => AttemptState::Lapsed,
            ended => ended,
        },
        detail: None,
        started_at: run.started_at,
        ended_at: run.ended_at,
    };
    Ok(AttemptRecord { attempt, incarnation, begun_under: standing.generation })
}

const fn verdict(state: AttemptState) -> Verdict {
    match state {
        AttemptState::Completed => Verdict::Healed,
        AttemptState::Running | AttemptState::Cancelled | AttemptState::Lapsed => Verdict::Kept,
        AttemptState::Failed(failure) => match failure.session() {
            AfterFailure::Kept => Verdict::Kept,
            AfterFailure::Poisoned => Verdict::Poisoned(failure),
            AfterFailure::Missing => Verdict::Missing,
        },
    }
}

fn value_of<R: SessionStore>(
    rows: &mut R,
    pointer: &AdoptedPointer,
    standing: &Standing,
) -> Result<SessionValue, R::Error> {
    let runtime = match &pointer.runtime {
        Some(runtime) => {
            let incarnation = rows.incarnation(&runtime.id)?;
            Some(BoundRuntime { runtime: runtime.clone(), incarnation })
        }
        None => None,
    };
    Ok(SessionValue {
        session: pointer.session.clone(),
        provider: pointer.provider.clone(),
        runtime,
        work_dir: pointer.work_dir.clone(),
        generation: standing.generation,
        number: 0,
        attempt: None,
    })
}

pub(super) fn backfill<R: SessionStore>(
    rows: &mut R,
    place: &SessionAddress,
    fill: &BackfillRuntime,
    now: Timestamp,
) -> Result<RuntimeBackfilled, R::Error> {
    let mut standing = Standing::read(rows, place, now)?;
    let found = match standing.head.pointer.clone().filter(|pointer| pointer.runtime.is_none()) {
        Some(pointer) => evidence(rows, &pointer)?.map(|runtime| (pointer, runtime)),
        None => None,
    };
    let runtime = found.as_ref().map(|(_, bound)| bound.runtime.clone());
    let written = found.is_some() && !fill.dry_run;
    if let Some((pointer, bound)) = found.filter(|_| written) {
        standing.head.pointer = Some(SessionValue { runtime: Some(bound), ..pointer });
        standing.write(rows, now)?;
    }
    Ok(RuntimeBackfilled {
        agent: fill.agent.clone(),
        thread: fill.thread.clone(),
        runtime,
        written,
        deduplicated: false,
    })
}

/// Where the latest run that reported a session ran, if that is the one of the pointer.
fn evidence<R: SessionStore>(rows: &mut R, pointer: &SessionValue) -> Result<Option<BoundRuntime>, R::Error> {
    let latest = rows.newest(pointer.generation, None)?.and_then(|known| known.value);
    let same = latest.filter(|value| {
        value.session == pointer.session
            && value.provider == pointer.provider
            && value.generation == pointer.generation
    });
    match same.and_then(|value| value.runtime) {
        Some(bound) if is_bound(rows, &bound)? => Ok(Some(bound)),
        _ => Ok(None),
    }
}
