//! What is done to the sessions of an agent in a thread from outside its runs.

use super::{
    Health, SessionAddress, SessionStore, Standing,
    begin::whose,
    end,
    standing::{is_bound, unknown},
};
use crate::{
    ErrorKind, PersistError, Timestamp,
    message::SessionGeneration,
    operation::{ClearPointerIf, ResetSession, RetireSession, SessionChanged},
    session::GenerationCause,
};

pub(super) fn reset<R: SessionStore>(
    rows: &mut R,
    place: &SessionAddress,
    reset: &ResetSession,
    now: Timestamp,
) -> Result<SessionChanged, R::Error> {
    let mut standing = Standing::read(rows, place, now)?;
    let generation = standing.generation;
    if reset.expected.is_some_and(|expected: SessionGeneration| expected != generation) {
        let detail = format!("the caller saw another generation than {generation} of {}", whose(place));
        return Err(PersistError::new(ErrorKind::Stale, detail).into());
    }
    standing.head.own += 1;
    standing.head.cause = GenerationCause::Reset;
    standing.generation = generation.next();
    standing.write(rows, now)?;
    end::changed(rows, &standing, false)
}

pub(super) fn retire<R: SessionStore>(
    rows: &mut R,
    place: &SessionAddress,
    retire: &RetireSession,
    now: Timestamp,
) -> Result<SessionChanged, R::Error> {
    let mut standing = Standing::read(rows, place, now)?;
    end::retire(rows, &retire.session)?;
    standing.write(rows, now)?;
    let points_there =
        standing.head.pointer.as_ref().is_some_and(|pointer| pointer.session == retire.session);
    end::changed(rows, &standing, points_there)
}

pub(super) fn clear_if<R: SessionStore>(
    rows: &mut R,
    place: &SessionAddress,
    clear: &ClearPointerIf,
    now: Timestamp,
) -> Result<SessionChanged, R::Error> {
    let mut standing = Standing::read(rows, place, now)?;
    let points_there = match &standing.head.pointer {
        Some(pointer) if pointer.session == clear.session => match (&clear.runtime, &pointer.runtime) {
            (None, _) => true,
            (Some(asked), Some(bound)) => bound.runtime == *asked && is_bound(rows, bound)?,
            (Some(_), None) => false,
        },
        _ => false,
    };
    if points_there {
        let mut session = rows.session(&clear.session)?.unwrap_or_else(|| unknown(&clear.session));
        session.health = Health::Cleared;
        rows.put_session(&session)?;
        standing.head.pointer = None;
    }
    if points_there || standing.is_new() {
        standing.write(rows, now)?;
    }
    end::changed(rows, &standing, points_there)
}
