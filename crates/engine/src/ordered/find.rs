//! The index of metadata in an ordered store.
//!
//! Under `find` and `find-in`, the keys have the name first, so that the entries of a name are adjacent: over the tenant by time of
//! creation, and in a thread by sequence number. Under `found`, each indexed message has its keys, so that they can be removed.

use throughline_core::{
    BoxError, ErrorKind, IndexedMetadata, MessageId, PersistError, Seq, TenantId, ThreadId, Timestamp,
    backend::index_is_incomplete,
    messages::{FindCursor, FindMessages, FindOrder, FoundMessages},
};

use super::{OrderedChanges, OrderedRead, OrderedRows, keys, read::unavailable};
use crate::{
    StagedRows,
    read::{FindCriterion, FoundPage},
    rows::{IndexedMessage, MessageKey, MessageRow, ThreadKey, ThreadRow},
};

const LAST: Seq = Seq::new(u64::MAX);

/// The value under the key of a declared name: the key of the last message that a build has added; `None` for a complete index.
type Built = Option<String>;

impl<S: OrderedRead> OrderedRows<S> {
    /// Answers finds by these metadata fields. The writes of the store go through a transaction
    /// [with the same names](crate::Transaction::with_indexed_metadata).
    #[must_use]
    pub fn with_indexed_metadata(mut self, indexed: IndexedMetadata) -> Self {
        self.indexed = indexed;
        self
    }

    /// Returns the changes that declare the names of [`with_indexed_metadata`](Self::with_indexed_metadata); `None` if they are
    /// already declared. A store whose hosts index metadata, or did so before, calls it when it is opened, also without names:
    /// otherwise an index that is not kept any more would count as complete.
    ///
    /// # Errors
    /// The error of the store.
    pub fn declare_metadata(&self) -> Result<Option<OrderedChanges>, BoxError> {
        let prefix = keys::of_kind("indexed");
        let declared = self.keys(&prefix, &keys::end(&prefix))?;
        let mut changes = OrderedChanges::at(self.position()?);
        for key in &declared {
            let name = name_of(key, &prefix);
            if !self.indexed.contains(name) {
                changes.remove(key.clone());
                changes.insert(keys::of_name("dropped", name), &name)?;
            }
        }
        for name in self.indexed.iter().filter(|name| !declared.contains(&keys::of_name("indexed", name))) {
            // Entries of an earlier declaration are removed before the messages are added.
            changes.insert(keys::of_name("indexed", name), &Built::Some(String::new()))?;
        }
        Ok((!changes.is_empty()).then_some(changes))
    }

    /// Returns the next changes that build the index of new names, or that remove the entries of names that are not declared any
    /// more; `None` if there are none. It reads at most `limit` messages or entries. The store commits the changes, and calls again.
    /// Other writes can come between two calls.
    ///
    /// # Errors
    /// The error of the store.
    pub fn index_step(&self, limit: usize) -> Result<Option<OrderedChanges>, BoxError> {
        let dropped = keys::of_kind("dropped");
        if let Some(key) = self.keys(&dropped, &keys::end(&dropped))?.first() {
            return self.drop_step(key, name_of(key, &dropped), limit).map(Some);
        }
        let building = self.building()?;
        let Some(from) = building.iter().map(|(_, after)| after.clone()).min() else { return Ok(None) };
        let mut changes = OrderedChanges::at(self.position()?);
        let prefix = keys::of_kind("message");
        let start = if from.is_empty() { prefix.clone() } else { from + "\0" };
        let mut last = None;
        for entry in self.store.range(&start, &keys::end(&prefix))?.take(limit.max(1)) {
            let (key, json) = entry?;
            let (message, row): (_, MessageRow) = (message_of(&key, &prefix)?, serde_json::from_str(&json)?);
            self.index_message(&mut changes, &message, &IndexedMessage::of(&row, &self.indexed))?;
            last = Some(key);
        }
        for (name, _) in building {
            changes.insert(keys::of_name("indexed", &name), &last)?;
        }
        Ok(Some(changes))
    }

    /// The names whose index is being built, each with the key of its last message.
    fn building(&self) -> Result<Vec<(String, String)>, BoxError> {
        let mut building = Vec::new();
        for name in self.indexed.iter() {
            if let Some(Built::Some(after)) = self.get(&keys::of_name("indexed", name))? {
                building.push((name.to_owned(), after));
            }
        }
        Ok(building)
    }

    fn drop_step(&self, key: &str, name: &str, limit: usize) -> Result<OrderedChanges, BoxError> {
        let mut changes = OrderedChanges::at(self.position()?);
        let mut left = limit.max(1);
        for kind in ["find", "find-in"] {
            let prefix = keys::of_name(kind, name);
            for entry in self.store.range(&prefix, &keys::end(&prefix))?.take(left) {
                changes.remove(entry?.0);
                left -= 1;
            }
        }
        if left > 0 {
            changes.remove(key.to_owned());
        }
        Ok(changes)
    }

    /// Adds the staged entries of messages.
    pub(super) fn index(&self, changes: &mut OrderedChanges, staged: &StagedRows) -> Result<(), BoxError> {
        staged.indexed.changed().try_for_each(|(key, entries)| self.index_message(changes, key, entries))
    }

