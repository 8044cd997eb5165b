use std::convert::Infallible;

use throughline_core::{
    Content, Labels, MessageId, OwnerId,
    backend::{
        names::KnownName,
        sessions::{AgentRecord, AttemptRecord, KnownSession, SessionHead},
    },
    changes::QuarantinedChange,
};

use crate::{
    Halt, RowKey,
    rows::{
        AgentKey, AliasQuery, AttemptKey, ConsumerKey, ConsumerRow, DamagedRow, IdempotencyRow,
        IdempotencyRowKey, LeftoverQuery, MessageKey, MessageRange, MessageRow, QuarantineCount,
        QuarantineKey, RuntimeKey, SessionHeadKey, SessionKey, SessionQuery, ThreadKey, ThreadRow,
    },
};

/// Loads the rows of a store for a [`Transaction`](crate::Transaction).
///
/// A source returns the *committed* rows, as they were when the transaction began. The transaction stages its changes, and the
/// engine reads staged rows first. The engine keeps every answer, so that it asks for the same key again only after a failed
/// look-up. The exceptions are [`damaged_message`](Self::damaged_message) and [`repair_order`](Self::repair_order), whose answers
/// it does not keep.
///
/// # Errors
/// [`Halt::Stopped`] if the row cannot be loaded now. [`Halt::Refused`] with an error of the kind
/// [`Corrupt`](throughline_core::ErrorKind::Corrupt) if the row is damaged. The error names the message.
pub trait RowSource {
    /// Why a row cannot be loaded.
    type Stop;

    /// Returns a thread, deleted or not.
    ///
    /// # Errors
    /// See [`RowSource`].
    fn thread(&mut self, key: &ThreadKey) -> Result<Option<ThreadRow>, Halt<Self::Stop>>;

    /// A message, or the tombstone of a deleted one.
    ///
    /// # Errors
    /// See [`RowSource`].
    fn message(&mut self, key: &MessageKey) -> Result<Option<MessageRow>, Halt<Self::Stop>>;

    /// The whole content of a message, with every stored chunk.
    ///
    /// # Errors
    /// See [`RowSource`].
    fn content(&mut self, key: &MessageKey) -> Result<Option<Content>, Halt<Self::Stop>>;

    /// Returns the record of an idempotency key.
    ///
    /// # Errors
    /// See [`RowSource`].
    fn idempotency(&mut self, key: &IdempotencyRowKey) -> Result<Option<IdempotencyRow>, Halt<Self::Stop>>;

    /// Returns aliases of a generation of a thread, the latest first; at most [`AliasQuery::limit`].
    ///
    /// # Errors
    /// See [`RowSource`].
    fn aliases(&mut self, query: &AliasQuery) -> Result<Vec<KnownName>, Halt<Self::Stop>>;

    /// Returns messages of a thread by sequence number: the first ones of the range, at most [`MessageRange::limit`]. If there
    /// are fewer, the range has no more.
    ///
    /// # Errors
    /// See [`RowSource`].
    fn messages_in(&mut self, range: &MessageRange)
    -> Result<Vec<(MessageId, MessageRow)>, Halt<Self::Stop>>;

    /// Returns the counters of an agent.
    ///
    /// # Errors
    /// See [`RowSource`].
    fn agent(&mut self, key: &AgentKey) -> Result<Option<AgentRecord>, Halt<Self::Stop>>;

    /// Returns the drop counter of a runtime.
    ///
    /// # Errors
    /// See [`RowSource`].
    fn runtime(&mut self, key: &RuntimeKey) -> Result<Option<u64>, Halt<Self::Stop>>;

    /// The session head of an agent in a thread.
    ///
    /// # Errors
    /// See [`RowSource`].
    fn session_head(&mut self, key: &SessionHeadKey) -> Result<Option<SessionHead>, Halt<Self::Stop>>;

    /// A session.
    ///
    /// # Errors
    /// See [`RowSource`].
    fn session(&mut self, key: &SessionKey) -> Result<Option<KnownSession>, Halt<Self::Stop>>;

    /// An attempt.
    ///
    /// # Errors
    /// See [`RowSource`].
    fn attempt(&mut self, key: &AttemptKey) -> Result<Option<AttemptRecord>, Halt<Self::Stop>>;

    /// Returns sessions by their values.
    ///
    /// # Errors
    /// See [`RowSource`].
    fn sessions_in(&mut self, query: &SessionQuery) -> Result<Vec<KnownSession>, Halt<Self::Stop>>;

    /// A consumer of the changes.
    ///
    /// # Errors
    /// See [`RowSource`].
    fn consumer(&mut self, key: &ConsumerKey) -> Result<Option<ConsumerRow>, Halt<Self::Stop>>;

    /// A quarantined change.
    ///
    /// # Errors
    /// See [`RowSource`].
    fn quarantined(&mut self, key: &QuarantineKey) -> Result<Option<QuarantinedChange>, Halt<Self::Stop>>;

    /// Returns the number of changes in the quarantine of a consumer.
    ///
    /// # Errors
    /// See [`RowSource`].
    fn count_quarantined(&mut self, query: &QuarantineCount) -> Result<u64, Halt<Self::Stop>>;

