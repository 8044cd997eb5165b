//! The effective state of a pointer: the stored head, with the resets of its thread and agent applied.

use super::{
    AttemptRecord, BoundRuntime, Health, KnownSession, Running, SessionAddress, SessionHead, SessionRows,
    SessionStore, SessionValue,
};
use crate::{
    Timestamp,
    backend::rules,
    id::SessionId,
    message::{Generation, SessionGeneration, SessionRevision},
    session::{AttemptState, Binding, Failure, GenerationCause, Pointer, PointerState},
};

/// The result of an ended run for its session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// The run succeeded on the session.
    Healed,
    /// The run had the session and reports no change of its health.
    Kept,
    Poisoned(Failure),
    Missing,
}

/// The increment of the revision for one change. The revision in between belongs to the expiry of a lease, which a
/// reader sees before any write records it.
const STEP: u64 = 2;

/// A stored head, with all resets applied that happened since it was written.
#[derive(Debug, Clone)]
pub(super) struct EffectiveState {
    pub(super) address: SessionAddress,
    pub(super) head: SessionHead,
    pub(super) generation: SessionGeneration,
    is_new: bool,
    /// The run whose lease has ended, if it counts as lapsed.
    pub(super) lapsed: Option<Lapsed>,
}

/// A run whose lease has ended, and the session that it had reported.
#[derive(Debug, Clone)]
pub(super) struct Lapsed {
    pub(super) record: AttemptRecord,
    pub(super) session: Option<KnownSession>,
}

impl EffectiveState {
    /// Reads the present state.
    pub(super) fn read<R: SessionRows>(
        rows: &mut R,
        address: &SessionAddress,
        now: Timestamp,
    ) -> Result<Self, R::Error> {
        let found = rows.head()?;
        let is_new = found.is_none();
        let mut head = found.unwrap_or_else(|| new_head(address, now));
        let generation = address.generation(head.own);
        let clears = address.cleared.get().saturating_sub(head.cleared.get());
        let resets = address.resets.saturating_sub(head.resets);
        if resets > 0 {
            head.cause = GenerationCause::AgentReset;
        }
        if clears > 0 {
            head.cause = GenerationCause::ThreadCleared;
            head.floor = generation;
        }
        head.cleared = address.cleared;
        head.resets = address.resets;
        head.revision = SessionRevision::new(head.revision.get() + STEP * (clears + resets));
        Ok(Self { address: address.clone(), head, generation, is_new, lapsed: None })
    }

    /// Reads the state as the next run would find it: a run whose lease has ended is lapsed, and the session that it
    /// reported can be resumed. The second value is the run that is still recorded as running.
    pub(super) fn read_as_if_taken_over<R: SessionRows>(
        rows: &mut R,
        address: &SessionAddress,
        now: Timestamp,
    ) -> Result<(Self, Option<Running>), R::Error> {
        let mut effective = Self::read(rows, address, now)?;
        let running = effective.head.running.clone();
        if let Some(over) = running.as_ref().filter(|running| running.lease.is_expired(now)) {
            effective.head.running = None;
            // Decisions from here on differ from decisions before the lease ended.
            effective.head.revision = effective.head.revision.next();
            if let Some(mut record) = rows.attempt(&over.attempt)? {
                record.attempt.state = AttemptState::Lapsed;
                record.attempt.ended_at = Some(now);
                let session = match &record.attempt.session {
                    Some(id) => Some(recorded(rows, &record, id, Verdict::Kept)?),
                    None => None,
                };
                if let Some(session) = &session {
                    effective.advance(session);
                }
                effective.lapsed = Some(Lapsed { record, session });
            }
        }
        Ok((effective, running))
    }

    /// Whether the store has no head yet.
    pub(super) const fn is_new(&self) -> bool {
        self.is_new
    }

    /// Returns a session, with the change that a lapsed run makes but that is not written yet.
    pub(super) fn session<R: SessionRows>(
        &self,
        rows: &mut R,
        id: &SessionId,
    ) -> Result<Option<KnownSession>, R::Error> {
        match self.lapsed.as_ref().and_then(|lapsed| lapsed.session.as_ref()) {
            Some(session) if session.id == *id => Ok(Some(session.clone())),
            _ => rows.session(id),
        }
    }

    /// Moves the pointer to a session if the session is usable, belongs to the present generation, and no later run
    /// has moved the pointer. Returns whether it moved.
    pub(super) fn advance(&mut self, session: &KnownSession) -> bool {
        let Some(value) = session.value.as_ref().filter(|_| session.is_usable()) else { return false };
        let is_later =
            self.head.pointer.as_ref().is_none_or(|pointer| {
                pointer.number <= value.number || pointer.generation < value.generation
            });
        let moves =
            is_later && value.generation == self.generation && self.head.pointer.as_ref() != Some(value);
        if moves {
            self.head.pointer = Some(value.clone());
        }
        moves
    }

