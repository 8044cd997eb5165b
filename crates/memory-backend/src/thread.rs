//! One thread: its rows, and the order of its messages.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ops::Bound;

use throughline_core::{
    AgentId, Content, IdempotencyKey, Message, MessageId, Result, Seq, TenantId, ThreadId,
    backend::names::KnownName,
    messages::{Alias, ContentChange, ContentTail, ReadContent},
    threads::{Generation, ThreadSummary},
};
use throughline_engine::{
    read::TailStart,
    rows::{ContentBuilder, IdempotencyRow, MessageRow, ThreadRow},
    staged::StagedChunk,
};

use crate::sessions::Sessions;

/// A thread, deleted or not. Messages that were cleared stay until the thread is purged.
#[derive(Debug)]
pub(crate) struct Thread {
    pub(crate) row: ThreadRow,
    pub(crate) messages: HashMap<MessageId, Stored>,
    /// The ids of messages other than tombstones, by sequence number.
    pub(crate) order: BTreeMap<Seq, MessageId>,
    open: BTreeSet<Seq>,
    pub(crate) keys: HashMap<IdempotencyKey, IdempotencyRow>,
    /// Aliases by their numbers, each with its generation.
    pub(crate) aliases: BTreeMap<u64, (Generation, KnownName)>,
    /// The sessions of each agent, by the drop counter of the agent.
    pub(crate) sessions: BTreeMap<(AgentId, u64), Sessions>,
}

/// A message or a tombstone. Content grows in place, so that an append costs only its bytes.
#[derive(Debug)]
pub(crate) struct Stored {
    pub(crate) row: MessageRow,
    pub(crate) content: ContentBuilder,
    /// The ends of the content after each append, for tail reads.
    ends: Vec<(u64, bool)>,
}

impl Stored {
    pub(crate) fn message(&self, tenant: &TenantId, thread: &ThreadId, id: &MessageId) -> Message {
        self.row.message(tenant, thread, id, self.content.content())
    }
}

impl Thread {
    pub(crate) fn new(row: ThreadRow) -> Self {
        Self {
            row,
            messages: HashMap::new(),
            order: BTreeMap::new(),
            open: BTreeSet::new(),
            keys: HashMap::new(),
            aliases: BTreeMap::new(),
            sessions: BTreeMap::new(),
        }
    }

    /// Writes a message, which keeps unchanged content. A tombstone has no content.
    pub(crate) fn put(&mut self, id: MessageId, row: MessageRow, content: Option<Content>) {
        let before = self.messages.remove(&id);
        // If two messages exchange their sequence numbers, the number of the second may already belong to the first.
        let seq = before.as_ref().and_then(|before| before.row.seq);
        if let Some(seq) = seq.filter(|seq| self.order.get(seq) == Some(&id)) {
            self.order.remove(&seq);
            self.open.remove(&seq);
        }
        if let Some(seq) = row.seq {
            self.order.insert(seq, id.clone());
            if row.state.is_open() {
                self.open.insert(seq);
            } else {
                self.open.remove(&seq);
            }
        }
        let (content, ends) = match (content, before) {
            _ if row.is_tombstone() => (ContentBuilder::new(Content::empty()), Vec::new()),
            (Some(content), _) => (ContentBuilder::new(content), Vec::new()),
            (None, Some(before)) => (before.content, before.ends),
            (None, None) => (ContentBuilder::new(Content::empty()), Vec::new()),
        };
        self.messages.insert(id, Stored { row, content, ends });
    }

    /// Appends to the content of an open message.
    pub(crate) fn append(&mut self, id: &MessageId, chunk: &StagedChunk) {
        if let Some(stored) = self.messages.get_mut(id) {
            if matches!(chunk.change, ContentChange::Replace(_)) {
                stored.ends.clear();
            }
            stored.content.push(&chunk.change);
            stored.ends.extend(stored.content.end());
        }
    }

