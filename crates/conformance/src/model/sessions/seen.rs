//! Answers of the store and of the world, as the same words.

use throughline_core::{
    ids::{SessionId, WorkDir},
    sessions::{Attempt, AttemptState, Binding, Failure, Pointer, PointerState, Resolution, Withheld},
};

use super::{
    claim::{Answer, Why},
    step::{AGENTS, At, DIRS, How, PROVIDERS, ROOTS, RUNTIMES, SESSIONS, THREADS, Where},
    world::{PairState, Run, State, Value, World},
};

type Text = Option<String>;

/// Where an agent goes on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Pointed {
    session: String,
    provider: String,
    runtime: Option<(String, String)>,
    dir: Text,
    generation: u64,
    state: PointerState,
    attempt: Text,
}

/// The stored state of an agent in a thread.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Bound {
    agent: String,
    thread: String,
    pointer: Option<Pointed>,
    generation: u64,
    running: Text,
}

/// The answer to a claim.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Claimed {
    session: Text,
    dir: Text,
    why: Option<Why>,
    gap: Option<(Text, Why)>,
    generation: u64,
    bound: Option<Bound>,
}

/// A run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Row {
    id: String,
    number: u64,
    generation: u64,
    resumes: Text,
    session: Text,
    dir: Text,
    state: State,
}

fn text(names: &[&str], number: Option<usize>) -> Text {
    number.map(|number| names[number].to_owned())
}

fn reported<T: ToString>(id: Option<&T>) -> Text {
    id.map(ToString::to_string)
}

fn pair_of((runtime, root): Where) -> (String, String) {
    (RUNTIMES[runtime].to_owned(), ROOTS[root].to_owned())
}

impl Pointed {
    fn of(pointer: &Pointer) -> Self {
        let runtime = pointer.runtime.as_ref();
        Self {
            session: pointer.session.to_string(),
            provider: pointer.provider.to_string(),
            runtime: runtime.map(|runtime| (runtime.id.to_string(), runtime.root.to_string())),
            dir: reported(pointer.work_dir.as_ref()),
            generation: pointer.generation.get(),
            state: pointer.state,
            attempt: reported(pointer.attempt.as_ref()),
        }
    }

    fn due(world: &World, value: &Value, state: PointerState) -> Self {
        let runtime = value.runtime.filter(|bound| world.is_bound(*bound));
        Self {
            session: SESSIONS[value.session].to_owned(),
            provider: PROVIDERS[value.provider].to_owned(),
            runtime: runtime.map(|(runtime, _)| pair_of(runtime)),
            dir: text(&DIRS, value.dir),
            generation: value.generation,
            state,
            attempt: value.attempt.clone(),
        }
    }
}

impl Bound {
    pub(super) fn of(binding: &Binding) -> Self {
        Self {
            agent: binding.agent.to_string(),
            thread: binding.thread.to_string(),
            pointer: binding.pointer.as_ref().map(Pointed::of),
            generation: binding.generation.get(),
            running: binding.running.as_ref().map(|running| running.attempt.to_string()),
        }
    }

    /// The expected state according to `pair`, with the running attempt.
    fn due(world: &World, at: At, pair: &PairState, running: Text) -> Self {
        let given = |run: &Run| match (run.resumes, run.assigned) {
            (None, Some(session)) => {
                Some(Pointed::due(world, &run.value(session), PointerState::Provisional))
            }
            _ => None,
        };
        let pointer = match &pair.pointer {
            Some(value) if pair.is_retired(value.session) => {
                Some(Pointed::due(world, value, PointerState::Retired))
            }
            Some(value) => Some(Pointed::due(world, value, PointerState::Confirmed)),
            None => pair.lease.and_then(|(run, ..)| given(&pair.runs[run])),
        };
        Self {
            agent: AGENTS[at.0].to_owned(),
            thread: THREADS[at.1].to_owned(),
            pointer,
            generation: world.present(at),
            running,
        }
    }

