//! Resolves the session that a claimer may resume, and lists attempts.

use rusqlite::params;
use throughline_core::{
    Result,
    backend::{AnswerBytes, EstimatedSize as _, rules, sessions::AttemptRecord},
    sessions::{Attempts, ListAttempts, ResolveSession, SessionResolved},
};
use throughline_engine::{
    Limits, RowSource as _, Transaction,
    rows::{AgentKey, SessionHeadKey, ThreadKey},
};

use super::Scope;
use crate::{
    failure::{Applied, Failure},
    record::{number, read_attempt},
    rows::{Source, ThreadCache, damaged_sessions},
};

pub(super) const ATTEMPTS: &str = "SELECT a.number, a.attempt, a.checksum, a.record FROM session_attempts a \
     WHERE a.head_pk = ?1 AND a.number < ?2 ORDER BY a.number DESC LIMIT ?3";

pub(super) fn resolve(scope: Scope<'_>, read: &ResolveSession) -> Result<SessionResolved> {
    let mut threads = ThreadCache::default();
    let mut transaction = Transaction::new(Source::new(scope.db, &mut threads), Limits::default());
    let resolved = transaction.resolve_session(scope.tenant, read, scope.now);
    Ok(resolved.map_err(Failure::from)?)
}

pub(super) fn attempts(scope: Scope<'_>, list: &ListAttempts) -> Result<Attempts> {
    rules::check_page(list.limit, list.max_bytes)?;
    Ok(read_attempts(scope, list)?)
}

/// Lists attempts, the latest first.
fn read_attempts(scope: Scope<'_>, list: &ListAttempts) -> Applied<Attempts> {
    let (agent, thread) = (list.agent.clone(), list.thread.clone());
    let mut answer = Attempts { agent, thread, attempts: Vec::new(), more: false };
    let mut threads = ThreadCache::default();
    let mut source = Source::new(scope.db, &mut threads);
    let key = ThreadKey::new(scope.tenant, &list.thread);
    if source.thread(&key)?.is_none_or(|row| row.deleted) {
        return Ok(answer);
    }
    let agent = AgentKey { tenant: scope.tenant.clone(), agent: list.agent.clone() };
    let incarnation = source.agent(&agent)?.unwrap_or_default().incarnation;
    let head = SessionHeadKey { thread: key, agent: list.agent.clone(), incarnation };
    let Some(head_pk) = source.head_pk(&head)? else { return Ok(answer) };
    let before = list.before.map_or(i64::MAX, number);
    let mut bytes = AnswerBytes::new(list.max_bytes);
    let mut statement = scope.db.prepare_cached(ATTEMPTS)?;
    let mut rows = statement.query(params![head_pk, before, i64::from(list.limit) + 1])?;
    while let Some(row) = rows.next()? {
        if answer.attempts.len() == list.limit as usize {
            answer.more = true;
            break;
        }
        let Some(AttemptRecord { attempt, .. }) = read_attempt(row, 0, head_pk) else {
            return Err(damaged_sessions(&head));
        };
        if !bytes.take(attempt.estimated_size()) {
            answer.more = true;
            break;
        }
        answer.attempts.push(attempt);
    }
    Ok(answer)
}
