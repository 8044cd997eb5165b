//! What a claimer may go on with, and why not with more.

use super::{
    BoundRuntime, Health, KnownSession, SessionRows, SessionValue, Standing, Wanted, standing::is_bound,
};
use crate::{
    id::{SessionId, WorkDir},
    message::SessionGeneration,
    session::{AfterFailure, AttemptState, Claimer, Directory, Gap, Resolution, Withheld},
};

/// What was decided, and what a run that begins on it has to take down.
#[derive(Debug, Clone)]
pub(super) struct Decision {
    pub(super) offered: Option<SessionValue>,
    pub(super) work_dir: Option<WorkDir>,
    pub(super) withheld: Option<Withheld>,
    pub(super) gap: Option<Gap>,
    pub(super) generation: SessionGeneration,
    /// The claim names a generation that there is not, or that went with what was cleared.
    pub(super) is_out_of_time: bool,
    /// The session that is not gone on with.
    pub(super) lost: Option<SessionId>,
    /// The claimer has found that it is not there.
    pub(super) is_missing: bool,
}

/// A session that is known and not gone on with.
struct Lost {
    session: KnownSession,
    reason: Withheld,
}

impl Decision {
    pub(super) fn of<R: SessionRows>(
        rows: &mut R,
        standing: &Standing,
        claimer: &Claimer,
    ) -> Result<Self, R::Error> {
        let rerun = match &claimer.rerun_of {
            Some(id) => Some(match &standing.lapsed {
                Some(lapsed) if lapsed.record.attempt.id == *id => Some(lapsed.record.clone()),
                _ => rows.attempt(id)?,
            }),
            None => None,
        };
        // A run that is made again is made now: what was reset since is not brought back.
        let generation = claimer.generation.unwrap_or(standing.generation);
        let mut decision = Self {
            offered: None,
            work_dir: None,
            withheld: None,
            gap: None,
            generation,
            is_out_of_time: generation > standing.generation || generation < standing.head.floor,
            lost: None,
            is_missing: false,
        };
        if decision.is_out_of_time {
            decision.withheld = Some(Withheld::Generation);
            return Ok(decision);
        }
        let newest = newest(rows, standing, generation)?;
        let lost = match rerun {
            Some(None) => {
                decision.withheld = Some(Withheld::WrongScope);
                decision.gap = Some(Gap { session: None, reason: Withheld::WrongScope });
                None
            }
            Some(Some(source)) => {
                decision.work_dir.clone_from(&source.attempt.work_dir);
                decision.rerun(rows, standing, claimer, &source)?
            }
            None if claimer.force_fresh => {
                decision.withheld = Some(Withheld::ForcedFresh);
                newest.map(|session| Lost { session, reason: Withheld::ForcedFresh })
            }
            None => decision.follow_up(rows, standing, claimer, newest)?,
        };
        let lost = decision.reach(rows, standing, claimer)?.or(lost);
        if let Some(Lost { session, reason }) = lost {
            decision.withheld = Some(reason);
            decision.lost = Some(session.id.clone());
            let number = session.value.as_ref().map(|value| value.number);
            if number.is_some() && session.told != number {
                decision.gap = Some(Gap { session: Some(session.id), reason });
            }
        }
        Ok(decision)
    }

    /// What the run had that is to be made again, and nothing else.
    fn rerun<R: SessionRows>(
        &mut self,
        rows: &mut R,
        standing: &Standing,
        claimer: &Claimer,
        source: &super::AttemptRecord,
    ) -> Result<Option<Lost>, R::Error> {
        // A run that has reported none had the one that it resumed.
        let known = match source.attempt.session.as_ref().or(source.attempt.resumes.as_ref()) {
            Some(id) => standing.session(rows, id)?.map(|known| (known, source.value(id))),
            None => None,
        };
        let Some((known, value)) = known else {
            self.withheld = Some(Withheld::NothingToRerun);
            return Ok(None);
        };
        let own_failure = match source.attempt.state {
            AttemptState::Failed(failure) => match failure.session() {
                AfterFailure::Kept => None,
                AfterFailure::Poisoned => Some(Withheld::Poisoned(failure)),
                AfterFailure::Missing => Some(Withheld::ArtifactMissing),
            },
            _ => None,
        };
        let forced = claimer.force_fresh.then_some(Withheld::ForcedFresh);
        let judged = judge(rows, &known, &value, claimer, self.generation)?;
        match forced.or(own_failure).or(judged) {
            None => self.offered = Some(value),
            Some(reason) => return Ok(Some(Lost { session: known, reason })),
        }
        Ok(None)
    }

