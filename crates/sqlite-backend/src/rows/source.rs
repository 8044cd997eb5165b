use std::{
    borrow::Cow,
    collections::{HashMap, HashSet},
};

use foldhash::fast::RandomState;
use rusqlite::Connection;
use throughline_core::{
    Content, Labels, MessageId, OwnerId,
    backend::{
        names::KnownName,
        sessions::{AgentRecord, AttemptRecord, KnownSession, SessionHead},
    },
    changes::QuarantinedChange,
};
use throughline_engine::{
    Halt, RowSource,
    rows::{
        AgentKey, AliasQuery, AttemptKey, ConsumerKey, ConsumerRow, DamagedRow, IdempotencyRow,
        IdempotencyRowKey, LeftoverQuery, MessageKey, MessageRange, MessageRow, QuarantineCount,
        QuarantineKey, RuntimeKey, SessionHeadKey, SessionKey, SessionQuery, ThreadKey, ThreadRow,
    },
};

use super::{message::StoredMessage, thread_cache::ThreadCache};
use crate::{
    blob::{BlobRef, BlobWriter},
    error::EngineError,
    obsolete_chunks::Amount,
};

/// The loaded messages, as stored in the file.
pub(super) type LoadedMessages = HashMap<MessageKey, StoredMessage, RandomState>;

/// Loads the rows of the file for the engine, and keeps their stored columns.
#[derive(Debug)]
pub(crate) struct Source<'a> {
    pub(super) db: &'a Connection,
    pub(super) threads: &'a mut ThreadCache,
    /// The loaded messages, as stored in the file.
    pub(super) messages: LoadedMessages,
    /// Ids that are assumed to be new: they were minted for the current call.
    assumed_new: HashSet<MessageId, RandomState>,
    /// The ids of the messages of a thread that was read to find a hidden one.
    pub(super) ids: HashMap<ThreadKey, HashSet<Vec<u8>, RandomState>, RandomState>,
    /// The blobs of the writer's transactions; `None` for a read.
    pub(crate) blobs: Option<&'a mut BlobWriter>,
    /// Whether messages are overwritten regardless of their rows: that is so for rows of another store.
    pub(super) overwrites: bool,
    /// The chunks that became obsolete and wait for their deletion.
    pub(super) obsolete_chunks: Amount,
}

type Loaded<T> = Result<T, Halt<EngineError>>;

impl<'a> Source<'a> {
    pub(crate) fn new(db: &'a Connection, threads: &'a mut ThreadCache) -> Self {
        Self {
            db,
            threads,
            messages: HashMap::default(),
            assumed_new: HashSet::default(),
            ids: HashMap::default(),
            blobs: None,
            overwrites: false,
            obsolete_chunks: Amount::default(),
        }
    }

    /// Writes long contents to blobs.
    pub(crate) fn with_blobs(self, blobs: &'a mut BlobWriter) -> Self {
        Self { blobs: Some(blobs), ..self }
    }

    /// Returns the text of the column for a content.
    pub(super) fn column<'c>(&mut self, content: &'c Content) -> Result<Cow<'c, str>, EngineError> {
        match &mut self.blobs {
            Some(blobs) => blobs.column(content),
            None => Ok(Cow::Borrowed(content.as_json())),
        }
    }

    /// Records that a row does not name a blob any more.
    pub(super) fn dropped(&mut self, blob: Option<&BlobRef>) {
        if let Some(blobs) = &mut self.blobs {
            blobs.dropped(blob);
        }
    }

    /// Creates a source for the rows of another store.
    pub(crate) fn for_images(db: &'a Connection, threads: &'a mut ThreadCache) -> Self {
        Self { overwrites: true, ..Self::new(db, threads) }
    }

    /// Assumes that these ids are new, until the next call. An index refuses one that is not.
    pub(super) fn assume_new(&mut self, ids: impl IntoIterator<Item = MessageId>) {
        self.assumed_new.clear();
        self.assumed_new.extend(ids);
    }

    /// Forgets the loaded messages after they were written.
    pub(super) fn written(&mut self) {
        self.messages.clear();
        self.ids.clear();
    }

    /// Returns the number of a message that was loaded or inserted.
    pub(crate) fn message_pk(&self, key: &MessageKey) -> Option<i64> {
        self.messages.get(key).map(|stored| stored.message_pk)
    }
}