    /// Returns the number of rows that a purge of a thread has to remove after its messages, counted up to
    /// [`LeftoverQuery::limit`].
    ///
    /// # Errors
    /// See [`RowSource`].
    fn leftovers(&mut self, query: &LeftoverQuery) -> Result<u64, Halt<Self::Stop>>;

    /// Returns the readable fields of the damaged row of a message. `None` if the store has no such row; the write then fails
    /// with the error of the look-up.
    ///
    /// # Errors
    /// See [`RowSource`].
    fn damaged_message(&mut self, key: &MessageKey) -> Result<Option<DamagedRow>, Halt<Self::Stop>> {
        let _ = key;
        Ok(None)
    }

    /// Returns whether the store has a message that its look-up by the id does not find, because the index of the ids is damaged.
    /// The engine asks before a repair treats the message as missing: an import would add it a second time. It may read the whole
    /// thread.
    ///
    /// # Errors
    /// See [`RowSource`].
    fn is_hidden(&mut self, key: &MessageKey) -> Result<bool, Halt<Self::Stop>> {
        let _ = key;
        Ok(false)
    }

    /// Returns the labels and the owner of a thread whose summary is damaged, if the store keeps them a second time.
    ///
    /// # Errors
    /// See [`RowSource`].
    fn recovered_labels(&mut self, key: &ThreadKey) -> Result<(Labels, Option<OwnerId>), Halt<Self::Stop>> {
        let _ = key;
        Ok((Labels::new(), None))
    }

    /// Repairs the order of the messages of a thread, before a rebuild, a deletion or a purge. Returns whether it repaired
    /// anything; the engine then loads the thread again.
    ///
    /// This is the only method that changes the store. The change is not staged, and an undo of the write does not undo it: the
    /// source makes it in the transaction of the store, or makes it again at the next call. It does not change any answer to a
    /// caller.
    ///
    /// # Errors
    /// See [`RowSource`].
    fn repair_order(&mut self, key: &ThreadKey) -> Result<bool, Halt<Self::Stop>> {
        let _ = key;
        Ok(false)
    }

    /// Rebuilds the order of the messages of a thread from all messages of the store, after a rebuild has counted another number
    /// of messages than the summary. Returns whether the store supports it; the engine then counts the messages again.
    ///
    /// # Errors
    /// See [`RowSource`].
    fn rebuild_order(&mut self, key: &ThreadKey) -> Result<bool, Halt<Self::Stop>> {
        let _ = key;
        Ok(false)
    }

    /// Announces that a row will be looked up soon. A source that loads in round trips records it.
    fn expect(&mut self, row: RowKey<'_>) {
        let _ = row;
    }
}

/// The rows of an empty store.
#[derive(Debug, Clone, Copy, Default)]
pub struct EmptySource;

impl RowSource for EmptySource {
    type Stop = Infallible;

    fn thread(&mut self, _: &ThreadKey) -> Result<Option<ThreadRow>, Halt<Infallible>> {
        Ok(None)
    }

    fn message(&mut self, _: &MessageKey) -> Result<Option<MessageRow>, Halt<Infallible>> {
        Ok(None)
    }

    fn content(&mut self, _: &MessageKey) -> Result<Option<Content>, Halt<Infallible>> {
        Ok(None)
    }

    fn idempotency(&mut self, _: &IdempotencyRowKey) -> Result<Option<IdempotencyRow>, Halt<Infallible>> {
        Ok(None)
    }

    fn aliases(&mut self, _: &AliasQuery) -> Result<Vec<KnownName>, Halt<Infallible>> {
        Ok(Vec::new())
    }

    fn messages_in(&mut self, _: &MessageRange) -> Result<Vec<(MessageId, MessageRow)>, Halt<Infallible>> {
        Ok(Vec::new())
    }

    fn agent(&mut self, _: &AgentKey) -> Result<Option<AgentRecord>, Halt<Infallible>> {
        Ok(None)
    }

    fn runtime(&mut self, _: &RuntimeKey) -> Result<Option<u64>, Halt<Infallible>> {
        Ok(None)
    }

    fn session_head(&mut self, _: &SessionHeadKey) -> Result<Option<SessionHead>, Halt<Infallible>> {
        Ok(None)
    }

    fn session(&mut self, _: &SessionKey) -> Result<Option<KnownSession>, Halt<Infallible>> {
        Ok(None)
    }

    fn attempt(&mut self, _: &AttemptKey) -> Result<Option<AttemptRecord>, Halt<Infallible>> {
        Ok(None)
    }

    fn sessions_in(&mut self, _: &SessionQuery) -> Result<Vec<KnownSession>, Halt<Infallible>> {
        Ok(Vec::new())
    }

    fn consumer(&mut self, _: &ConsumerKey) -> Result<Option<ConsumerRow>, Halt<Infallible>> {
        Ok(None)
    }

    fn quarantined(&mut self, _: &QuarantineKey) -> Result<Option<QuarantinedChange>, Halt<Infallible>> {
        Ok(None)
    }

    fn count_quarantined(&mut self, _: &QuarantineCount) -> Result<u64, Halt<Infallible>> {
        Ok(0)
    }

    fn leftovers(&mut self, _: &LeftoverQuery) -> Result<u64, Halt<Infallible>> {
        Ok(0)
    }
}
