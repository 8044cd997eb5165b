//! The decision which session a claimer can resume, and why others are withheld.

use super::{
    BoundRuntime, EffectiveState, Health, KnownSession, SessionRows, SessionValue, Wanted,
    effective_state::is_bound,
};
use crate::{
    id::{SessionId, WorkDir},
    message::SessionGeneration,
    session::{AfterFailure, AttemptState, Claimer, Directory, Gap, Resolution, Withheld},
};

/// A decision, and the facts that a run which begins on it must record.
#[derive(Debug, Clone)]
pub(super) struct Decision {
    pub(super) offered: Option<SessionValue>,
    pub(super) work_dir: Option<WorkDir>,
    pub(super) withheld: Option<Withheld>,
    pub(super) gap: Option<Gap>,
    pub(super) generation: SessionGeneration,
    /// Whether the claim names a generation that does not exist, or that was cleared.
    pub(super) is_out_of_time: bool,
    /// The latest session, if it is not resumed.
    pub(super) lost: Option<SessionId>,
    /// Whether the claimer found that the session is missing.
    pub(super) is_missing: bool,
}

/// A known session that is not resumed, and the reason.
struct Lost {
    session: KnownSession,
    reason: Withheld,
}

impl Decision {
    pub(super) fn of<R: SessionRows>(
        rows: &mut R,
        effective: &EffectiveState,
        claimer: &Claimer,
    ) -> Result<Self, R::Error> {
        let rerun = match &claimer.rerun_of {
            Some(id) => Some(match &effective.lapsed {
                Some(lapsed) if lapsed.record.attempt.id == *id => Some(lapsed.record.clone()),
                _ => rows.attempt(id)?,
            }),
            None => None,
        };
        // A rerun happens in the present generation: it does not restore sessions that were reset since.
        let generation = claimer.generation.unwrap_or(effective.generation);
        let mut decision = Self {
            offered: None,
            work_dir: None,
            withheld: None,
            gap: None,
            generation,
            is_out_of_time: generation > effective.generation || generation < effective.head.floor,
            lost: None,
            is_missing: false,
        };
        if decision.is_out_of_time {
            decision.withheld = Some(Withheld::Generation);
            return Ok(decision);
        }
        let newest = newest(rows, effective, generation)?;
        let lost = match rerun {
            Some(None) => {
                decision.withheld = Some(Withheld::WrongScope);
                decision.gap = Some(Gap { session: None, reason: Withheld::WrongScope });
                None
            }
            Some(Some(source)) => {
                decision.work_dir.clone_from(&source.attempt.work_dir);
                decision.rerun(rows, effective, claimer, &source)?
            }
            None if claimer.force_fresh => {
                decision.withheld = Some(Withheld::ForcedFresh);
                newest.map(|session| Lost { session, reason: Withheld::ForcedFresh })
            }
            None => decision.follow_up(rows, effective, claimer, newest)?,
        };
        let lost = decision.reach(rows, effective, claimer)?.or(lost);
        if let Some(Lost { session, reason }) = lost {
            decision.withheld = Some(reason);
            decision.lost = Some(session.id.clone());
            let number = session.value.as_ref().map(|value| value.number);
            if number.is_some() && session.delivered_gap != number {
                decision.gap = Some(Gap { session: Some(session.id), reason });
            }
        }
        Ok(decision)
    }

