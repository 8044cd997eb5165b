//! The rows of the store, for the engine.

use std::convert::Infallible;

use throughline_core::{
    Content, MessageId,
    backend::{
        names::KnownName,
        sessions::{AgentRecord, AttemptRecord, KnownSession, SessionHead},
    },
    changes::QuarantinedChange,
};
use throughline_engine::{
    Halt, RowSource,
    rows::{
        AgentKey, AliasQuery, AttemptKey, ConsumerKey, ConsumerRow, IdempotencyRow, IdempotencyRowKey,
        LeftoverQuery, MessageKey, MessageRange, MessageRow, QuarantineCount, QuarantineKey, RangeKind,
        RuntimeKey, SessionHeadKey, SessionKey, SessionQuery, ThreadKey, ThreadRow,
    },
};

use crate::{
    sessions::Sessions,
    store::Store,
    thread::{Stored, Thread},
};

type Loaded<T> = Result<T, Halt<Infallible>>;

impl Store {
    pub(crate) fn thread_of(&self, key: &ThreadKey) -> Option<&Thread> {
        self.tenants.get(&key.tenant)?.get(&key.thread)
    }

    fn stored(&self, key: &MessageKey) -> Option<&Stored> {
        self.thread_of(&key.thread)?.messages.get(&key.id)
    }

    pub(crate) fn sessions_of(&self, key: &SessionHeadKey) -> Option<&Sessions> {
        self.thread_of(&key.thread)?.sessions.get(&(key.agent.clone(), key.incarnation))
    }
}

impl RowSource for &Store {
    type Stop = Infallible;

    fn thread(&mut self, key: &ThreadKey) -> Loaded<Option<ThreadRow>> {
        Ok(self.thread_of(key).map(|thread| thread.row.clone()))
    }

    fn message(&mut self, key: &MessageKey) -> Loaded<Option<MessageRow>> {
        Ok(self.stored(key).map(|stored| stored.row.clone()))
    }

    fn content(&mut self, key: &MessageKey) -> Loaded<Option<Content>> {
        Ok(self.stored(key).map(|stored| stored.content.content()))
    }

    fn idempotency(&mut self, key: &IdempotencyRowKey) -> Loaded<Option<IdempotencyRow>> {
        Ok(self.thread_of(&key.thread).and_then(|thread| thread.keys.get(&key.key)).cloned())
    }

    fn aliases(&mut self, query: &AliasQuery) -> Loaded<Vec<KnownName>> {
        let aliases =
            self.thread_of(&query.thread).into_iter().flat_map(|thread| thread.aliases.values().rev());
        let found = aliases.filter(|(of, known)| *of == query.generation && query.by.matches(&known.alias));
        Ok(found.map(|(_, known)| known.clone()).take(query.limit()).collect())
    }

    fn messages_in(&mut self, range: &MessageRange) -> Loaded<Vec<(MessageId, MessageRow)>> {
        let Some(thread) = self.thread_of(&range.thread) else { return Ok(Vec::new()) };
        let row = |(_, id): (_, &MessageId)| Some((id.clone(), thread.messages.get(id)?.row.clone()));
        let limit = usize::try_from(range.limit).unwrap_or(usize::MAX);
        let above = thread.order.range(range.floor.next()..);
        Ok(match range.kind {
            RangeKind::Oldest | RangeKind::All => above.filter_map(row).take(limit).collect(),
            RangeKind::Latest => above.rev().filter_map(row).take(limit).collect(),
            RangeKind::Questions => {
                let is_question =
                    |id: &MessageId| thread.messages.get(id).is_some_and(|stored| stored.row.is_question());
                above.rev().filter(|(_, id)| is_question(id)).filter_map(row).take(limit).collect()
            }
            RangeKind::Open => {
                let open = thread.open().filter(|(seq, ..)| *seq > range.floor);
                open.map(|(_, id, stored)| (id.clone(), stored.row.clone())).take(limit).collect()
            }
            RangeKind::Purgeable => thread.order.range(..=range.floor).filter_map(row).take(limit).collect(),
        })
    }

    fn agent(&mut self, key: &AgentKey) -> Loaded<Option<AgentRecord>> {
        Ok(self.agents.get(key).copied())
    }

    fn runtime(&mut self, key: &RuntimeKey) -> Loaded<Option<u64>> {
        Ok(self.runtimes.get(key).copied())
    }

    fn session_head(&mut self, key: &SessionHeadKey) -> Loaded<Option<SessionHead>> {
        Ok(self.sessions_of(key).and_then(|sessions| sessions.head.clone()))
    }

    fn session(&mut self, key: &SessionKey) -> Loaded<Option<KnownSession>> {
        Ok(self.sessions_of(&key.head).and_then(|sessions| sessions.known.get(&key.session)).cloned())
    }

    fn attempt(&mut self, key: &AttemptKey) -> Loaded<Option<AttemptRecord>> {
        Ok(self.sessions_of(&key.head).and_then(|sessions| sessions.attempt(&key.attempt)).cloned())
    }

    fn sessions_in(&mut self, query: &SessionQuery) -> Loaded<Vec<KnownSession>> {
        let limit = usize::try_from(query.limit).unwrap_or(usize::MAX);
        let sessions = self.sessions_of(&query.head).into_iter();
        Ok(sessions.flat_map(|sessions| sessions.range(&query.range)).take(limit).cloned().collect())
    }

    fn consumer(&mut self, key: &ConsumerKey) -> Loaded<Option<ConsumerRow>> {
        Ok(self.consumers.get(key).map(|consumer| consumer.row))
    }

    fn quarantined(&mut self, key: &QuarantineKey) -> Loaded<Option<QuarantinedChange>> {
        let consumer = self.consumers.get(&key.consumer);
        Ok(consumer.and_then(|consumer| consumer.quarantined.get(&key.position)).cloned())
    }

    fn count_quarantined(&mut self, query: &QuarantineCount) -> Loaded<u64> {
        let consumer = self.consumers.get(&query.consumer);
        Ok(consumer.map_or(0, |consumer| consumer.quarantined.range(..=query.through).count() as u64))
    }

    fn leftovers(&mut self, query: &LeftoverQuery) -> Loaded<u64> {
        let thread = self.thread_of(&query.thread);
        Ok(thread.map_or(0, |thread| thread.leftovers(query.below)).min(query.limit))
    }
}
