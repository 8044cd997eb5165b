//! The index of metadata: messages by the values of the declared fields.

use std::{
    collections::{BTreeMap, HashMap},
    ops::Bound,
};

use throughline_core::{
    IndexedMetadata, MessageId, Result, Seq, TenantId, ThreadId,
    messages::{FindCursor, FindMessages, FindOrder, FoundMessages},
};
use throughline_engine::{
    read::{FindCriterion, FoundPage},
    rows::{IndexedMessage, MessageKey},
};

use crate::store::Threads;

/// A declared name, and the key of a value.
type Field = (String, String);

/// The messages of a thread that have a value, in their order.
type InThread = BTreeMap<Seq, (FindCursor, MessageId)>;

#[derive(Debug, Default)]
pub(crate) struct MetadataIndex {
    pub(crate) names: IndexedMetadata,
    of_tenant: BTreeMap<(TenantId, Field), BTreeMap<FindCursor, MessageId>>,
    in_thread: BTreeMap<(TenantId, ThreadId, Field), InThread>,
    /// The entries of each message.
    of_message: HashMap<MessageKey, (Vec<Field>, FindCursor)>,
}

impl MetadataIndex {
    pub(crate) fn new(names: IndexedMetadata) -> Self {
        Self { names, ..Self::default() }
    }

    /// Replaces the entries of a message.
    pub(crate) fn put(&mut self, key: MessageKey, entries: IndexedMessage) {
        let MessageKey { thread, id } = &key;
        if let Some((fields, at)) = self.of_message.remove(&key) {
            for field in fields {
                let of_thread = (thread.tenant.clone(), thread.thread.clone(), field.clone());
                remove(&mut self.in_thread, &of_thread, &at.seq, |(_, of)| of == id);
                remove(&mut self.of_tenant, &(thread.tenant.clone(), field), &at, |of| of == id);
            }
        }
        let IndexedMessage { fields, created_at, seq } = entries;
        if fields.is_empty() {
            return;
        }
        let at = FindCursor { created_at, thread: thread.thread.clone(), seq };
        for field in &fields {
            let of_thread = (thread.tenant.clone(), thread.thread.clone(), field.clone());
            self.in_thread.entry(of_thread).or_default().insert(seq, (at.clone(), id.clone()));
            let of_tenant = (thread.tenant.clone(), field.clone());
            self.of_tenant.entry(of_tenant).or_default().insert(at.clone(), id.clone());
        }
        self.of_message.insert(key, (fields, at));
    }

    pub(crate) fn find(
        &self,
        tenant: &TenantId,
        threads: &Threads,
        find: &FindMessages,
    ) -> Result<FoundMessages> {
        let criterion = FindCriterion::of(find)?;
        self.names.expect(criterion.name())?;
        let field = (criterion.name().to_owned(), criterion.index_key());
        let mut page = FoundPage::new(find);
        let mut examine = |at: &FindCursor, id: &MessageId| {
            if !page.has_entry() {
                return false;
            }
            let thread = threads.get(&at.thread).filter(|thread| !thread.row.deleted);
            let message = thread.and_then(|thread| {
                let stored = thread.messages.get(id)?;
                let (seq, row) = (stored.row.seq?, &stored.row);
                let is_found = criterion.matches(thread.row.floor, seq, row.state, &row.metadata);
                is_found.then(|| stored.message(tenant, &at.thread, id))
            });
            page.examine(at.clone(), Ok(message))
        };
        if let Some(thread) = &find.thread {
            let entries = self.in_thread.get(&(tenant.clone(), thread.clone(), field));
            let after = find.after.as_ref().map(|after| after.seq);
            each(entries, find.order, after, |_, (at, id)| examine(at, id));
        } else {
            let entries = self.of_tenant.get(&(tenant.clone(), field));
            each(entries, find.order, find.after.clone(), examine);
        }
        Ok(page.into_answer())
    }
}

/// Visits the entries after a key, in the order of a find, until `examine` ends that.
fn each<K: Ord, V>(
    entries: Option<&BTreeMap<K, V>>,
    order: FindOrder,
    after: Option<K>,
    mut examine: impl FnMut(&K, &V) -> bool,
) {
    let Some(entries) = entries else { return };
    let after = after.map_or(Bound::Unbounded, Bound::Excluded);
    match order {
        FindOrder::OldestFirst => {
            entries.range((after, Bound::Unbounded)).all(|(key, value)| examine(key, value));
        }
        FindOrder::NewestFirst => {
            entries.range((Bound::Unbounded, after)).rev().all(|(key, value)| examine(key, value));
        }
    }
}

/// Removes the entry of a message. Another message may have its sequence number already.
fn remove<K: Ord, P: Ord, V>(
    index: &mut BTreeMap<K, BTreeMap<P, V>>,
    key: &K,
    at: &P,
    is_its_own: impl Fn(&V) -> bool,
) {
    let Some(entries) = index.get_mut(key) else { return };
    if entries.get(at).is_some_and(is_its_own) {
        entries.remove(at);
    }
    if entries.is_empty() {
        index.remove(key);
    }
}
