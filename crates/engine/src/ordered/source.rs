//! The look-ups of the engine.

use serde::de::DeserializeOwned;
use throughline_core::{
    BoxError, Content, MessageId, PersistError, Seq, TenantId,
    backend::{
        ContentFragment,
        names::KnownName,
        sessions::{AgentRecord, AttemptRecord, KnownSession, SessionHead},
    },
    changes::QuarantinedChange,
    messages::{ContentChange, ContentTail, DamagedMessage, ReadContent},
};

use super::{OrderedRead, OrderedRows, keys, read::unavailable, stopped};
use crate::{
    Halt, RowSource,
    read::{ChunksBackward, TailStart},
    rows::{
        AgentKey, AliasQuery, AliasRow, AttemptKey, ConsumerKey, ConsumerRow, ContentBuilder, IdempotencyRow,
        IdempotencyRowKey, LeftoverQuery, MessageKey, MessageRange, MessageRow, QuarantineCount,
        QuarantineKey, RangeKind, RuntimeKey, SessionHeadKey, SessionKey, SessionQuery, ThreadKey, ThreadRow,
        chunk_text,
    },
};

type Loaded<T> = Result<T, Halt<BoxError>>;

impl<S: OrderedRead> OrderedRows<S> {
    pub(super) fn get<V: DeserializeOwned>(&self, key: &str) -> Result<Option<V>, BoxError> {
        Ok(self.store.get(key)?.map(|json| serde_json::from_str(&json)).transpose()?)
    }

    /// The rows from a key up to another one, in the order of their keys.
    pub(super) fn range<V: DeserializeOwned>(
        &self,
        from: &str,
        to: &str,
    ) -> Result<impl DoubleEndedIterator<Item = Result<V, BoxError>> + use<'_, V, S>, BoxError> {
        Ok(self.store.range(from, to)?.map(|entry| Ok(serde_json::from_str(&entry?.1)?)))
    }

    /// The keys from a key up to another one.
    pub(super) fn keys(&self, from: &str, to: &str) -> Result<Vec<String>, BoxError> {
        self.store.range(from, to)?.map(|entry| Ok(entry?.0)).collect()
    }

    /// The rows whose keys begin so.
    pub(super) fn all<V: DeserializeOwned>(&self, prefix: &str) -> Result<Vec<V>, BoxError> {
        self.range(prefix, &keys::end(prefix))?.collect()
    }

    /// The messages of a thread above a sequence number, up to another one, in their order.
    pub(super) fn messages(
        &self,
        thread: &ThreadKey,
        (above, up_to): (Seq, Seq),
    ) -> Result<
        impl DoubleEndedIterator<Item = Result<(MessageId, MessageRow), BoxError>> + use<'_, S>,
        BoxError,
    > {
        let from = keys::of_seq("order", thread, above) + "\0";
        let to = keys::of_seq("order", thread, up_to) + "\0";
        let thread = thread.clone();
        let message = move |id: Result<MessageId, BoxError>| {
            let key = MessageKey { thread: thread.clone(), id: id? };
            let row = self.get(&keys::of_message("message", &key))?;
            Ok((key.id, row.ok_or("a message in the order of its thread is missing")?))
        };
        Ok(self.range::<MessageId>(&from, &to)?.map(message))
    }

    pub(super) fn find_content(&self, key: &MessageKey) -> Result<Content, BoxError> {
        let base = self.get(&keys::of_message("content", key))?;
        let mut builder = ContentBuilder::new(base.unwrap_or_else(Content::empty));
        for change in self.all::<ContentChange>(&keys::of_message("chunk", key))? {
            builder.push(&change);
        }
        Ok(builder.content())
    }

    /// Reads the content of a message after a cursor.
    pub(super) fn tail(
        &self,
        tenant: &TenantId,
        read: &ReadContent,
    ) -> Result<Option<ContentTail>, PersistError> {
        let key = MessageKey::new(tenant, &read.thread, &read.id);
        let Some(row) = self.shown(&key).map_err(unavailable)? else { return Ok(None) };
        let state = row.content_state();
        let start = TailStart::of(read, &state);
        let fragment = self.fragment(&key, &row, start).map_err(unavailable)?.ok_or_else(|| {
            DamagedMessage { thread: read.thread.clone(), seq: row.seq, id: Some(read.id.clone()) }.to_error()
        })?;
        start.answer(read, &state, &fragment).map(Some)
    }

    /// Returns the row of a message above the floor.
    fn shown(&self, key: &MessageKey) -> Result<Option<MessageRow>, BoxError> {
        let row: Option<MessageRow> = self.get(&keys::of_message("message", key))?;
        let thread: Option<ThreadRow> = self.get(&keys::of_thread("thread", &key.thread))?;
        Ok(row.filter(|row| thread.is_some_and(|thread| row.seq.is_some_and(|seq| seq > thread.floor))))
    }

    /// Reads the content after the start of a tail read. `None` if the chunks of the message are not its content.
    fn fragment(
        &self,
        key: &MessageKey,
        row: &MessageRow,
        start: TailStart,
    ) -> Result<Option<ContentFragment>, BoxError> {
        if row.chunks == 0 {
            return Ok(Some(ContentFragment::whole(&self.find_content(key)?)));
        }
        let prefix = keys::of_message("chunk", key);
        let mut chunks = ChunksBackward::new(start, &row.content_state());
        let mut stored = self.range::<ContentChange>(&prefix, &keys::end(&prefix))?.rev();
        while !chunks.is_complete()
            && let Some(change) = stored.next()
        {
            let change = change?;
            let (kind, text) = chunk_text(&change);
            if chunks.push(kind, text.to_owned()).is_none() {
                return Ok(None);
            }
        }
        Ok(chunks.into_fragment())
    }

    fn find_range(&self, range: &MessageRange) -> Result<Vec<(MessageId, MessageRow)>, BoxError> {
        let seqs = match range.kind {
            RangeKind::Purgeable => (Seq::ZERO, range.floor),
            _ => (range.floor, Seq::new(u64::MAX)),
        };
        let is_wanted = |found: &Result<(MessageId, MessageRow), BoxError>| match (range.kind, found) {
            (RangeKind::Questions, Ok((_, row))) => row.is_question(),
            (RangeKind::Open, Ok((_, row))) => row.state.is_open(),
            _ => true,
        };
        let found = self.messages(&range.thread, seqs)?;
        let limit = usize::try_from(range.limit).unwrap_or(usize::MAX);
        match range.kind {
            RangeKind::Questions | RangeKind::Latest => found.rev().filter(is_wanted).take(limit).collect(),
            _ => found.filter(is_wanted).take(limit).collect(),
        }
    }

    fn find_aliases(&self, query: &AliasQuery) -> Result<Vec<KnownName>, BoxError> {
        let aliases: Vec<AliasRow> = self.all(&keys::of_thread("alias", &query.thread))?;
        let matching = aliases.into_iter().rev().filter(|alias| query.matches(alias));
        Ok(matching.take(query.limit()).map(|alias| alias.known).collect())
    }

    fn find_sessions(&self, query: &SessionQuery) -> Result<Vec<KnownSession>, BoxError> {
        let mut sessions: Vec<KnownSession> = self.all(&keys::of_head("session", &query.head))?;
        sessions.retain(|session| query.range.matches(session));
        sessions.sort_by_key(|session| session.value.as_ref().map(|value| (value.generation, value.number)));
        let limit = usize::try_from(query.limit).unwrap_or(usize::MAX);
        Ok(sessions.into_iter().rev().take(limit).collect())
    }

    fn count_leftovers(&self, query: &LeftoverQuery) -> Result<u64, BoxError> {
        let aliases: Vec<AliasRow> = self.all(&keys::of_thread("alias", &query.thread))?;
        let is_left = |alias: &&AliasRow| query.below.is_none_or(|below| alias.generation < below);
        let mut count = aliases.iter().filter(is_left).count();
        if query.below.is_none() {
            count += self.all::<SessionHead>(&keys::of_thread("head", &query.thread))?.len();
        }
        Ok((count as u64).min(query.limit))
    }
}

