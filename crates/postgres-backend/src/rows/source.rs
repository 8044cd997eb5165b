//! The rows of the store, for the engine: loaded in few round trips for all writes of a transaction.

use std::collections::{HashMap, HashSet};

use sqlx::{PgConnection, postgres::PgRow};
use throughline_core::{
    Content, Effect, Labels, MessageId, OwnerId, Seq,
    backend::{
        names::KnownName,
        sessions::{AgentRecord, AttemptRecord, KnownSession, SessionHead},
    },
    changes::QuarantinedChange,
};
use throughline_engine::{
    Halt, RowKey, RowSource, StagedRows, prefetch,
    rows::{
        AgentKey, AliasQuery, AttemptKey, ConsumerKey, ConsumerRow, DamagedRow, IdempotencyRow,
        IdempotencyRowKey, LeftoverQuery, MessageKey, MessageRange, MessageRow, QuarantineCount,
        QuarantineKey, RuntimeKey, SessionHeadKey, SessionKey, SessionQuery, ThreadKey, ThreadRow,
    },
};

use super::{
    Loading, ThreadCache, alias, cache::Cache, chunk, consumer, idempotency, message, range, session, thread,
};
use crate::queue::Write;

/// A row was not loaded yet. Its key is recorded.
#[derive(Debug)]
pub(crate) struct NotLoaded;

type Loaded<T> = Result<T, Halt<NotLoaded>>;

/// Whether message ids that were minted for a call are looked up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum MintedIds {
    /// The ids are assumed to be new. If an id exists, the insert violates a constraint and the transaction fails.
    /// If an id is not inserted, the decisions of the transaction may be wrong, and the transaction is decided
    /// again.
    AreNew,
    /// The ids are looked up like all others: a retry of a call brings the same id again.
    MayBeKnown,
}

/// Loaded rows, by table.
#[derive(Debug, Default)]
pub(crate) struct Source {
    pub(super) threads: Cache<ThreadKey, Option<ThreadRow>>,
    pub(super) messages: Cache<MessageKey, Option<MessageRow>>,
    pub(super) contents: Cache<MessageKey, Option<Content>>,
    pub(super) idempotency: Cache<IdempotencyRowKey, Option<IdempotencyRow>>,
    pub(super) aliases: Cache<AliasQuery, Vec<KnownName>>,
    pub(super) ranges: Cache<MessageRange, Vec<(MessageId, MessageRow)>>,
    pub(super) leftovers: Cache<LeftoverQuery, u64>,
    pub(super) labels: Cache<ThreadKey, (Labels, Option<OwnerId>)>,
    pub(super) agents: Cache<AgentKey, Option<AgentRecord>>,
    pub(super) runtimes: Cache<RuntimeKey, Option<u64>>,
    pub(super) session_heads: Cache<SessionHeadKey, Option<SessionHead>>,
    pub(super) sessions: Cache<SessionKey, Option<KnownSession>>,
    pub(super) attempts: Cache<AttemptKey, Option<AttemptRecord>>,
    pub(super) session_queries: Cache<SessionQuery, Vec<KnownSession>>,
    pub(super) consumers: Cache<ConsumerKey, Option<ConsumerRow>>,
    pub(super) quarantine: Cache<QuarantineKey, Option<QuarantinedChange>>,
    pub(super) quarantine_counts: Cache<QuarantineCount, u64>,
    /// The readable columns of damaged messages.
    pub(super) damaged: HashMap<MessageKey, DamagedRow>,
    /// Messages that are assumed to be absent and were not looked up.
    assumed: HashSet<MessageKey>,
    pub(super) loading: Loading,
    /// The threads as the writer wrote them last.
    pub(super) thread_cache: ThreadCache,
}

impl Source {
    pub(crate) fn new(loading: Loading, thread_cache: ThreadCache) -> Self {
        Self { loading, thread_cache, ..Self::default() }
    }

    /// Uses the rows of the cache for the recorded threads. Returns whether it has all of them.
    pub(crate) fn load_threads_from(&mut self, cache: &mut ThreadCache) -> bool {
        self.threads.take_wanted().into_iter().all(|key| match cache.confirmed(&key) {
            Some(row) => {
                self.threads.insert(key, Some(row.clone()));
                true
            }
            None => false,
        })
    }

    /// Assumes that the recorded idempotency keys are new. The statement that writes them must fail otherwise.
    pub(crate) fn assume_new_keys(&mut self) {
        for key in self.idempotency.take_wanted() {
            self.idempotency.insert(key, None);
        }
    }

    /// Takes the recorded threads, and returns the query for their rows, to pass to [`insert_threads`](Self::insert_threads).
    pub(crate) fn query_threads(&mut self) -> (Vec<ThreadKey>, String) {
        let keys = self.threads.take_wanted();
        let sql = if keys.is_empty() { String::new() } else { thread::query(&keys) };
        (keys, sql)
    }

    pub(crate) fn insert_threads(&mut self, keys: &[ThreadKey], found: &[PgRow]) -> sqlx::Result<()> {
        thread::insert_found(self, keys, found)
    }

    /// Returns the thread cache, compared with the loaded rows.
    pub(crate) fn into_thread_cache(self) -> ThreadCache {
        self.thread_cache
    }

    /// Records the rows that a write certainly looks up.
    pub(crate) fn prefetch(&mut self, write: &Write, minted: MintedIds) {
        prefetch(&write.decided(), |row| match row {
            RowKey::MintedMessage(key) if minted == MintedIds::AreNew => {
                self.assumed.insert(key.clone());
            }
            RowKey::MintedMessage(key) => self.messages.want(key),
            row => self.expect(row),
        });
    }

