//! A head as it stands now, whatever has happened to its thread and its agent since it was written.

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

/// What a run that has ended says of its session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It succeeded on it.
    Healed,
    /// It has it, and says nothing else.
    Kept,
    Poisoned(Failure),
    Missing,
}

/// What a change adds to the revision. A lease that has ended is seen before anything is written of it, and has the revision
/// between two of them to itself.
const STEP: u64 = 2;

/// A head, up to date.
#[derive(Debug, Clone)]
pub(super) struct Standing {
    pub(super) place: SessionAddress,
    pub(super) head: SessionHead,
    pub(super) generation: SessionGeneration,
    is_new: bool,
    /// The run whose lease has ended, if it is taken to be over.
    pub(super) lapsed: Option<Lapsed>,
}

/// A run whose lease has ended, and the session that it had said it runs.
#[derive(Debug, Clone)]
pub(super) struct Lapsed {
    pub(super) record: AttemptRecord,
    pub(super) session: Option<KnownSession>,
}

impl Standing {
    /// As it stands.
    pub(super) fn read<R: SessionRows>(
        rows: &mut R,
        place: &SessionAddress,
        now: Timestamp,
    ) -> Result<Self, R::Error> {
        let found = rows.head()?;
        let is_new = found.is_none();
        let mut head = found.unwrap_or_else(|| begun(place, now));
        let generation = place.generation(head.own);
        let clears = place.cleared.get().saturating_sub(head.cleared.get());
        let resets = place.resets.saturating_sub(head.resets);
        if resets > 0 {
            head.cause = GenerationCause::AgentReset;
        }
        if clears > 0 {
            head.cause = GenerationCause::ThreadCleared;
            head.floor = generation;
        }
        head.cleared = place.cleared;
        head.resets = place.resets;
        head.revision = SessionRevision::new(head.revision.get() + STEP * (clears + resets));
        Ok(Self { place: place.clone(), head, generation, is_new, lapsed: None })
    }

    /// As it stands when the next run begins: one whose lease has ended is over, and the session that it had reported is gone on with. Beside it, who
    /// runs until then.
    pub(super) fn read_as_if_taken_over<R: SessionRows>(
        rows: &mut R,
        place: &SessionAddress,
        now: Timestamp,
    ) -> Result<(Self, Option<Running>), R::Error> {
        let mut standing = Self::read(rows, place, now)?;
        let running = standing.head.running.clone();
        if let Some(over) = running.as_ref().filter(|running| running.lease.is_expired(now)) {
            standing.head.running = None;
            // What is decided from here on is not what was seen before the lease ended.
            standing.head.revision = standing.head.revision.next();
            if let Some(mut record) = rows.attempt(&over.attempt)? {
                record.attempt.state = AttemptState::Lapsed;
                record.attempt.ended_at = Some(now);
                let session = match &record.attempt.session {
                    Some(id) => Some(recorded(rows, &record, id, Verdict::Kept)?),
                    None => None,
                };
                if let Some(session) = &session {
                    standing.advance(session);
                }
                standing.lapsed = Some(Lapsed { record, session });
            }
        }
        Ok((standing, running))
    }

    /// Whether nothing was ever kept.
    pub(super) const fn is_new(&self) -> bool {
        self.is_new
    }

    /// A session, with what is only taken to have happened.
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

    /// Moves the pointer to a session if it may be offered, belongs to the present generation, and no later run has moved it.
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

    /// What is told of it; nothing where nothing was ever kept.
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
            agent: self.place.agent.clone(),
            thread: self.place.thread.clone(),
            pointer,
            generation: self.generation,
            cause: head.cause,
            revision: head.revision,
            running: head.running.clone().map(Into::into),
            created_at: head.created_at,
            updated_at: head.updated_at,
        }))
    }

    /// The pointer that a run would have if it reported the session that it was given.
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

fn begun(place: &SessionAddress, now: Timestamp) -> SessionHead {
    let was_cleared = place.cleared > Generation::FIRST;
    SessionHead {
        own: 0,
        cleared: place.cleared,
        resets: place.resets,
        // The resets of the agent count: work from before the clearing may name any generation up to here.
        floor: if was_cleared { place.generation(0) } else { SessionGeneration::new(place.cleared.get()) },
        cause: match (was_cleared, place.resets) {
            (true, _) => GenerationCause::ThreadCleared,
            (false, 0) => GenerationCause::First,
            (false, _) => GenerationCause::AgentReset,
        },
        // Not one that was seen of an agent that was dropped, or before what ended sessions that were never kept.
        revision: SessionRevision::new(
            STEP * (place.resets + place.cleared.get()).saturating_sub(Generation::FIRST.get()),
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

/// Whether a runtime was not dropped since.
pub(super) fn is_bound<R: SessionRows>(rows: &mut R, bound: &BoundRuntime) -> Result<bool, R::Error> {
    Ok(rows.incarnation(&bound.runtime.id)? == bound.incarnation)
}

/// A session after a run has said something of it. What an earlier run says late changes nothing.
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

/// A session that no run has reported.
pub(super) fn unknown(id: &SessionId) -> KnownSession {
    KnownSession { id: id.clone(), value: None, health: Health::Good, retired: false, told: None }
}