    fn index_message(
        &self,
        changes: &mut OrderedChanges,
        key: &MessageKey,
        entries: &IndexedMessage,
    ) -> Result<(), BoxError> {
        let found = keys::of_message("found", key);
        for stored in self.get::<Vec<String>>(&found)?.unwrap_or_default() {
            changes.remove(stored);
        }
        let mut written = Vec::new();
        for (name, value) in &entries.fields {
            let at = FindCursor {
                created_at: entries.created_at,
                thread: key.thread.thread.clone(),
                seq: entries.seq,
            };
            for entry in
                [of_tenant(&key.thread.tenant, name, value, &at), in_thread(&key.thread, name, value, at.seq)]
            {
                changes.insert(entry.clone(), &(&at, &key.id))?;
                written.push(entry);
            }
        }
        if written.is_empty() {
            changes.remove(found);
            Ok(())
        } else {
            changes.insert(found, &written)
        }
    }

    /// Finds messages by a metadata field.
    pub(super) fn find(
        &self,
        tenant: &TenantId,
        find: &FindMessages,
    ) -> throughline_core::Result<FoundMessages> {
        let criterion = FindCriterion::of(find)?;
        self.indexed.expect(criterion.name())?;
        match self.get::<Built>(&keys::of_name("indexed", criterion.name())).map_err(unavailable)? {
            Some(None) => self.found(tenant, find, &criterion).map_err(unavailable),
            Some(Some(_)) => Err(index_is_incomplete(criterion.name())),
            None => {
                let detail = format!(
                    "the store did not declare the metadata field `{}` when it was opened",
                    criterion.name()
                );
                Err(PersistError::new(ErrorKind::Internal, detail))
            }
        }
    }

    fn found(
        &self,
        tenant: &TenantId,
        find: &FindMessages,
        criterion: &FindCriterion<'_>,
    ) -> Result<FoundMessages, BoxError> {
        let value = criterion.index_key();
        let thread = find.thread.as_ref().map(|thread| ThreadKey::new(tenant, thread));
        let prefix = match &thread {
            Some(thread) => {
                keys::of_value("find-in", criterion.name(), &thread.tenant, Some(&thread.thread), &value)
            }
            None => keys::of_value("find", criterion.name(), tenant, None, &value),
        };
        let after = find.after.as_ref().map(|after| match &thread {
            Some(thread) => in_thread(thread, criterion.name(), &value, after.seq),
            None => of_tenant(tenant, criterion.name(), &value, after),
        });
        let (mut from, mut to) = (prefix.clone(), keys::end(&prefix));
        match (after, find.order) {
            (Some(after), FindOrder::OldestFirst) => from = after + "\0",
            (Some(after), FindOrder::NewestFirst) => to = after,
            (None, _) => {}
        }
        let mut page = FoundPage::new(find);
        if from >= to {
            return Ok(page.into_answer());
        }
        let mut entries = self.range::<(FindCursor, MessageId)>(&from, &to)?;
        let mut next = || match find.order {
            FindOrder::OldestFirst => entries.next(),
            FindOrder::NewestFirst => entries.next_back(),
        };
        while let Some(entry) = next() {
            if !page.has_entry() {
                break;
            }
            let (at, id) = entry?;
            let key = MessageKey { thread: ThreadKey::new(tenant, &at.thread), id };
            let row: Option<MessageRow> = self.get(&keys::of_message("message", &key))?;
            let thread: Option<ThreadRow> = self.get(&keys::of_thread("thread", &key.thread))?;
            let floor = thread.filter(|thread| !thread.deleted).map_or(LAST, |thread| thread.floor);
            let row = row.filter(|row| {
                row.seq.is_some_and(|seq| criterion.matches(floor, seq, row.state, &row.metadata))
            });
            let message = row.map(|row| self.whole(&key, &row)).transpose()?;
            if !page.examine(at, Ok(message)) {
                break;
            }
        }
        Ok(page.into_answer())
    }
}

fn name_of<'a>(key: &'a str, prefix: &str) -> &'a str {
    key.strip_prefix(prefix).unwrap_or_default().trim_end_matches('\0')
}

fn message_of(key: &str, prefix: &str) -> Result<MessageKey, BoxError> {
    let mut names = key.strip_prefix(prefix).unwrap_or_default().split('\0');
    let mut next = || names.next().unwrap_or_default();
    let (tenant, thread, id) = (TenantId::new(next())?, ThreadId::new(next())?, MessageId::new(next())?);
    Ok(MessageKey::new(&tenant, &thread, &id))
}

/// The entry of a message among all messages of its tenant.
fn of_tenant(tenant: &TenantId, name: &str, value: &str, at: &FindCursor) -> String {
    let time = keys::digits(ordered(at.created_at));
    keys::of_value("find", name, tenant, None, value)
        + &time
        + "\0"
        + at.thread.as_str()
        + "\0"
        + &keys::digits(at.seq.get())
}

/// The entry of a message in its thread.
fn in_thread(thread: &ThreadKey, name: &str, value: &str, seq: Seq) -> String {
    keys::of_value("find-in", name, &thread.tenant, Some(&thread.thread), value) + &keys::digits(seq.get())
}

/// A number in the order of the times, which can be negative.
const fn ordered(at: Timestamp) -> u64 {
    (at.as_micros() as u64) ^ (1 << 63)
}