    /// Removes the aliases of earlier generations; for a deleted thread, all aliases and all sessions.
    pub(crate) fn purge_leftovers(&mut self, limit: u64) {
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        let Self { row: ThreadRow { deleted, generation, .. }, aliases, .. } = self;
        let is_over = |of: &Generation| *deleted || *of < *generation;
        let over = aliases.iter().filter(|(_, (of, _))| is_over(of)).take(limit);
        let numbers: Vec<u64> = over.map(|(number, _)| *number).collect();
        numbers.iter().for_each(|number| drop(self.aliases.remove(number)));
        if self.row.deleted {
            let agents: Vec<_> = self.sessions.keys().take(limit).cloned().collect();
            agents.iter().for_each(|agent| drop(self.sessions.remove(agent)));
        }
    }

    /// The summary of the thread. `None` for a deleted thread.
    pub(crate) fn entry(&self, tenant: &TenantId, thread: &ThreadId) -> Option<ThreadSummary> {
        self.row.entry(tenant, thread)
    }

    /// The visible messages, in order.
    pub(crate) fn visible(&self) -> impl DoubleEndedIterator<Item = (Seq, &MessageId, &Stored)> {
        self.visible_in(Bound::Unbounded, Bound::Unbounded)
    }

    /// The visible messages between two sequence numbers.
    pub(crate) fn visible_in(
        &self,
        low: Bound<Seq>,
        high: Bound<Seq>,
    ) -> impl DoubleEndedIterator<Item = (Seq, &MessageId, &Stored)> {
        let floor = Bound::Excluded(self.row.floor);
        // `BTreeMap::range` panics if the start is after the end.
        let low = match low {
            Bound::Excluded(seq) if seq > self.row.floor => low,
            _ => floor,
        };
        let is_empty = matches!((low, high), (Bound::Excluded(low), Bound::Excluded(high)) if high <= low);
        let range = if is_empty { None } else { Some(self.order.range((low, high))) };
        range.into_iter().flatten().filter_map(|(seq, id)| Some((*seq, id, self.messages.get(id)?)))
    }

    pub(crate) fn open(&self) -> impl Iterator<Item = (Seq, &MessageId, &Stored)> {
        let open = self.open.range((Bound::Excluded(self.row.floor), Bound::Unbounded));
        open.filter_map(|seq| {
            let id = self.order.get(seq)?;
            Some((*seq, id, self.messages.get(id)?))
        })
    }

    /// Reads the content of a visible message after a cursor. An open message costs the bytes after the cursor.
    pub(crate) fn read_content(&self, read: &ReadContent) -> Result<Option<ContentTail>> {
        let Some(stored) = self.messages.get(&read.id) else { return Ok(None) };
        if stored.row.seq.is_none_or(|seq| seq <= self.row.floor) {
            return Ok(None);
        }
        let state = stored.row.content_state();
        let start = TailStart::of(read, &state);
        let read_before = stored.ends.partition_point(|(end, _)| *end <= start.offset());
        let from = read_before.checked_sub(1).map_or((0, false), |last| stored.ends[last]);
        start.answer(read, &state, &stored.content.fragment(from)).map(Some)
    }

    /// Returns a visible message.
    pub(crate) fn message(&self, tenant: &TenantId, thread: &ThreadId, id: &MessageId) -> Option<Message> {
        let stored = self.messages.get(id)?;
        let is_visible = stored.row.seq.is_some_and(|seq| seq > self.row.floor);
        is_visible.then(|| stored.message(tenant, thread, id))
    }

    /// The aliases of the current generation, with their numbers.
    pub(crate) fn present_aliases(&self) -> impl Iterator<Item = (u64, &Alias)> {
        let present = |(of, _): &(Generation, KnownName)| !self.row.deleted && *of == self.row.generation;
        let aliases = self.aliases.iter().filter(move |(_, alias)| present(alias));
        aliases.map(|(number, (_, known))| (*number, &known.alias))
    }

    /// The number of rows that a purge removes in addition to messages.
    pub(crate) fn leftovers(&self, below: Option<Generation>) -> u64 {
        let is_over = |of: &Generation| below.is_none_or(|below| *of < below);
        let aliases = self.aliases.values().filter(|(of, _)| is_over(of)).count();
        let sessions = if below.is_none() { self.sessions.len() } else { 0 };
        (aliases + sessions) as u64
    }
}
