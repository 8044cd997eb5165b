//! What a claimer may go on with, and the runs that there were.

use throughline_core::{
    AgentId, Attempts, Generation, ListAttempts, ResolveSession, Result, SessionResolved, ThreadId,
    backend::{
        rules,
        sessions::{self, AgentRecord, SessionPlace},
    },
};

use super::{
    Scope,
    thread::{Known, known},
};
use crate::{
    apply::{Applied, Failure},
    sessions::{Rows, agent},
};

pub(super) fn resolve(scope: Scope<'_>, read: &ResolveSession) -> Result<SessionResolved> {
    let found = known(scope, &read.thread)?;
    let resolution =
        answered(look(scope, &read.agent, &read.thread, found.as_ref()).and_then(|(place, rows)| {
            if found.is_some_and(|known| known.head.deleted) {
                return Ok(sessions::resolve_nothing(&place));
            }
            sessions::resolve(&mut { rows }, &place, &read.claimer, scope.now)
        }))?;
    Ok(SessionResolved { agent: read.agent.clone(), thread: read.thread.clone(), resolution })
}

pub(super) fn attempts(scope: Scope<'_>, list: &ListAttempts) -> Result<Attempts> {
    rules::check_limit(list.limit)?;
    let found = known(scope, &list.thread)?.filter(|known| !known.head.deleted);
    answered(look(scope, &list.agent, &list.thread, found.as_ref()).and_then(|(_, rows)| rows.attempts(list)))
}

fn look<'a>(
    scope: Scope<'a>,
    agent_id: &'a AgentId,
    thread: &'a ThreadId,
    found: Option<&Known>,
) -> Applied<(SessionPlace, Rows<'a>)> {
    let AgentRecord { incarnation, resets } = agent(scope.db, scope.tenant, agent_id)?;
    let cleared = found.map_or(Generation::FIRST, |known| known.head.generation());
    let place = SessionPlace { agent: agent_id.clone(), thread: thread.clone(), cleared, resets };
    let thread_pk = found.map(|known| known.thread_pk);
    let rows = Rows::find(scope.db, scope.tenant, thread, agent_id, incarnation, thread_pk)?;
    Ok((place, rows))
}

fn answered<T>(applied: Applied<T>) -> Result<T> {
    applied.map_err(|failure| match failure {
        Failure::Refused(error) => error,
        Failure::Engine(error) => error.into(),
    })
}
