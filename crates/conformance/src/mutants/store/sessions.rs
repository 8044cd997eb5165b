//! Faults of agent sessions that need more than a changed call or answer.

use std::collections::{HashMap, HashSet};

use throughline_core::{
    AgentId, ErrorKind, PersistArgs, PersistResponse, PersistResult, ReadArgs, ReadResult, Result, ThreadId,
    ids::SessionId,
    sessions::{
        Attempt, BackfillRuntime, Binding, CancelRun, Claimer, ClearPointerIf, ListAttempts, ResetSession,
        Resolution, ResolveSession, RunReport, SessionArgs, SessionChanged, SessionResult, Withheld,
    },
};

use super::{backend::Faulty, change, fabricated, journal::Line, special::on_a_copy};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum SessionFault {
    /// The guard of the save looks at the table once more and finds the session from before the reset.
    SavesOnlyTheFirst,
    ComparesNoProviders,
    ResetsTheNextThread,
    PairsWithTheNewest,
    WipesPointers,
    ResumesTheLastUsed,
    LetsEverybodyRun,
    ForgetsResets,
    ForgetsWholes,
    AdoptsAgain,
}

/// The state of these faults.
#[derive(Default)]
pub(super) struct Sessions {
    to_reset: HashSet<AgentId>,
    last: HashMap<AgentId, SessionId>,
}

/// The agent and the thread of a call that is about sessions.
fn whose(args: &PersistArgs) -> Option<(AgentId, ThreadId)> {
    use throughline_core::operations::Addressed as _;

    match args {
        PersistArgs::Session(session) => Some((session.agent()?.clone(), session.thread()?.clone())),
        PersistArgs::Read(ReadArgs::Resolve(read)) => Some((read.agent.clone(), read.thread.clone())),
        _ => None,
    }
}

impl SessionFault {
    pub(super) async fn serve(self, store: &Faulty, mut line: Line) -> Result<PersistResponse> {
        let Some((agent, thread)) = whose(&line.args) else {
            return match (self, &line.args) {
                (Self::ForgetsWholes, PersistArgs::Session(_)) => on_a_copy(store, &line).await,
                _ => store.sound(line).await,
            };
        };
        let by_itself = |args: PersistArgs| Line { args, key: None, ..line.clone() };
        let before = binding(store, &line, &agent, &thread).await?;
        match self {
            Self::SavesOnlyTheFirst => {
                if let PersistArgs::Session(SessionArgs::Confirm(confirm)) = &mut line.args
                    && before.is_some_and(|binding| binding.pointer.is_some())
                {
                    confirm.report.session = None;
                }
                store.sound(line).await
            }
            Self::ComparesNoProviders => {
                let had = before.and_then(|binding| binding.pointer).map(|pointer| pointer.provider);
                if let (Some(claimer), Some(had)) = (change::claimer(&mut line.args), had) {
                    claimer.provider = had;
                }
                store.sound(line).await
            }
            Self::ResetsTheNextThread => match &line.args {
                PersistArgs::Session(SessionArgs::Reset(_)) => {
                    store.memory.sessions(|seen| seen.to_reset.insert(agent));
                    on_a_copy(store, &line).await
                }
                PersistArgs::Session(SessionArgs::Begin(_)) => {
                    if store.memory.sessions(|seen| seen.to_reset.remove(&agent)) {
                        let reset = ResetSession { agent, thread, expected: None };
                        store.sound(by_itself(reset.into())).await?;
                    }
                    store.sound(line).await
                }
                _ => store.sound(line).await,
            },
            Self::PairsWithTheNewest => {
                let pairs = match &line.args {
                    PersistArgs::Session(SessionArgs::Backfill(BackfillRuntime { dry_run, .. })) => !dry_run,
                    _ => return store.sound(line).await,
                };
                let newest = attempts(store, &line, &agent, &thread).await?;
                let newest = newest.into_iter().find_map(|attempt| attempt.runtime);
                let mut response = store.sound(line).await?;
                let names_one =
                    before.is_some_and(|binding| binding.pointer.is_none_or(|it| it.runtime.is_some()));
                if let PersistResult::Session(SessionResult::Backfill(filled)) = &mut response.result
                    && !names_one
                    && newest.is_some()
                {
                    filled.runtime = newest;
                    filled.written = pairs;
                }
                Ok(response)
            }
            Self::WipesPointers => {
                let wipes = matches!(
                    &line.args,
                    PersistArgs::Session(SessionArgs::Confirm(confirm)) if confirm.report.session.is_none()
                );
                let clear = before.and_then(|binding| binding.pointer).filter(|_| wipes).map(|pointer| {
                    let session = pointer.session;
                    by_itself(ClearPointerIf { agent, thread, session, runtime: None }.into())
                });
                let mut response = store.sound(line).await?;
                if let Some(clear) = clear {
                    let cleared = changed(store.sound(clear).await?);
                    if let PersistResult::Session(SessionResult::Confirm(confirmed)) = &mut response.result {
                        *confirmed = cleared;
                    }
                }
                Ok(response)
            }
            Self::ResumesTheLastUsed => {
                if let PersistArgs::Session(SessionArgs::Confirm(confirm)) = &line.args
                    && let Some(session) = &confirm.report.session
                {
                    store.memory.sessions(|seen| seen.last.insert(agent.clone(), session.clone()));
                }
                let mut response = store.sound(line).await?;
                change::resolution(&mut response, |resolution| {
                    if resolution.withheld == Some(Withheld::NoSession) {
                        resolution.session = store.memory.sessions(|seen| seen.last.get(&agent).cloned());
                    }
                });
                Ok(response)
            }
            Self::LetsEverybodyRun => match (store.sound(line.clone()).await, before) {
                (Err(error), Some(Binding { running: Some(running), .. }))
                    if error.kind() == ErrorKind::Busy =>
                {
                    let (attempt, report) = (running.attempt, RunReport::default());
                    let cancel = CancelRun { agent, thread, attempt, report };
                    store.sound(by_itself(cancel.into())).await?;
                    store.sound(line).await
                }
                (answer, _) => answer,
            },
            Self::ForgetsResets => match &line.args {
                PersistArgs::Session(SessionArgs::Reset(_)) => on_a_copy(store, &line).await,
                _ => store.sound(line).await,
            },
            Self::ForgetsWholes => store.sound(line).await,
            Self::AdoptsAgain => match (store.sound(line.clone()).await, before) {
                (Err(error), Some(binding)) if error.kind() == ErrorKind::AlreadyExists => {
                    let adopted =
                        SessionChanged { binding: Box::new(binding), moved: true, deduplicated: false };
                    Ok(fabricated::applied(SessionResult::Adopt(adopted).into()))
                }
                (answer, _) => answer,
            },
        }
    }
}