    /// The pointer, or the latest session that the claimer can resume.
    fn follow_up<R: SessionRows>(
        &mut self,
        rows: &mut R,
        standing: &Standing,
        claimer: &Claimer,
        newest: Option<KnownSession>,
    ) -> Result<Option<Lost>, R::Error> {
        let generation = self.generation;
        let pointer = standing.head.pointer.as_ref().filter(|pointer| pointer.generation == generation);
        self.offered = match pointer {
            Some(value) => match standing.session(rows, &value.session)? {
                Some(known) if judge(rows, &known, value, claimer, generation)?.is_none() => {
                    Some(value.clone())
                }
                _ => usable(rows, standing, claimer, generation)?,
            },
            None => usable(rows, standing, claimer, generation)?,
        };
        // A session goes with its own directory; without one the latest will do, whoever ran there.
        self.work_dir = match (&self.offered, pointer, &newest) {
            (Some(value), ..) => value.work_dir.clone(),
            (None, Some(value), _) => value.work_dir.clone(),
            (None, None, Some(KnownSession { value: Some(value), .. })) if value.generation == generation => {
                value.work_dir.clone()
            }
            _ => None,
        };
        let Some(session) = newest else {
            if self.offered.is_none() {
                let last = match &standing.head.last {
                    Some(last) => rows.attempt(last)?,
                    None => None,
                };
                let assigned = last.is_some_and(|last| last.attempt.assigned.is_some());
                self.withheld = Some(if assigned { Withheld::Provisional } else { Withheld::NoSession });
            }
            return Ok(None);
        };
        if self.offered.as_ref().is_some_and(|value| value.session == session.id) {
            return Ok(None);
        }
        let Some(value) = session.value.clone() else { return Ok(None) };
        let reason = judge(rows, &session, &value, claimer, generation)?;
        Ok(reason.map(|reason| Lost { session, reason }))
    }

    /// Takes back what the claimer has found it cannot reach.
    fn reach<R: SessionRows>(
        &mut self,
        rows: &mut R,
        standing: &Standing,
        claimer: &Claimer,
    ) -> Result<Option<Lost>, R::Error> {
        let reason = match claimer.reach.directory {
            _ if claimer.reach.session_missing => Withheld::ArtifactMissing,
            Directory::Gone => Withheld::WorkDirGone,
            Directory::Elsewhere => Withheld::WorkDirElsewhere,
            Directory::Same => return Ok(None),
        };
        if claimer.reach.directory == Directory::Gone {
            self.work_dir = None;
        }
        let Some(value) = self.offered.take() else { return Ok(None) };
        self.withheld = Some(reason);
        let session = standing.session(rows, &value.session)?;
        // A directory that a later run has left for another one says nothing of the session.
        let is_where = session
            .as_ref()
            .and_then(|session| session.value.as_ref())
            .is_some_and(|latest| latest.work_dir == value.work_dir && latest.runtime == value.runtime);
        self.is_missing = reason == Withheld::ArtifactMissing || reason == Withheld::WorkDirGone && is_where;
        Ok(session.map(|session| Lost { session, reason }))
    }

    pub(super) fn resolution<R: SessionRows>(
        self,
        rows: &mut R,
        standing: &Standing,
    ) -> Result<Resolution, R::Error> {
        Ok(Resolution {
            session: self.offered.map(|value| value.session),
            work_dir: self.work_dir,
            withheld: self.withheld,
            gap: self.gap,
            generation: self.generation,
            revision: standing.head.revision,
            binding: standing.binding(rows)?,
        })
    }
}

