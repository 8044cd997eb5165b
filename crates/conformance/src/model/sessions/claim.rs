//! The sessions that a claim can resume.

use super::{
    step::{At, Claim, Found, How},
    world::{Fault, PairState, Refusal, Run, SessionEvent, State, Value, World},
};

/// Why a session is not offered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Why {
    NoSession,
    Provisional,
    Provider,
    Runtime,
    Root,
    Generation,
    Retired,
    Poisoned,
    Missing,
    Cleared,
    DirectoryGone,
    Elsewhere,
    Fresh,
    NothingToRerun,
    WrongScope,
}

/// The expected answer to a claim.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Answer {
    pub(super) generation: u64,
    pub(super) session: Option<usize>,
    pub(super) dir: Option<usize>,
    pub(super) why: Option<Why>,
    pub(super) gap: Option<(Option<usize>, Why)>,
    /// The session that is not gone on with, and whether it was found not to be there.
    lost: Option<(usize, bool)>,
}

impl World {
    /// The state of the agent in the thread when the next run begins, and the answer to the claim. `source` names the run to repeat.
    pub(super) fn claim(
        &self,
        at: At,
        claim: &Claim,
        generation: Option<u64>,
        source: Option<&str>,
    ) -> Result<Answer, Answer> {
        let mut pair = self.pair(at).cloned().unwrap_or_default();
        let present = self.present(at);
        pair.lapse(self.now, present);
        let source = source.map(|id| pair.runs.iter().find(|run| run.id == id).cloned());
        let generation = generation.unwrap_or(present);
        let mut answer = Answer { generation, ..Answer::default() };
        if generation > present || generation < self.floor(at) {
            answer.why = Some(Why::Generation);
            return Err(answer);
        }
        let newest = pair.sessions().into_iter().rfind(|value| value.generation <= generation).cloned();
        let (offered, mut lost) = match &source {
            Some(None) => {
                (answer.why, answer.gap) = (Some(Why::WrongScope), Some((None, Why::WrongScope)));
                (None, None)
            }
            Some(Some(source)) => {
                answer.dir = source.dir;
                match self.rerun(&pair, claim, generation, source) {
                    Some(Ok(value)) => (Some(value), None),
                    Some(Err(lost)) => (None, Some(lost)),
                    None => {
                        answer.why = Some(Why::NothingToRerun);
                        (None, None)
                    }
                }
            }
            None if claim.fresh => {
                answer.why = Some(Why::Fresh);
                (None, newest.map(|value| (value.session, Why::Fresh)))
            }
            None => self.follow_up(&pair, claim, generation, newest.as_ref(), &mut answer),
        };
        let unreachable = match claim.found {
            Found::Same => None,
            Found::Elsewhere => Some(Why::Elsewhere),
            Found::DirectoryGone => Some(Why::DirectoryGone),
            Found::SessionMissing => Some(Why::Missing),
        };
        if claim.found == Found::DirectoryGone {
            answer.dir = None;
        }
        match (offered, unreachable) {
            (Some(value), Some(why)) => {
                // A directory that the session has left since says nothing of it.
                let is_there = |latest: &Value| (latest.dir, latest.runtime) == (value.dir, value.runtime);
                let is_missing = match why {
                    Why::Missing => true,
                    Why::DirectoryGone => pair.value(value.session).is_some_and(is_there),
                    _ => false,
                };
                answer.lost = Some((value.session, is_missing));
                lost = Some((value.session, why));
            }
            (Some(value), None) => answer.session = Some(value.session),
            (None, _) => {}
        }
        if let Some((session, why)) = lost {
            answer.why = Some(why);
            answer.lost.get_or_insert((session, false));
            let number = pair.value(session).map(|value| value.number);
            if number.is_some() && pair.reported(session) != number {
                answer.gap = Some((Some(session), why));
            }
        }
        Ok(answer)
    }

    /// The session of the run that is repeated, or the reason why it is withheld; nothing if it had none.
    fn rerun(
        &self,
        pair: &PairState,
        claim: &Claim,
        generation: u64,
        source: &Run,
    ) -> Option<Result<Value, (usize, Why)>> {
        let session = source.session.or(source.resumes).filter(|session| {
            pair.value(*session).is_some() || pair.is_retired(*session) || pair.fault(*session).is_some()
        })?;
        let value = source.value(session);
        let own = match source.state {
            State::Ended(How::FailPoisoned) => Some(Why::Poisoned),
            State::Ended(How::FailMissing) => Some(Why::Missing),
            _ => None,
        };
        let forced = claim.fresh.then_some(Why::Fresh);
        match forced.or(own).or_else(|| self.against(pair, &value, claim, generation)) {
            None => Some(Ok(value)),
            Some(why) => Some(Err((session, why))),
        }
    }