    /// Decides for a rerun: only the session of the original run can be offered.
    fn rerun<R: SessionRows>(
        &mut self,
        rows: &mut R,
        effective: &EffectiveState,
        claimer: &Claimer,
        source: &super::AttemptRecord,
    ) -> Result<Option<Lost>, R::Error> {
        // A run that has reported no session had the one that it resumed.
        let known = match source.attempt.session.as_ref().or(source.attempt.resumes.as_ref()) {
            Some(id) => effective.session(rows, id)?.map(|known| (known, source.value(id))),
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

    /// Decides for a new run: the session of the pointer, or the latest session that the claimer can resume.
    fn follow_up<R: SessionRows>(
        &mut self,
        rows: &mut R,
        effective: &EffectiveState,
        claimer: &Claimer,
        newest: Option<KnownSession>,
    ) -> Result<Option<Lost>, R::Error> {
        let generation = self.generation;
        let pointer = effective.head.pointer.as_ref().filter(|pointer| pointer.generation == generation);
        self.offered = match pointer {
            Some(value) => match effective.session(rows, &value.session)? {
                Some(known) if judge(rows, &known, value, claimer, generation)?.is_none() => {
                    Some(value.clone())
                }
                _ => usable(rows, effective, claimer, generation)?,
            },
            None => usable(rows, effective, claimer, generation)?,
        };
        // A session needs its own directory. Without a session, the latest directory is used, of any runtime.
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
                let last = match &effective.head.last {
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

    /// Withdraws the offer if the claimer found that it cannot reach the session or its directory.
    fn reach<R: SessionRows>(
        &mut self,
        rows: &mut R,
        effective: &EffectiveState,
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
        let session = effective.session(rows, &value.session)?;
        // A directory that a later run has left for another one says nothing about the session.
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
        effective: &EffectiveState,
    ) -> Result<Resolution, R::Error> {
        Ok(Resolution {
            session: self.offered.map(|value| value.session),
            work_dir: self.work_dir,
            withheld: self.withheld,
            gap: self.gap,
            generation: self.generation,
            revision: effective.head.revision,
            binding: effective.binding(rows)?.map(Box::new),
        })
    }
}

/// Returns the latest session up to a generation.
fn newest<R: SessionRows>(
    rows: &mut R,
    effective: &EffectiveState,
    up_to: SessionGeneration,
) -> Result<Option<KnownSession>, R::Error> {
    let order = |known: &KnownSession| known.value.as_ref().map(|value| (value.generation, value.number));
    // The row of the session does not contain the lapsed run yet.
    let over = effective.lapsed.as_ref().and_then(|lapsed| lapsed.session.as_ref());
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
        (Some(found), Some(over)) if order(&found) > order(over) => Some(found),
        (found, over) => over.cloned().or(found),
    })
}

/// Returns the session that the last run of `found` reported as its own, if that is another one. A cancelled run may
/// have found the session that it resumed missing, and may have reported its own session later. Then both sessions
/// have the number of the run, and its own session is the latest.
fn named_later<R: SessionRows>(rows: &mut R, found: &KnownSession) -> Result<Option<KnownSession>, R::Error> {
    let Some(value) = found.value.as_ref().filter(|_| found.health != Health::Good) else { return Ok(None) };
    let Some(attempt) = &value.attempt else { return Ok(None) };
    let Some(own) = rows.attempt(attempt)?.and_then(|record| record.attempt.session) else { return Ok(None) };
    let own = if own == found.id { None } else { rows.session(&own)? };
    Ok(own.filter(|own| own.value.as_ref().is_some_and(|latest| latest.number == value.number)))
}

/// Returns the latest session that the claimer can resume.
fn usable<R: SessionRows>(
    rows: &mut R,
    effective: &EffectiveState,
    claimer: &Claimer,
    generation: SessionGeneration,
) -> Result<Option<SessionValue>, R::Error> {
    // A claimer without a runtime matches no session.
    let Some(runtime) = &claimer.runtime else { return Ok(None) };
    let incarnation = rows.incarnation(&runtime.id)?;
    let over = effective.lapsed.as_ref().and_then(|lapsed| lapsed.session.as_ref());
    let wanted = Wanted { generation, provider: &claimer.provider, runtime, incarnation, besides: None };
    if let Some(over) = over.filter(|known| known.is_wanted(&wanted)) {
        return Ok(over.value.clone());
    }
    // The row of this session is out of date.
    let wanted = Wanted { besides: over.map(|over| &over.id), ..wanted };
    Ok(rows.usable(&wanted)?.and_then(|known| known.value))
}

/// Returns the reason why a claimer of this generation cannot resume a session.
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