    /// The current state.
    pub(super) fn now(world: &World, at: At) -> Option<Self> {
        let pair = world.pair(at)?;
        Some(Self::due(world, at, pair, running(pair)))
    }

    /// As a look shows it: what the next run will find, and who runs until then.
    fn looked(world: &World, at: At) -> Option<Self> {
        let pair = world.pair(at)?;
        let mut then = pair.clone();
        then.lapse(world.now, world.present(at));
        Some(Self::due(world, at, &then, running(pair)))
    }
}

fn running(pair: &PairState) -> Text {
    pair.lease.map(|(run, ..)| pair.runs[run].id.clone())
}

impl Claimed {
    pub(super) fn of(resolution: &Resolution) -> Self {
        let gap = resolution.gap.as_ref();
        Self {
            session: reported::<SessionId>(resolution.session.as_ref()),
            dir: reported::<WorkDir>(resolution.work_dir.as_ref()),
            why: resolution.withheld.map(why),
            gap: gap.map(|gap| (reported(gap.session.as_ref()), why(gap.reason))),
            generation: resolution.generation.get(),
            bound: resolution.binding.as_deref().map(Bound::of),
        }
    }

    fn due(answer: &Answer, bound: Option<Bound>) -> Self {
        Self {
            session: text(&SESSIONS, answer.session),
            dir: text(&DIRS, answer.dir),
            why: answer.why,
            gap: answer.gap.map(|(session, why)| (text(&SESSIONS, session), why)),
            generation: answer.generation,
            bound,
        }
    }

    pub(super) fn begun(world: &World, at: At, answer: &Answer) -> Self {
        Self::due(answer, Bound::now(world, at))
    }

    pub(super) fn looked(world: &World, at: At, answer: &Answer) -> Self {
        Self::due(answer, Bound::looked(world, at))
    }
}

impl Row {
    pub(super) fn of(attempt: &Attempt) -> Self {
        Self {
            id: attempt.id.to_string(),
            number: attempt.number,
            generation: attempt.generation.get(),
            resumes: reported(attempt.resumes.as_ref()),
            session: reported(attempt.session.as_ref()),
            dir: reported(attempt.work_dir.as_ref()),
            state: match attempt.state {
                AttemptState::Running => State::Running,
                AttemptState::Completed => State::Ended(How::Confirm),
                AttemptState::Cancelled => State::Ended(How::Cancel),
                AttemptState::Failed(Failure::ContextOverflow) => State::Ended(How::FailPoisoned),
                AttemptState::Failed(Failure::SessionNotFound) => State::Ended(How::FailMissing),
                AttemptState::Failed(_) => State::Ended(How::FailKept),
                AttemptState::Lapsed => State::Lapsed,
                other => panic!("{other:?}"),
            },
        }
    }

    pub(super) fn due(run: &Run) -> Self {
        Self {
            id: run.id.clone(),
            number: run.number,
            generation: run.generation,
            resumes: text(&SESSIONS, run.resumes),
            session: text(&SESSIONS, run.session),
            dir: text(&DIRS, run.dir),
            state: run.state,
        }
    }
}

fn why(withheld: Withheld) -> Why {
    match withheld {
        Withheld::NoSession => Why::NoSession,
        Withheld::Provisional => Why::Provisional,
        Withheld::ProviderMismatch => Why::Provider,
        Withheld::RuntimeMismatch => Why::Runtime,
        Withheld::RootEpoch => Why::Root,
        Withheld::Generation => Why::Generation,
        Withheld::Retired => Why::Retired,
        Withheld::Poisoned(_) => Why::Poisoned,
        Withheld::ArtifactMissing => Why::Missing,
        Withheld::Cleared => Why::Cleared,
        Withheld::WorkDirGone => Why::DirectoryGone,
        Withheld::WorkDirElsewhere => Why::Elsewhere,
        Withheld::ForcedFresh => Why::Fresh,
        Withheld::NothingToRerun => Why::NothingToRerun,
        Withheld::WrongScope => Why::WrongScope,
        other => panic!("{other:?}"),
    }
}
