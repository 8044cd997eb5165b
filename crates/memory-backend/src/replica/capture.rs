//! The dirty set: each changed row once, in the order of its last change.

use std::collections::{BTreeMap, HashMap};

use throughline_core::{
    Position,
    audit::AuditNumber,
    replication::{CaptureId, ImageCursor},
};
use throughline_engine::{
    rows::{AttemptKey, IdempotencyRowKey, MessageKey, SessionHeadKey, SessionKey, ThreadKey},
    staged::ChangedRow,
};

use crate::{store::Store, thread::Thread};

pub(crate) struct Capture {
    pub(super) id: CaptureId,
    last: u64,
    pub(super) touched: BTreeMap<u64, ChangedRow>,
    numbers: HashMap<ChangedRow, u64>,
}

impl Capture {
    /// Returns a dirty set with all rows of the store.
    pub(super) fn of(store: &Store) -> Self {
        let mut capture =
            Self { id: CaptureId::fresh(), last: 0, touched: BTreeMap::new(), numbers: HashMap::new() };
        for (tenant, threads) in &store.tenants {
            for (id, thread) in threads {
                every_row(&ThreadKey::new(tenant, id), thread, &mut |row| capture.touch(row));
            }
        }
        store.agents.keys().for_each(|key| capture.touch(ChangedRow::Agent(key.clone())));
        store.runtimes.keys().for_each(|key| capture.touch(ChangedRow::Runtime(key.clone())));
        store.consumers.keys().for_each(|key| capture.touch(ChangedRow::Consumer(key.clone())));
        capture
    }

    pub(super) const fn begin(&self, whole: bool, (changes, audit): (Position, AuditNumber)) -> ImageCursor {
        let touched = if whole { 0 } else { self.last };
        ImageCursor { capture: self.id, part: 0, row: 0, touched, changes, audit }
    }

    pub(crate) fn touch(&mut self, row: ChangedRow) {
        self.last += 1;
        if let Some(before) = self.numbers.insert(row.clone(), self.last) {
            self.touched.remove(&before);
        }
        self.touched.insert(self.last, row);
    }
}

fn every_row(key: &ThreadKey, thread: &Thread, touch: &mut impl FnMut(ChangedRow)) {
    touch(ChangedRow::Thread(key.clone()));
    for id in thread.messages.keys() {
        touch(ChangedRow::Message(MessageKey { thread: key.clone(), id: id.clone() }));
    }
    for number in thread.aliases.keys() {
        touch(ChangedRow::Alias { thread: key.clone(), number: *number });
    }
    for used in thread.keys.keys() {
        touch(ChangedRow::Idempotency(IdempotencyRowKey { thread: key.clone(), key: used.clone() }));
    }
    for ((agent, incarnation), sessions) in &thread.sessions {
        let head = SessionHeadKey { thread: key.clone(), agent: agent.clone(), incarnation: *incarnation };
        if sessions.head.is_some() {
            touch(ChangedRow::SessionHead(head.clone()));
        }
        for session in sessions.known.keys() {
            touch(ChangedRow::Session(SessionKey { head: head.clone(), session: session.clone() }));
        }
        for record in sessions.attempts.values() {
            let attempt = record.attempt.id.clone();
            touch(ChangedRow::Attempt(AttemptKey { head: head.clone(), attempt }));
        }
    }
}
