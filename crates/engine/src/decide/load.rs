//! Rows as a decision needs them: staged, or loaded.

use throughline_core::{
    Content, ErrorKind, Message, MessageId, PersistError, Seq, ThreadId,
    backend::{ThreadFacts, rules},
};

use super::{Decided, WriteScope, refusal};
use crate::{
    Halt, RowKey, RowSource,
    rows::{MessageKey, MessageRange, MessageRow, RangeKind, ThreadRow},
};

/// What a thread has under a message id.
pub(crate) enum Named {
    /// Nothing, and it never had.
    Nothing,
    /// A message that was deleted, alone or with all others: a tombstone, or a row up to the floor.
    Tombstone,
    /// A message.
    There(MessageRow, Seq),
}

impl<S: RowSource> WriteScope<'_, S> {
    fn thread_ref(&mut self, thread: &ThreadId) -> Decided<Option<&ThreadRow>, S> {
        let key = self.thread_key(thread);
        let source = &mut *self.source;
        self.rows.threads.get_or_load(&key, || source.thread(&key))
    }

    /// The thread, deleted or not.
    pub(super) fn thread(&mut self, thread: &ThreadId) -> Decided<Option<ThreadRow>, S> {
        Ok(self.thread_ref(thread)?.cloned())
    }

    /// Refuses a deleted thread.
    pub(super) fn check_alive(&mut self, thread: &ThreadId) -> Decided<(), S> {
        match self.thread_ref(thread)? {
            Some(row) if row.deleted => Err(rules::thread_is_gone(thread).into()),
            _ => Ok(()),
        }
    }

    /// The thread, for a write to it. None where it was never written to.
    pub(super) fn living(&mut self, thread: &ThreadId) -> Decided<Option<ThreadRow>, S> {
        self.check_alive(thread)?;
        self.thread(thread)
    }

    /// The thread, for a write that needs it.
    pub(super) fn existing(&mut self, thread: &ThreadId) -> Decided<ThreadRow, S> {
        self.living(thread)?.ok_or_else(|| rules::no_such_thread(thread).into())
    }

    pub(super) fn put_thread(&mut self, thread: &ThreadId, row: ThreadRow) {
        let key = self.thread_key(thread);
        self.rows.threads.put(key, row);
    }

    /// What the thread has under this id. A message that was cleared counts as a tombstone.
    pub(super) fn named(&mut self, floor: Seq, thread: &ThreadId, id: &MessageId) -> Decided<Named, S> {
        let key = self.message_key(thread, id);
        let source = &mut *self.source;
        Ok(match self.rows.messages.get_or_load(&key, || source.message(&key))? {
            None => Named::Nothing,
            Some(row) => match row.seq {
                Some(seq) if seq > floor => Named::There(row.clone(), seq),
                _ => Named::Tombstone,
            },
        })
    }

    /// The thread and the message, for a write to the message.
    pub(super) fn message(
        &mut self,
        thread: &ThreadId,
        id: &MessageId,
    ) -> Decided<(ThreadRow, MessageRow), S> {
        let missing = || Halt::from(PersistError::not_found(thread, id));
        let state = self.living(thread)?.ok_or_else(missing)?;
        match self.named(state.floor, thread, id)? {
            Named::There(row, _) => Ok((state, row)),
            Named::Nothing | Named::Tombstone => Err(missing()),
        }
    }

    /// The whole content of a message, with what the transaction has appended.
    pub(super) fn content(
        &mut self,
        thread: &ThreadId,
        id: &MessageId,
        row: &MessageRow,
    ) -> Decided<Content, S> {
        let key = self.message_key(thread, id);
        let source = &mut *self.source;
        let stored = self.rows.contents.get_or_load(&key, || source.content(&key))?.cloned();
        let Some(stored) = stored else { return Err(content_is_damaged(thread, id).into()) };
        Ok(if row.state.is_open() { self.rows.chunks.fold(&key, stored) } else { stored })
    }

    /// Says that the content of a message will be needed, where it is not known yet.
    pub(super) fn expect_content(&mut self, key: &MessageKey) {
        if self.rows.contents.known(key).is_none() {
            self.source.expect(RowKey::Content(key));
        }
    }

    /// The message as it stands, with its content.
    pub(super) fn whole(
        &mut self,
        thread: &ThreadId,
        id: &MessageId,
        row: &MessageRow,
    ) -> Decided<Message, S> {
        let content = self.content(thread, id, row)?;
        Ok(row.message(self.tenant, thread, id, content))
    }

    /// The messages of a range, by sequence number, the oldest first: at least so many of its first ones, and others that are known.
    /// Those of a [`Purgeable`](RangeKind::Purgeable) range are up to the floor, all others above it.
    pub(super) fn range(
        &mut self,
        thread: &ThreadId,
        kind: RangeKind,
        floor: Seq,
        count: u64,
    ) -> Decided<Vec<(MessageId, Seq, MessageRow)>, S> {
        let key = self.thread_key(thread);
        // Some of the rows that the source answers may be out of date: so many more are asked for.
        let limit = count.saturating_add(self.rows.changed_messages_in(&key));
        let range = MessageRange { thread: key, kind, floor, limit };
        if self.rows.message_ranges.known(&range).is_none() {
            for (id, row) in self.source.messages_in(&range)? {
                self.rows.messages.insert_loaded(MessageKey { thread: range.thread.clone(), id }, Some(row));
            }
            self.rows.message_ranges.insert_loaded(range.clone(), Some(()));
        }
        let is_wanted = |seq: &Seq| (*seq > floor) != (kind == RangeKind::Purgeable);
        let mut found = self.rows.messages_in(&range.thread);
        found.retain(|(_, seq, _)| is_wanted(seq));
        Ok(found)
    }

    /// Whether a thread has messages above a sequence number.
    pub(super) fn has_messages(&mut self, thread: &ThreadId, row: &ThreadRow) -> Decided<bool, S> {
        match row.live {
            Some(live) => Ok(live > 0),
            None => match self.range(thread, RangeKind::Latest, row.floor, 1) {
                Ok(found) => Ok(!found.is_empty()),
                // A damaged message is one all the same.
                Err(Halt::Refused(error)) if error.kind() == ErrorKind::Corrupt => Ok(true),
                Err(halt) => Err(halt),
            },
        }
    }
}

/// What lists show of a thread, to be changed.
///
/// # Errors
/// `Corrupt` where the store cannot read it.
pub(super) fn summary_mut<'r>(
    row: &'r mut ThreadRow,
    thread: &ThreadId,
) -> Result<&'r mut ThreadFacts, PersistError> {
    row.summary.as_mut().ok_or_else(|| {
        refusal(ErrorKind::Corrupt, format!("the summary of the thread `{thread}` is damaged"))
    })
}

/// The last sequence number that a thread has given.
///
/// # Errors
/// `Corrupt` where the store cannot tell.
pub(super) fn last_seq(row: Option<&ThreadRow>, thread: &ThreadId) -> Result<Seq, PersistError> {
    match row {
        Some(row) if row.order_is_damaged => {
            Err(refusal(ErrorKind::Corrupt, format!("the order of the thread `{thread}` is damaged")))
        }
        Some(row) => Ok(row.last_seq),
        None => Ok(Seq::ZERO),
    }
}

fn content_is_damaged(thread: &ThreadId, id: &MessageId) -> PersistError {
    refusal(ErrorKind::Corrupt, "the stored content of the message is damaged").about(thread, id)
}
