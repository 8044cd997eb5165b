//! The sessions of an agent in a thread.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use throughline_core::{
    backend::sessions::{AttemptRecord, KnownSession, SessionHead, SessionValue},
    ids::{AttemptId, SessionId},
    sessions::SessionGeneration,
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
    pub(crate) fn put_session(&mut self, session: KnownSession) {
        let key = |value: &SessionValue| (value.generation, value.number, value.session.clone());
        let after = session.value.as_ref().map(key);
        if let Some(before) = self.known.insert(session.id.clone(), session) {
            before.value.map(|value| self.order.remove(&key(&value)));
        }
        self.order.extend(after);
    }

    pub(crate) fn put_attempt(&mut self, record: AttemptRecord) {
        let number = record.attempt.number;
        self.numbers.insert(record.attempt.id.clone(), number);
        self.attempts.insert(number, record);
    }

    pub(crate) fn attempt(&self, id: &AttemptId) -> Option<&AttemptRecord> {
        self.attempts.get(self.numbers.get(id)?)
    }

    /// The sessions of a range, the latest first.
    pub(crate) fn range(&self, range: &SessionRange) -> impl Iterator<Item = &KnownSession> {
        let latest = self.order.iter().rev().filter_map(|(.., id)| self.known.get(id));
        latest.filter(|session| range.matches(session))
    }
}
