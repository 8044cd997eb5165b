//! Changes of the sessions of an agent from outside of its runs: reset, retire and clear.

use super::{
    EffectiveState, Health, SessionAddress, SessionStore,
    begin::describe,
    effective_state::{is_bound, unknown},
    end,
};
use crate::{
    ErrorKind, PersistError, Timestamp,
    message::SessionGeneration,
    operation::{ClearPointerIf, ResetSession, RetireSession, SessionChanged},
    session::GenerationCause,
};

pub(super) fn reset<R: SessionStore>(
    rows: &mut R,
    address: &SessionAddress,
    reset: &ResetSession,
    now: Timestamp,
) -> Result<SessionChanged, R::Error> {
    let mut effective = EffectiveState::read(rows, address, now)?;
    let generation = effective.generation;
    if reset.expected.is_some_and(|expected: SessionGeneration| expected != generation) {
        let detail =
            format!("the caller expected another generation than {generation} of {}", describe(address));
        return Err(PersistError::new(ErrorKind::Stale, detail).into());
    }
    effective.head.own += 1;
    effective.head.cause = GenerationCause::Reset;
    effective.generation = generation.next();
    effective.write(rows, now)?;
    end::changed(rows, &effective, false)
}

pub(super) fn retire<R: SessionStore>(
    rows: &mut R,
    address: &SessionAddress,
    retire: &RetireSession,
    now: Timestamp,
) -> Result<SessionChanged, R::Error> {
    let mut effective = EffectiveState::read(rows, address, now)?;
    end::retire(rows, &retire.session)?;
    effective.write(rows, now)?;
    let points_there =
        effective.head.pointer.as_ref().is_some_and(|pointer| pointer.session == retire.session);
    end::changed(rows, &effective, points_there)
}

pub(super) fn clear_if<R: SessionStore>(
    rows: &mut R,
    address: &SessionAddress,
    clear: &ClearPointerIf,
    now: Timestamp,
) -> Result<SessionChanged, R::Error> {
    let mut effective = EffectiveState::read(rows, address, now)?;
    let points_there = match &effective.head.pointer {
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
        effective.head.pointer = None;
    }
    if points_there || effective.is_new() {
        effective.write(rows, now)?;
    }
    end::changed(rows, &effective, points_there)
}