    /// Returns whether an assumed message was not inserted, so that the decisions may be wrong.
    pub(crate) fn has_assumed(&self, staged: &StagedRows) -> bool {
        self.assumed.iter().any(|key| !staged.messages.is_changed(key))
    }

    /// Loads every recorded row. A damaged message, consumer or quarantined change is refused when it is looked up.
    /// Any other damaged row is an error here.
    pub(crate) async fn load(&mut self, db: &mut PgConnection) -> sqlx::Result<()> {
        thread::load(self, db).await?;
        message::load(self, db).await?;
        chunk::load(self, db).await?;
        idempotency::load(self, db).await?;
        alias::load(self, db).await?;
        range::load(self, db).await?;
        session::load(self, db).await?;
        consumer::load(self, db).await
    }

    /// Returns the sequence numbers of the loaded messages that no write has looked up yet.
    pub(crate) fn message_seqs(&self) -> HashMap<MessageKey, Seq> {
        let rows = self.messages.loaded();
        rows.filter_map(|(key, row)| Some((key.clone(), row.as_ref()?.seq?))).collect()
    }

    /// Records that a message is damaged, with its readable columns.
    pub(super) fn record_damaged(
        &mut self,
        key: &MessageKey,
        row: DamagedRow,
    ) -> throughline_core::PersistError {
        let seq = (row.seq > Seq::ZERO).then_some(row.seq);
        self.damaged.insert(key.clone(), row);
        damaged_message(key, seq)
    }
}

/// Returns the error of a write that needs a damaged message.
pub(super) fn damaged_message(key: &MessageKey, seq: Option<Seq>) -> throughline_core::PersistError {
    let (thread, id) = (key.thread.thread.clone(), Some(key.id.clone()));
    let damaged = throughline_core::messages::DamagedMessage { thread, seq, id };
    damaged.to_error().with_effect(Effect::NotApplied)
}

impl RowSource for Source {
    type Stop = NotLoaded;

    fn thread(&mut self, key: &ThreadKey) -> Loaded<Option<ThreadRow>> {
        self.threads.take(key)
    }

    fn message(&mut self, key: &MessageKey) -> Loaded<Option<MessageRow>> {
        if self.assumed.contains(key) {
            return Ok(None);
        }
        self.messages.take(key)
    }

    fn content(&mut self, key: &MessageKey) -> Loaded<Option<Content>> {
        self.contents.take(key)
    }

    fn idempotency(&mut self, key: &IdempotencyRowKey) -> Loaded<Option<IdempotencyRow>> {
        self.idempotency.take(key)
    }

    fn aliases(&mut self, query: &AliasQuery) -> Loaded<Vec<KnownName>> {
        self.aliases.take(query)
    }

    fn messages_in(&mut self, range: &MessageRange) -> Loaded<Vec<(MessageId, MessageRow)>> {
        self.ranges.take(range)
    }

    fn agent(&mut self, key: &AgentKey) -> Loaded<Option<AgentRecord>> {
        self.agents.take(key)
    }

    fn runtime(&mut self, key: &RuntimeKey) -> Loaded<Option<u64>> {
        self.runtimes.take(key)
    }

    fn session_head(&mut self, key: &SessionHeadKey) -> Loaded<Option<SessionHead>> {
        self.session_heads.take(key)
    }

    fn session(&mut self, key: &SessionKey) -> Loaded<Option<KnownSession>> {
        self.sessions.take(key)
    }

    fn attempt(&mut self, key: &AttemptKey) -> Loaded<Option<AttemptRecord>> {
        self.attempts.take(key)
    }

    fn sessions_in(&mut self, query: &SessionQuery) -> Loaded<Vec<KnownSession>> {
        self.session_queries.take(query)
    }

    fn consumer(&mut self, key: &ConsumerKey) -> Loaded<Option<ConsumerRow>> {
        self.consumers.take(key)
    }

    fn quarantined(&mut self, key: &QuarantineKey) -> Loaded<Option<QuarantinedChange>> {
        self.quarantine.take(key)
    }

    fn count_quarantined(&mut self, query: &QuarantineCount) -> Loaded<u64> {
        self.quarantine_counts.take(query)
    }

    fn leftovers(&mut self, query: &LeftoverQuery) -> Loaded<u64> {
        self.leftovers.take(query)
    }

    fn damaged_message(&mut self, key: &MessageKey) -> Loaded<Option<DamagedRow>> {
        Ok(self.damaged.get(key).cloned())
    }

    fn recovered_labels(&mut self, key: &ThreadKey) -> Loaded<(Labels, Option<OwnerId>)> {
        self.labels.take(key)
    }

    fn expect(&mut self, row: RowKey<'_>) {
        match row {
            RowKey::Thread(key) => self.threads.want(key),
            RowKey::Message(key) | RowKey::MintedMessage(key) => self.messages.want(key),
            RowKey::Content(key) => self.contents.want(key),
            RowKey::Idempotency(key) => self.idempotency.want(key),
            RowKey::Agent(key) => self.agents.want(key),
            RowKey::Runtime(key) => self.runtimes.want(key),
            RowKey::SessionHead(key) => self.session_heads.want(key),
            RowKey::Consumer(key) => self.consumers.want(key),
            RowKey::Quarantined(key) => self.quarantine.want(key),
        }
    }
}