    /// The pointer, or the latest session that will do; the latest of all is the one that is missed where it is another.
    fn follow_up(
        &self,
        pair: &PairState,
        claim: &Claim,
        generation: u64,
        newest: Option<&Value>,
        answer: &mut Answer,
    ) -> (Option<Value>, Option<(usize, Why)>) {
        let will_do = |value: &Value| self.against(pair, value, claim, generation).is_none();
        let pointer = pair.pointer.as_ref().filter(|pointer| pointer.generation == generation);
        let sessions = pair.sessions();
        let offered = pointer
            .filter(|pointer| will_do(pointer))
            .or_else(|| sessions.into_iter().rfind(|value| will_do(value)))
            .cloned();
        let of_the_generation = newest.filter(|value| value.generation == generation);
        answer.dir = match offered.as_ref().or(pointer).or(of_the_generation) {
            Some(value) => value.dir,
            None => None,
        };
        let Some(newest) = newest else {
            if offered.is_none() {
                let was_given = pair.runs.last().is_some_and(|run| run.assigned.is_some());
                answer.why = Some(if was_given { Why::Provisional } else { Why::NoSession });
            }
            return (offered, None);
        };
        if offered.as_ref().is_some_and(|value| value.session == newest.session) {
            return (offered, None);
        }
        let why = self.against(pair, newest, claim, generation);
        (offered, why.map(|why| (newest.session, why)))
    }

    /// The reason why this claim cannot resume a session.
    fn against(&self, pair: &PairState, value: &Value, claim: &Claim, generation: u64) -> Option<Why> {
        if pair.is_retired(value.session) {
            return Some(Why::Retired);
        }
        if let Some(fault) = pair.fault(value.session) {
            return Some(match fault {
                Fault::Poisoned => Why::Poisoned,
                Fault::Missing => Why::Missing,
                Fault::Cleared => Why::Cleared,
            });
        }
        if value.generation != generation {
            return Some(Why::Generation);
        }
        if value.provider != claim.provider {
            return Some(Why::Provider);
        }
        match (value.runtime, claim.runtime) {
            (Some(had), Some(has)) if had.0.0 == has.0 && self.is_bound(had) => {
                (had.0.1 != has.1).then_some(Why::Root)
            }
            _ => Some(Why::Runtime),
        }
    }

    /// A run begins, if it may.
    pub(super) fn begin(&mut self, at: At, begin: BeginArgs<'_>) -> Result<(u64, Answer), Refusal> {
        let BeginArgs { id, claim, generation, source, assigned, dir, lease } = begin;
        let present = self.present(at);
        if self.pair(at).is_some_and(|pair| pair.lease.is_some_and(|(_, until, _)| until > self.now)) {
            return Err(Refusal::Busy);
        }
        let answer = self.claim(at, claim, generation, source).map_err(|_| Refusal::Stale)?;
        let (now, runtime) = (self.now, self.bound(claim.runtime));
        let pair = self.write(at);
        pair.lapse(now, present);
        if let Some((session, is_missing)) = answer.lost {
            if let (true, Some(value)) = (answer.gap.is_some(), pair.value(session)) {
                let number = value.number;
                pair.events.push(SessionEvent::GapReported(session, number));
            }
            if is_missing {
                pair.events.push(SessionEvent::Faulty(session, Fault::Missing));
            }
        }
        if let Some(session) = answer.session {
            pair.events.push(SessionEvent::Resumed(session));
        }
        let known = if claim.found == Found::Elsewhere { None } else { answer.dir };
        let number = pair.runs.len() as u64 + 1;
        pair.runs.push(Run {
            id: id.to_owned(),
            number,
            generation: answer.generation,
            begun_under: present,
            provider: claim.provider,
            runtime,
            resumes: answer.session,
            assigned,
            session: None,
            dir: dir.or(known),
            state: State::Running,
        });
        let run = pair.runs.len() - 1;
        self.lease(at, run, lease);
        Ok((number, answer))
    }
}

/// The arguments with which a run begins.
#[derive(Debug, Clone, Copy)]
pub(super) struct BeginArgs<'a> {
    pub(super) id: &'a str,
    pub(super) claim: &'a Claim,
    pub(super) generation: Option<u64>,
    pub(super) source: Option<&'a str>,
    pub(super) assigned: Option<usize>,
    pub(super) dir: Option<usize>,
    pub(super) lease: usize,
}
