//! The adoption of sessions from another store, and the backfill of runtimes.

use super::{
    AttemptRecord, BoundRuntime, EffectiveState, KnownSession, SessionAddress, SessionStore, SessionValue,
    begin::describe,
    effective_state::{Verdict, is_bound, recorded, unknown},
    end,
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
    address: &SessionAddress,
    adopt: &AdoptSession,
    now: Timestamp,
) -> Result<SessionChanged, R::Error> {
    if rows.head()?.is_some() {
        let detail = format!("the store already has sessions of {}", describe(address));
        return Err(PersistError::new(ErrorKind::AlreadyExists, detail).into());
    }
    let mut effective = EffectiveState::read(rows, address, now)?;
    for run in &adopt.runs {
        effective.head.attempts += 1;
        let record = run_of(rows, run, &effective)?;
        rows.put_attempt(&record)?;
        effective.head.last = Some(run.id.clone());
        if let Some(session) = &run.session {
            let session = recorded(rows, &record, session, verdict(run.state))?;
            rows.put_session(&session)?;
        }
    }
    if let Some(pointer) = &adopt.pointer {
        let value = value_of(rows, pointer, &effective)?;
        if rows.session(&pointer.session)?.is_none() {
            rows.put_session(&KnownSession { value: Some(value.clone()), ..unknown(&pointer.session) })?;
        }
        effective.head.pointer = Some(value);
    }
    effective.write(rows, now)?;
    end::changed(rows, &effective, adopt.pointer.is_some())
}

fn run_of<R: SessionStore>(
    rows: &mut R,
    run: &AdoptedRun,
    effective: &EffectiveState,
) -> Result<AttemptRecord, R::Error> {
    let incarnation = match &run.runtime {
        Some(runtime) => rows.incarnation(&runtime.id)?,
        None => 0,
    };
    let attempt = Attempt {
        id: run.id.clone(),
        number: effective.head.attempts,
        generation: effective.generation,
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
    Ok(AttemptRecord { attempt, incarnation, begun_under: effective.generation })
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
    effective: &EffectiveState,
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
        generation: effective.generation,
        number: 0,
        attempt: None,
    })
}

pub(super) fn backfill<R: SessionStore>(
    rows: &mut R,
    address: &SessionAddress,
    fill: &BackfillRuntime,
    now: Timestamp,
) -> Result<RuntimeBackfilled, R::Error> {
    let mut effective = EffectiveState::read(rows, address, now)?;
    let found = match effective.head.pointer.clone().filter(|pointer| pointer.runtime.is_none()) {
        Some(pointer) => evidence(rows, &pointer)?.map(|runtime| (pointer, runtime)),
        None => None,
    };
    let runtime = found.as_ref().map(|(_, bound)| bound.runtime.clone());
    let written = found.is_some() && !fill.dry_run;
    if let Some((pointer, bound)) = found.filter(|_| written) {
        effective.head.pointer = Some(SessionValue { runtime: Some(bound), ..pointer });
        effective.write(rows, now)?;
    }
    Ok(RuntimeBackfilled {
        agent: fill.agent.clone(),
        thread: fill.thread.clone(),
        runtime,
        written,
        deduplicated: false,
    })
}

/// Returns the runtime of the latest run that reported a session, if that session is the one of the pointer.
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
