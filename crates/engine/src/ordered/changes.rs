use std::collections::BTreeMap;

use serde::Serialize;
use throughline_core::{BoxError, Position, changes::Change};

use super::{OrderedRead, OrderedRows, OrderedWrite, keys};
use crate::{
    StagedRows,
    rows::{AliasRow, MessageRow},
};

/// The changes of a transaction in an ordered store.
#[derive(Debug)]
pub struct OrderedChanges {
    /// `None` removes the key.
    values: BTreeMap<String, Option<String>>,
    position: Position,
}

impl OrderedChanges {
    /// Writes the changes into a transaction of the store. Returns the position of the store after them.
    ///
    /// # Errors
    /// The error of the store. The caller must then roll back the transaction.
    pub fn write(&self, store: &mut impl OrderedWrite) -> Result<Position, BoxError> {
        for (key, value) in &self.values {
            match value {
                Some(value) => store.insert(key, value)?,
                None => store.remove(key)?,
            }
        }
        Ok(self.position)
    }

    pub(super) fn of<S: OrderedRead>(rows: &OrderedRows<S>, staged: &StagedRows) -> Result<Self, BoxError> {
        let mut changes = Self::at(rows.position()?);
        for (key, row) in staged.threads.changed() {
            changes.insert(keys::of_thread("thread", key), row)?;
        }
        changes.messages(rows, staged)?;
        rows.index(&mut changes, staged)?;
        for (key, row) in staged.idempotency.changed() {
            changes.insert(keys::idempotency(key), row)?;
        }
        for alias in staged.inserted_aliases() {
            changes.insert(keys::alias(&alias.thread, alias.number), alias)?;
        }
        for (key, row) in staged.agents.changed() {
            changes.insert(keys::agent(key), row)?;
        }
        for (key, row) in staged.runtimes.changed() {
            changes.insert(keys::runtime(key), row)?;
        }
        changes.sessions(staged)?;
        changes.consumers(rows, staged)?;
        for event in staged.events.items() {
            changes.position = changes.position.next();
            if let Some((thread, kind)) = event.change.clone() {
                let position = changes.position;
                let change = Change { position, tenant: event.tenant.clone(), thread, at: event.at, kind };
                changes.insert(keys::change(position.get()), &change)?;
            }
        }
        let position = changes.position;
        changes.insert(keys::POSITION.to_owned(), &position)?;
        // Last, because nothing remains of a deleted thread.
        for (key, (row, _)) in staged.leftover_limits() {
            for alias in rows.all::<AliasRow>(&keys::of_thread("alias", key))? {
                if row.deleted || alias.generation < row.generation {
                    changes.remove(keys::alias(key, alias.number));
                }
            }
            for kind in ["head", "session", "attempt"].into_iter().filter(|_| row.deleted) {
                let prefix = keys::of_thread(kind, key);
                changes.values.retain(|key, _| !key.starts_with(&prefix));
                rows.keys(&prefix, &keys::end(&prefix))?.into_iter().for_each(|key| changes.remove(key));
            }
        }
        Ok(changes)
    }

    /// Returns no changes of a store at this position.
    pub(super) const fn at(position: Position) -> Self {
        Self { values: BTreeMap::new(), position }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    pub(super) fn insert(&mut self, key: String, row: &impl Serialize) -> Result<(), BoxError> {
        self.values.insert(key, Some(serde_json::to_string(row)?));
        Ok(())
    }

    pub(super) fn remove(&mut self, key: String) {
        self.values.insert(key, None);
    }

    fn messages<S: OrderedRead>(
        &mut self,
        rows: &OrderedRows<S>,
        staged: &StagedRows,
    ) -> Result<(), BoxError> {
        for (key, below) in staged.chunks.deleted() {
            let stored: Option<MessageRow> = rows.get(&keys::of_message("message", key))?;
            let Some(stored) = stored else { continue };
            for number in stored.first_chunk..below.min(stored.chunks + 1) {
                self.remove(keys::chunk(key, number));
            }
        }
        let mut placed = Vec::new();
        for (key, row) in staged.messages.changed() {
            let stored: Option<MessageRow> = rows.get(&keys::of_message("message", key))?;
            if let Some(seq) = stored.and_then(|stored| stored.seq) {
                self.remove(keys::of_seq("order", &key.thread, seq));
                self.remove(keys::of_seq("open", &key.thread, seq));
            }
            if let Some(seq) = row.seq {
                placed.push((key, seq, row.state.is_open()));
            }
            self.insert(keys::of_message("message", key), row)?;
            if row.is_tombstone() {
                self.remove(keys::of_message("content", key));
            } else if let (true, Some(Some(content))) =
                (staged.contents.is_changed(key), staged.contents.known(key))
            {
                self.insert(keys::of_message("content", key), content)?;
            }
        }
        // After all removals, because two messages can exchange their sequence numbers.
        for (key, seq, is_open) in placed {
            self.insert(keys::of_seq("order", &key.thread, seq), &key.id)?;
            if is_open {
                self.insert(keys::of_seq("open", &key.thread, seq), &(seq, &key.id))?;
            }
        }
        for (key, chunk) in staged.chunks.inserted() {
            self.insert(keys::chunk(key, chunk.number), &chunk.change)?;
        }
        Ok(())
    }

    fn sessions(&mut self, staged: &StagedRows) -> Result<(), BoxError> {
        for (key, row) in staged.session_heads.changed() {
            self.insert(keys::of_head("head", key), row)?;
        }
        for (key, row) in staged.sessions.changed() {
            self.insert(keys::session(key), row)?;
        }
        for (key, row) in staged.attempts.changed() {
            self.insert(keys::attempt(key), row)?;
        }
        Ok(())
    }

    fn consumers<S: OrderedRead>(
        &mut self,
        rows: &OrderedRows<S>,
        staged: &StagedRows,
    ) -> Result<(), BoxError> {
        for (key, row) in staged.consumers.changed() {
            self.insert(keys::of_consumer("consumer", key), row)?;
        }
        for (consumer, after) in staged.quarantine_cuts.items() {
            let from = keys::quarantined_behind(consumer, after.get());
            let to = keys::end(&keys::of_consumer("quarantine", consumer));
            rows.keys(&from, &to)?.into_iter().for_each(|key| self.remove(key));
        }
        for (key, change) in staged.quarantine.changed() {
            self.insert(keys::quarantined(key), change)?;
        }
        for key in staged.quarantine.removed() {
            self.remove(keys::quarantined(key));
        }
        Ok(())
    }
}