fn changed(response: PersistResponse) -> SessionChanged {
    match response.result {
        PersistResult::Session(SessionResult::ClearIf(changed)) => changed,
        other => unreachable!("a clearing answers {other:?}"),
    }
}

/// The current state of the correct store.
async fn binding(store: &Faulty, line: &Line, agent: &AgentId, thread: &ThreadId) -> Result<Option<Binding>> {
    let claimer = Claimer {
        runtime: None,
        ..Claimer::new(
            "none".parse().expect("a valid id"),
            throughline_core::sessions::Runtime::new(
                "nowhere".parse().expect("a valid id"),
                "root".parse().expect("a valid id"),
            ),
        )
    };
    let read = ResolveSession { agent: agent.clone(), thread: thread.clone(), claimer };
    let line = Line { args: read.into(), key: None, ..line.clone() };
    match store.journal.read(&line).await?.result {
        PersistResult::Read(ReadResult::Resolve(resolved)) => {
            Ok(resolved.resolution.binding.map(|binding| *binding))
        }
        other => unreachable!("a look answers {other:?}"),
    }
}

async fn attempts(store: &Faulty, line: &Line, agent: &AgentId, thread: &ThreadId) -> Result<Vec<Attempt>> {
    let read = ListAttempts::new(agent.clone(), thread.clone(), 100);
    let line = Line { args: read.into(), key: None, ..line.clone() };
    match store.journal.read(&line).await?.result {
        PersistResult::Read(ReadResult::Attempts(list)) => Ok(list.attempts),
        other => unreachable!("a list answers {other:?}"),
    }
}

/// Offers what was withheld for this reason after all.
pub(super) fn offers(resolution: &mut Resolution, reason: impl Fn(Withheld) -> bool) {
    let pointer = resolution.binding.as_ref().and_then(|binding| binding.pointer.as_ref());
    if let Some(pointer) = pointer.filter(|_| resolution.withheld.is_some_and(reason)) {
        resolution.session = Some(pointer.session.clone());
        resolution.withheld = None;
    }
}
