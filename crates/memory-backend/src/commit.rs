//! What a transaction has staged is written to the maps, under the lock.

use throughline_core::{
    Idempotency, PersistArgs, PersistResult, Position, Result, TenantId, Timestamp, backend::following,
};
use throughline_engine::{
    Halt, Limits, Outcome, StagedRows, Transaction, Write,
    rows::{ConsumerRow, SessionHeadKey, ThreadKey},
};

use crate::{
    sessions::Sessions,
    store::{Consumer, Store},
    thread::Thread,
};

impl Store {
    /// Applies one write, whole or not at all. A replay has no position.
    pub(crate) fn write(
        &mut self,
        tenant: &TenantId,
        args: &PersistArgs,
        idempotency: Option<&Idempotency>,
        now: Timestamp,
    ) -> Result<(PersistResult, Option<Position>)> {
        self.check_open()?;
        following::expect_leading(self.stance)?;
        let mut transaction = Transaction::new(&*self, Limits::default());
        let outcome = decided(transaction.apply(&Write { tenant, args, idempotency, now }))?;
        let (_, staged) = transaction.into_parts();
        self.commit(&staged);
        let Outcome { result, changed } = outcome;
        Ok((result, changed.then_some(self.journal.position)))
    }

    /// Writes staged rows, and emits their change events.
    pub(crate) fn commit(&mut self, staged: &StagedRows) {
        self.commit_threads(staged);
        self.commit_sessions(staged);
        self.commit_consumers(staged);
        self.journal.emit(staged.events.items());
        if let Some(capture) = &mut self.capture {
            staged.changed_rows().for_each(|row| capture.touch(row));
        }
    }

    fn commit_threads(&mut self, staged: &StagedRows) {
        for (key, row) in staged.threads.changed() {
            let threads = self.tenants.entry(key.tenant.clone()).or_default();
            match threads.get_mut(&key.thread) {
                Some(thread) => thread.row = row.clone(),
                None => drop(threads.insert(key.thread.clone(), Thread::new(row.clone()))),
            }
        }
        for (key, row) in staged.messages.changed() {
            let content = staged.contents.known(key).flatten().filter(|_| staged.contents.is_changed(key));
            if let Some(thread) = self.thread_mut(&key.thread) {
                thread.put(&key.id, row, content);
            }
        }
        for (key, chunk) in staged.chunks.inserted() {
            if let Some(thread) = self.thread_mut(&key.thread) {
                thread.append(&key.id, chunk);
            }
        }
        for (key, row) in staged.idempotency.changed() {
            if let Some(thread) = self.thread_mut(&key.thread) {
                thread.keys.insert(key.key.clone(), row.clone());
            }
        }
        for (thread, (_, limit)) in staged.swept() {
            if let Some(thread) = self.thread_mut(thread) {
                thread.sweep(limit);
            }
        }
        for alias in staged.inserted_aliases() {
            if let Some(thread) = self.thread_mut(&alias.thread) {
                thread.aliases.insert(alias.number, (alias.generation, alias.known.clone()));
            }
        }
    }

    fn commit_sessions(&mut self, staged: &StagedRows) {
        self.agents.extend(staged.agents.changed().map(|(key, record)| (key.clone(), *record)));
        self.runtimes.extend(staged.runtimes.changed().map(|(key, count)| (key.clone(), *count)));
        for (key, head) in staged.session_heads.changed() {
            if let Some(sessions) = self.sessions_mut(key) {
                sessions.head = Some(head.clone());
            }
        }
        for (key, session) in staged.sessions.changed() {
            if let Some(sessions) = self.sessions_mut(&key.head) {
                sessions.put_session(session);
            }
        }
        for (key, record) in staged.attempts.changed() {
            if let Some(sessions) = self.sessions_mut(&key.head) {
                sessions.put_attempt(record);
            }
        }
    }

    fn commit_consumers(&mut self, staged: &StagedRows) {
        for (key, row) in staged.consumers.changed() {
            let new = || Consumer {
                row: ConsumerRow { position: Position::ZERO },
                quarantined: Default::default(),
            };
            self.consumers.entry(key.clone()).or_insert_with(new).row = *row;
        }
        for (key, after) in staged.quarantine_cuts.items() {
            if let Some(consumer) = self.consumers.get_mut(key) {
                consumer.quarantined.retain(|position, _| position <= after);
            }
        }
        for key in staged.quarantine.removed() {
            if let Some(consumer) = self.consumers.get_mut(&key.consumer) {
                consumer.quarantined.remove(&key.position);
            }
        }
        for (key, change) in staged.quarantine.changed() {
            if let Some(consumer) = self.consumers.get_mut(&key.consumer) {
                consumer.quarantined.insert(key.position, change.clone());
            }
        }
    }

    fn thread_mut(&mut self, key: &ThreadKey) -> Option<&mut Thread> {
        self.tenants.get_mut(&key.tenant)?.get_mut(&key.thread)
    }

    fn sessions_mut(&mut self, key: &SessionHeadKey) -> Option<&mut Sessions> {
        let thread = self.thread_mut(&key.thread)?;
        Some(thread.sessions.entry((key.agent.clone(), key.incarnation)).or_default())
    }
}

/// What the engine answers over rows that are in memory: nothing stops it.
pub(crate) fn decided<T>(decided: Result<T, Halt<std::convert::Infallible>>) -> Result<T> {
    decided.map_err(|halt| match halt {
        Halt::Refused(error) => error,
        Halt::Stopped(never) => match never {},
    })
}