impl RowSource for Source<'_> {
    type Stop = EngineError;

    fn thread(&mut self, key: &ThreadKey) -> Loaded<Option<ThreadRow>> {
        Ok(self.stored_thread(key)?.map(|thread| thread.row.clone()))
    }

    fn message(&mut self, key: &MessageKey) -> Loaded<Option<MessageRow>> {
        if self.assumed_new.contains(&key.id) {
            return Ok(None);
        }
        Ok(self.find_message(key)?)
    }

    fn content(&mut self, key: &MessageKey) -> Loaded<Option<Content>> {
        Ok(self.stored_content(key)?)
    }

    fn idempotency(&mut self, key: &IdempotencyRowKey) -> Loaded<Option<IdempotencyRow>> {
        let found = self.find_idempotency(key)?;
        if found.is_some() {
            // The call is a repetition, and its ids were minted for the first one.
            self.assumed_new.clear();
        }
        Ok(found)
    }

    fn aliases(&mut self, query: &AliasQuery) -> Loaded<Vec<KnownName>> {
        Ok(self.find_aliases(query)?)
    }

    fn messages_in(&mut self, range: &MessageRange) -> Loaded<Vec<(MessageId, MessageRow)>> {
        Ok(self.find_range(range)?)
    }

    fn agent(&mut self, key: &AgentKey) -> Loaded<Option<AgentRecord>> {
        Ok(self.find_agent(key)?)
    }

    fn runtime(&mut self, key: &RuntimeKey) -> Loaded<Option<u64>> {
        Ok(self.find_runtime(key)?)
    }

    fn session_head(&mut self, key: &SessionHeadKey) -> Loaded<Option<SessionHead>> {
        Ok(self.find_head(key)?)
    }

    fn session(&mut self, key: &SessionKey) -> Loaded<Option<KnownSession>> {
        Ok(self.find_session(key)?)
    }

    fn attempt(&mut self, key: &AttemptKey) -> Loaded<Option<AttemptRecord>> {
        Ok(self.find_attempt(key)?)
    }

    fn sessions_in(&mut self, query: &SessionQuery) -> Loaded<Vec<KnownSession>> {
        Ok(self.find_sessions(query)?)
    }

    fn consumer(&mut self, key: &ConsumerKey) -> Loaded<Option<ConsumerRow>> {
        Ok(self.find_consumer(key)?)
    }

    fn quarantined(&mut self, key: &QuarantineKey) -> Loaded<Option<QuarantinedChange>> {
        Ok(self.find_quarantined(key)?)
    }

    fn count_quarantined(&mut self, query: &QuarantineCount) -> Loaded<u64> {
        Ok(self.quarantine_len(query)?)
    }

    fn leftovers(&mut self, query: &LeftoverQuery) -> Loaded<u64> {
        Ok(self.count_leftovers(query)?)
    }

    fn damaged_message(&mut self, key: &MessageKey) -> Loaded<Option<DamagedRow>> {
        Ok(self.find_damaged(key)?)
    }

    fn is_hidden(&mut self, key: &MessageKey) -> Loaded<bool> {
        Ok(self.is_hidden_message(key)?)
    }

    fn recovered_labels(&mut self, key: &ThreadKey) -> Loaded<(Labels, Option<OwnerId>)> {
        Ok(self.stored_labels(key)?)
    }

    fn repair_order(&mut self, key: &ThreadKey) -> Loaded<bool> {
        Ok(self.repair_order_of(key)?)
    }

    fn rebuild_order(&mut self, key: &ThreadKey) -> Loaded<bool> {
        let is_rebuilt = self.rebuild_order_of(key)?;
        // No summary is computed without the messages that the index hides.
        self.expect_no_hidden(key)?;
        Ok(is_rebuilt)
    }
}