impl<S: OrderedRead> RowSource for OrderedRows<S> {
    type Stop = BoxError;

    fn thread(&mut self, key: &ThreadKey) -> Loaded<Option<ThreadRow>> {
        self.get(&keys::of_thread("thread", key)).map_err(stopped)
    }

    fn message(&mut self, key: &MessageKey) -> Loaded<Option<MessageRow>> {
        self.get(&keys::of_message("message", key)).map_err(stopped)
    }

    fn content(&mut self, key: &MessageKey) -> Loaded<Option<Content>> {
        self.find_content(key).map(Some).map_err(stopped)
    }

    fn idempotency(&mut self, key: &IdempotencyRowKey) -> Loaded<Option<IdempotencyRow>> {
        self.get(&keys::idempotency(key)).map_err(stopped)
    }

    fn aliases(&mut self, query: &AliasQuery) -> Loaded<Vec<KnownName>> {
        self.find_aliases(query).map_err(stopped)
    }

    fn messages_in(&mut self, range: &MessageRange) -> Loaded<Vec<(MessageId, MessageRow)>> {
        self.find_range(range).map_err(stopped)
    }

    fn agent(&mut self, key: &AgentKey) -> Loaded<Option<AgentRecord>> {
        self.get(&keys::agent(key)).map_err(stopped)
    }

    fn runtime(&mut self, key: &RuntimeKey) -> Loaded<Option<u64>> {
        self.get(&keys::runtime(key)).map_err(stopped)
    }

    fn session_head(&mut self, key: &SessionHeadKey) -> Loaded<Option<SessionHead>> {
        self.get(&keys::of_head("head", key)).map_err(stopped)
    }

    fn session(&mut self, key: &SessionKey) -> Loaded<Option<KnownSession>> {
        self.get(&keys::session(key)).map_err(stopped)
    }

    fn attempt(&mut self, key: &AttemptKey) -> Loaded<Option<AttemptRecord>> {
        self.get(&keys::attempt(key)).map_err(stopped)
    }

    fn sessions_in(&mut self, query: &SessionQuery) -> Loaded<Vec<KnownSession>> {
        self.find_sessions(query).map_err(stopped)
    }

    fn consumer(&mut self, key: &ConsumerKey) -> Loaded<Option<ConsumerRow>> {
        self.get(&keys::of_consumer("consumer", key)).map_err(stopped)
    }

    fn quarantined(&mut self, key: &QuarantineKey) -> Loaded<Option<QuarantinedChange>> {
        self.get(&keys::quarantined(key)).map_err(stopped)
    }

    fn count_quarantined(&mut self, query: &QuarantineCount) -> Loaded<u64> {
        let all: Vec<QuarantinedChange> =
            self.all(&keys::of_consumer("quarantine", &query.consumer)).map_err(stopped)?;
        Ok(all.iter().filter(|change| change.position <= query.through).count() as u64)
    }

    fn leftovers(&mut self, query: &LeftoverQuery) -> Loaded<u64> {
        self.count_leftovers(query).map_err(stopped)
    }
}