/// The latest session up to a generation.
fn newest<R: SessionRows>(
    rows: &mut R,
    standing: &Standing,
    up_to: SessionGeneration,
) -> Result<Option<KnownSession>, R::Error> {
    let place = |known: &KnownSession| known.value.as_ref().map(|value| (value.generation, value.number));
    // Of the run that is taken to be over, the row does not know yet.
    let over = standing.lapsed.as_ref().and_then(|lapsed| lapsed.session.as_ref());
    let found = rows.newest(up_to, over.map(|over| &over.id))?;
    let found = match found {
        Some(found) => Some(
            named_later(rows, &found)?
                .filter(|own| over.is_none_or(|over| over.id != own.id))
                .unwrap_or(found),
        ),
        None => None,
    };
    let over = over.filter(|known| known.value.as_ref().is_some_and(|value| value.generation <= up_to));
    Ok(match (found, over) {
        (Some(found), Some(over)) if place(&found) > place(over) => Some(found),
        (found, over) => over.cloned().or(found),
    })
}

/// The session that the last run of `found` has named as its own, where that is another one. A run that was cancelled may have found the
/// session that it resumed missing, and name its own session later: both have its number then, and its own session is the latest.
fn named_later<R: SessionRows>(rows: &mut R, found: &KnownSession) -> Result<Option<KnownSession>, R::Error> {
    let Some(value) = found.value.as_ref().filter(|_| found.health != Health::Good) else { return Ok(None) };
    let Some(attempt) = &value.attempt else { return Ok(None) };
    let Some(own) = rows.attempt(attempt)?.and_then(|record| record.attempt.session) else { return Ok(None) };
    let own = if own == found.id { None } else { rows.session(&own)? };
    Ok(own.filter(|own| own.value.as_ref().is_some_and(|latest| latest.number == value.number)))
}

/// The latest session that the claimer can resume.
fn usable<R: SessionRows>(
    rows: &mut R,
    standing: &Standing,
    claimer: &Claimer,
    generation: SessionGeneration,
) -> Result<Option<SessionValue>, R::Error> {
    // Who has not said where it runs is like nobody.
    let Some(runtime) = &claimer.runtime else { return Ok(None) };
    let incarnation = rows.incarnation(&runtime.id)?;
    let over = standing.lapsed.as_ref().and_then(|lapsed| lapsed.session.as_ref());
    let wanted = Wanted { generation, provider: &claimer.provider, runtime, incarnation, besides: None };
    if let Some(over) = over.filter(|known| known.is_wanted(&wanted)) {
        return Ok(over.value.clone());
    }
    // Its row still says what it was before.
    let wanted = Wanted { besides: over.map(|over| &over.id), ..wanted };
    Ok(rows.usable(&wanted)?.and_then(|known| known.value))
}

/// Why a claimer of this generation cannot go on with a session.
fn judge<R: SessionRows>(
    rows: &mut R,
    known: &KnownSession,
    value: &SessionValue,
    claimer: &Claimer,
    generation: SessionGeneration,
) -> Result<Option<Withheld>, R::Error> {
    if known.retired {
        return Ok(Some(Withheld::Retired));
    }
    match known.health {
        Health::Good => {}
        Health::Poisoned(failure) => return Ok(Some(Withheld::Poisoned(failure))),
        Health::Missing => return Ok(Some(Withheld::ArtifactMissing)),
        Health::Cleared => return Ok(Some(Withheld::Cleared)),
    }
    if value.generation != generation {
        return Ok(Some(Withheld::Generation));
    }
    if value.provider != claimer.provider {
        return Ok(Some(Withheld::ProviderMismatch));
    }
    match (&value.runtime, &claimer.runtime) {
        (Some(bound), Some(runtime)) if bound.runtime.id == runtime.id && is_bound(rows, bound)? => {
            let BoundRuntime { runtime: had, incarnation: _ } = bound;
            Ok((had.root != runtime.root).then_some(Withheld::RootEpoch))
        }
        _ => Ok(Some(Withheld::RuntimeMismatch)),
    }
}
