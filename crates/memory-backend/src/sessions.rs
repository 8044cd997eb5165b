//! The sessions of an agent in a thread.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use throughline_core::{
    AttemptId, Attempts, ListAttempts, SessionGeneration, SessionId,
    backend::sessions::{AttemptRecord, KnownSession, SessionHead, SessionValue},
};
use throughline_engine::rows::SessionRange;

#[derive(Debug, Default)]
pub(crate) struct Sessions {
    pub(crate) head: Option<SessionHead>,
    pub(crate) known: HashMap<SessionId, KnownSession>,
    /// The sessions with a value, by generation and number.
    order: BTreeSet<(SessionGeneration, u64, SessionId)>,
    pub(crate) attempts: BTreeMap<u64, AttemptRecord>,
    numbers: HashMap<AttemptId, u64>,
}

impl Sessions {
    pub(crate) fn put_session(&mut self, session: &KnownSession) {
        let place = |value: &SessionValue| (value.generation, value.number, value.session.clone());
        if let Some(before) = self.known.insert(session.id.clone(), session.clone()) {
            before.value.map(|value| self.order.remove(&place(&value)));
        }
        self.order.extend(session.value.as_ref().map(place));
    }

    pub(crate) fn put_attempt(&mut self, record: &AttemptRecord) {
        self.numbers.insert(record.attempt.id.clone(), record.attempt.number);
        self.attempts.insert(record.attempt.number, record.clone());
    }

    pub(crate) fn attempt(&self, id: &AttemptId) -> Option<&AttemptRecord> {
        self.attempts.get(self.numbers.get(id)?)
    }

    /// The sessions of a range, the latest first.
    pub(crate) fn range(&self, range: &SessionRange) -> impl Iterator<Item = &KnownSession> {
        let up_to = match range {
            SessionRange::Newest(generation) | SessionRange::Usable { generation, .. } => *generation,
        };
        let latest = self.order.iter().rev().skip_while(move |(generation, ..)| *generation > up_to);
        let sessions = latest.filter_map(|(.., id)| self.known.get(id));
        sessions.filter(|session| match range {
            SessionRange::Newest(_) => true,
            SessionRange::Usable { generation, provider, runtime, incarnation } => {
                let matches = |value: &SessionValue| {
                    let bound = value.runtime.as_ref();
                    value.generation == *generation
                        && value.provider == *provider
                        && bound.is_some_and(|bound| {
                            bound.runtime == *runtime && bound.incarnation == *incarnation
                        })
                };
                session.is_usable() && session.value.as_ref().is_some_and(matches)
            }
        })
    }
}

/// Lists the attempts of an agent in a thread, the latest first.
pub(crate) fn attempts(sessions: Option<&Sessions>, list: &ListAttempts) -> Attempts {
    let limit = list.limit as usize;
    let before = list.before.unwrap_or(u64::MAX);
    let records = sessions.into_iter().flat_map(|sessions| sessions.attempts.range(..before).rev());
    let mut attempts: Vec<_> = records.take(limit + 1).map(|(_, record)| record.attempt.clone()).collect();
    let more = attempts.len() > limit;
    attempts.truncate(limit);
    Attempts { agent: list.agent.clone(), thread: list.thread.clone(), attempts, more }
}
