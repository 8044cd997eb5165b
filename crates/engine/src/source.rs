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
        IdempotencyRowKey, LeftoverQuery, MessageKey, MessageRange, MessageRow, QuarantineKey, RuntimeKey,
        SessionHeadKey, SessionKey, SessionQuery, ThreadKey, ThreadRow,
    },
};

/// Loads the rows of a store for a [`Transaction`](crate::Transaction).
///
/// A source answers the *committed* rows: as they were when the transaction began. What the transaction changes is staged, and the engine
/// looks there first. The engine keeps every answer, so the same key is asked for again only after a look-up that failed.
/// [`damaged_message`](Self::damaged_message) and [`repair_order`](Self::repair_order) are the exceptions. Their answers are not kept.
///
/// # Errors
/// [`Halt::Stopped`] where the row cannot be loaded now. [`Halt::Refused`] with an error of the kind
/// [`Corrupt`](throughline_core::ErrorKind::Corrupt) where the row is damaged. The error names the message.
pub trait RowSource {
    /// Why a row cannot be loaded.
    type Stop;

    /// A thread, deleted or not.
    ///
    /// # Errors
    /// As of every look-up: see [`RowSource`].
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

    /// What an idempotency key was used for.
    ///
    /// # Errors
    /// See [`RowSource`].
    fn idempotency(&mut self, key: &IdempotencyRowKey) -> Result<Option<IdempotencyRow>, Halt<Self::Stop>>;

    /// Aliases of a generation of a thread, the latest first; at most [`AliasQuery::limit`].
    ///
    /// # Errors
    /// See [`RowSource`].
    fn aliases(&mut self, query: &AliasQuery) -> Result<Vec<KnownName>, Halt<Self::Stop>>;

    /// Messages of a thread by their sequence numbers: the first ones of the range, at most [`MessageRange::limit`]. Fewer say that there
    /// are no more.
    ///
    /// # Errors
    /// See [`RowSource`].
    fn messages_in(&mut self, range: &MessageRange)
    -> Result<Vec<(MessageId, MessageRow)>, Halt<Self::Stop>>;

    /// An agent as a whole.
    ///
    /// # Errors
    /// See [`RowSource`].
    fn agent(&mut self, key: &AgentKey) -> Result<Option<AgentRecord>, Halt<Self::Stop>>;

    /// How often a runtime was dropped.
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

    /// Sessions by what they say.
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

    /// How many rows a purge of a thread has to remove once its messages are gone, counted up to [`LeftoverQuery::limit`].
    ///
    /// # Errors
    /// See [`RowSource`].
    fn leftovers(&mut self, query: &LeftoverQuery) -> Result<u64, Halt<Self::Stop>>;

    /// What the damaged row of a message says. `None` where the store has no such row: then the write is refused with the error of
    /// the look-up.
    ///
    /// # Errors
    /// See [`RowSource`].
    fn damaged_message(&mut self, key: &MessageKey) -> Result<Option<DamagedRow>, Halt<Self::Stop>> {
        let _ = key;
        Ok(None)
    }

    /// The labels and the owner of a thread whose summary is damaged, where the store keeps them a second time.
    ///
    /// # Errors
    /// See [`RowSource`].
    fn recovered_labels(&mut self, key: &ThreadKey) -> Result<(Labels, Option<OwnerId>), Halt<Self::Stop>> {
        let _ = key;
        Ok((Labels::new(), None))
    }

    /// Repairs what tells the order of the messages of a thread, before a rebuild, a deletion or a purge of it. Answers whether it repaired
    /// something: then the engine loads the thread again.
    ///
    /// This is the only method that changes the store. The change is not staged, and an undo of the write does not undo it: the source
    /// makes it in the transaction of the store, or makes it again at the next call. It changes nothing that a caller is shown.
    ///
    /// # Errors
    /// See [`RowSource`].
    fn repair_order(&mut self, key: &ThreadKey) -> Result<bool, Halt<Self::Stop>> {
        let _ = key;
        Ok(false)
    }

    /// Makes again what tells the order of the messages of a thread, from all messages of the store: a rebuild has found another number of
    /// messages than the summary says. Answers whether the store does so: then the engine counts the messages again.
    ///
    /// # Errors
    /// See [`RowSource`].
    fn rebuild_order(&mut self, key: &ThreadKey) -> Result<bool, Halt<Self::Stop>> {
        let _ = key;
        Ok(false)
    }

    /// Says that a row will be looked up soon: a source that loads in round trips records it.
    fn expect(&mut self, row: RowKey<'_>) {
        let _ = row;
    }
}

/// The rows of a store that nothing was ever written to.
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

    fn leftovers(&mut self, _: &LeftoverQuery) -> Result<u64, Halt<Infallible>> {
        Ok(0)
    }
}
