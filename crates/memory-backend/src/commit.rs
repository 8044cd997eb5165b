//! Writes the staged rows of a transaction to the maps, under the lock.

use std::collections::HashMap;

use throughline_core::{
    Content, Idempotency, PersistArgs, PersistResult, Position, Result, TenantId, Timestamp,
    backend::replication_rules, changes::QuarantinedChange,
};
use throughline_engine::{
    Halt, Limits, Outcome, StagedRows, Transaction, Write,
    rows::{AliasRow, ConsumerKey, ConsumerRow, MessageKey, QuarantineKey, SessionHeadKey, ThreadKey},
    staged::StagedTable,
};

use crate::{
    sessions::Sessions,
    store::{Consumer, Store},
    thread::Thread,
};

impl Store {
    /// Applies one write as a whole or not at all. A replay has no position.
    pub(crate) fn write(
        &mut self,
        tenant: &TenantId,
        args: &PersistArgs,
        idempotency: Option<&Idempotency>,
        now: Timestamp,
    ) -> Result<(PersistResult, Option<Position>)> {
        self.check_open()?;
        replication_rules::expect_primary(self.replication_state)?;
        let mut transaction =
            Transaction::new(&*self, Limits::default()).with_indexed_metadata(self.index.names.clone());
        let outcome = decided(transaction.apply(&Write { tenant, args, idempotency, now }))?;
        let (_, staged) = transaction.into_parts();
        self.commit(staged);
        let Outcome { result, changed } = outcome;
        Ok((result, changed.then_some(self.journal.position)))
    }

    /// Writes staged rows, and emits their change events.
    pub(crate) fn commit(&mut self, staged: StagedRows) {
        if let Some(capture) = &mut self.capture {
            staged.changed_rows().for_each(|row| capture.touch(row));
        }
        let leftovers = staged.leftover_limits().into_iter();
        let leftovers: Vec<(ThreadKey, u64)> =
            leftovers.map(|(thread, (_, limit))| (thread.clone(), limit)).collect();
        let aliases: Vec<AliasRow> = staged.inserted_aliases().cloned().collect();
        let StagedRows { threads, messages, contents, chunks, idempotency, .. } = staged;
        for (key, row) in threads.into_changed() {
            let threads = self.tenants.entry(key.tenant).or_default();
            match threads.get_mut(&key.thread) {
                Some(thread) => thread.row = row,
                None => drop(threads.insert(key.thread, Thread::new(row))),
            }
        }
        // Content that was only loaded is not among the changed rows: the store has it.
        let mut contents: HashMap<MessageKey, Content> = contents.into_changed().collect();
        for (key, row) in messages.into_changed() {
            let content = contents.remove(&key);
            if let Some(thread) = self.thread_mut(&key.thread) {
                thread.put(key.id, row, content);
            }
        }
        for (key, entries) in staged.indexed.into_changed() {
            self.index.put(key, entries);
        }
        for (key, chunk) in chunks.inserted() {
            if let Some(thread) = self.thread_mut(&key.thread) {
                thread.append(&key.id, chunk);
            }
        }
        for (key, row) in idempotency.into_changed() {
            if let Some(thread) = self.thread_mut(&key.thread) {
                thread.keys.insert(key.key, row);
            }
        }
        for (thread, limit) in leftovers {
            if let Some(thread) = self.thread_mut(&thread) {
                thread.purge_leftovers(limit);
            }
        }
        for AliasRow { thread, number, generation, known } in aliases {
            if let Some(thread) = self.thread_mut(&thread) {
                thread.aliases.insert(number, (generation, known));
            }
        }
        let StagedRows { agents, runtimes, session_heads, sessions, attempts, .. } = staged;
        self.agents.extend(agents.into_changed());
        self.runtimes.extend(runtimes.into_changed());
        for (key, head) in session_heads.into_changed() {
            if let Some(sessions) = self.sessions_mut(&key) {
                sessions.head = Some(head);
            }
        }
        for (key, session) in sessions.into_changed() {
            if let Some(sessions) = self.sessions_mut(&key.head) {
                sessions.put_session(session);
            }
        }
        for (key, record) in attempts.into_changed() {
            if let Some(sessions) = self.sessions_mut(&key.head) {
                sessions.put_attempt(record);
            }
        }
        self.commit_consumers(staged.consumers, staged.quarantine, staged.quarantine_cuts.items());
        self.journal.emit(staged.events.into_items());
    }

    fn commit_consumers(
        &mut self,
        consumers: StagedTable<ConsumerKey, ConsumerRow>,
        quarantine: StagedTable<QuarantineKey, QuarantinedChange>,
        cuts: &[(ConsumerKey, Position)],
    ) {
        for (key, row) in consumers.into_changed() {
            let new = || Consumer {
                row: ConsumerRow { position: Position::ZERO },
                quarantined: Default::default(),
            };
            self.consumers.entry(key).or_insert_with(new).row = row;
        }
        for (key, after) in cuts {
            if let Some(consumer) = self.consumers.get_mut(key) {
                consumer.quarantined.retain(|position, _| position <= after);
            }
        }
        for key in quarantine.removed() {
            if let Some(consumer) = self.consumers.get_mut(&key.consumer) {
                consumer.quarantined.remove(&key.position);
            }
        }
        for (key, change) in quarantine.into_changed() {
            if let Some(consumer) = self.consumers.get_mut(&key.consumer) {
                consumer.quarantined.insert(key.position, change);
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

/// Converts an answer of the engine over rows in memory, which never stops.
pub(crate) fn decided<T>(decided: Result<T, Halt<std::convert::Infallible>>) -> Result<T> {
    decided.map_err(|halt| match halt {
        Halt::Refused(error) => error,
        Halt::Stopped(never) => match never {},
    })
}