    /// Writes the head as the next revision.
    pub(super) fn write<R: SessionStore>(&mut self, rows: &mut R, now: Timestamp) -> Result<(), R::Error> {
        self.head.revision = SessionRevision::new(self.head.revision.get() + STEP);
        self.head.updated_at = rules::updated_at(self.head.updated_at, now);
        self.is_new = false;
        rows.put_head(&self.head)
    }

    /// Returns the binding for an answer, or `None` if the store has no head.
    pub(super) fn binding<R: SessionRows>(&self, rows: &mut R) -> Result<Option<Binding>, R::Error> {
        if self.is_new {
            return Ok(None);
        }
        let head = &self.head;
        let pointer = match &head.pointer {
            Some(value) => {
                let retired = self.session(rows, &value.session)?.is_some_and(|session| session.retired);
                let state = if retired { PointerState::Retired } else { PointerState::Confirmed };
                Some(pointer(rows, value, state)?)
            }
            None => self.provisional(rows)?,
        };
        Ok(Some(Binding {
            agent: self.address.agent.clone(),
            thread: self.address.thread.clone(),
            pointer,
            generation: self.generation,
            cause: head.cause,
            revision: head.revision,
            running: head.running.clone().map(Into::into),
            created_at: head.created_at,
            updated_at: head.updated_at,
        }))
    }

    /// Returns the pointer that the present run would create if it reported its assigned session.
    fn provisional<R: SessionRows>(&self, rows: &mut R) -> Result<Option<Pointer>, R::Error> {
        let Some(running) = &self.head.running else { return Ok(None) };
        let Some(record) = rows.attempt(&running.attempt)? else { return Ok(None) };
        match &record.attempt.assigned {
            Some(session) if record.attempt.resumes.is_none() => {
                Ok(Some(pointer(rows, &record.value(session), PointerState::Provisional)?))
            }
            _ => Ok(None),
        }
    }
}

fn new_head(address: &SessionAddress, now: Timestamp) -> SessionHead {
    let was_cleared = address.cleared > Generation::FIRST;
    SessionHead {
        own: 0,
        cleared: address.cleared,
        resets: address.resets,
        // The resets of the agent count: work from before the clear may name any generation up to this one.
        floor: if was_cleared {
            address.generation(0)
        } else {
            SessionGeneration::new(address.cleared.get())
        },
        cause: match (was_cleared, address.resets) {
            (true, _) => GenerationCause::ThreadCleared,
            (false, 0) => GenerationCause::First,
            (false, _) => GenerationCause::AgentReset,
        },
        // A revision that no caller has seen: not before the agent was dropped, and not before resets of sessions
        // without rows.
        revision: SessionRevision::new(
            STEP * (address.resets + address.cleared.get()).saturating_sub(Generation::FIRST.get()),
        ),
        pointer: None,
        running: None,
        attempts: 0,
        last: None,
        created_at: now,
        updated_at: now,
    }
}

fn pointer<R: SessionRows>(
    rows: &mut R,
    value: &SessionValue,
    state: PointerState,
) -> Result<Pointer, R::Error> {
    let runtime = match &value.runtime {
        Some(bound) if is_bound(rows, bound)? => Some(bound.runtime.clone()),
        _ => None,
    };
    Ok(Pointer {
        session: value.session.clone(),
        provider: value.provider.clone(),
        runtime,
        work_dir: value.work_dir.clone(),
        generation: value.generation,
        state,
        attempt: value.attempt.clone(),
    })
}

/// Whether the runtime was not dropped since.
pub(super) fn is_bound<R: SessionRows>(rows: &mut R, bound: &BoundRuntime) -> Result<bool, R::Error> {
    Ok(rows.incarnation(&bound.runtime.id)? == bound.incarnation)
}

/// Returns a session after a run has reported it. A late report of an earlier run changes nothing.
pub(super) fn recorded<R: SessionRows>(
    rows: &mut R,
    record: &AttemptRecord,
    id: &SessionId,
    verdict: Verdict,
) -> Result<KnownSession, R::Error> {
    let mut session = rows.session(id)?.unwrap_or_else(|| unknown(id));
    if session.value.as_ref().is_some_and(|value| value.number > record.attempt.number) {
        return Ok(session);
    }
    session.value = Some(record.value(id));
    session.health = match verdict {
        Verdict::Healed => Health::Good,
        Verdict::Kept => session.health,
        Verdict::Poisoned(failure) => Health::Poisoned(failure),
        Verdict::Missing => Health::Missing,
    };
    Ok(session)
}

/// Returns a session that no run has reported.
pub(super) fn unknown(id: &SessionId) -> KnownSession {
    KnownSession { id: id.clone(), value: None, health: Health::Good, retired: false, delivered_gap: None }
}
