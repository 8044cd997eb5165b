//! Loads rows for a decision: the staged row, or else the stored one.

use throughline_core::{
    Content, ErrorKind, Message, MessageId, PersistError, Seq, ThreadId,
    backend::{ThreadStats, rules},
};

use super::{Decided, WriteScope, refusal};
use crate::{
    Halt, RowKey, RowSource,
    rows::{MessageKey, MessageRange, MessageRow, RangeKind, ThreadRow},
    staged::LoadedRange,
};

/// The row of a thread under a message id.
pub(crate) enum Named {
    /// No row, and never one before.
    Nothing,
    /// A deleted message: a tombstone, or a row up to the floor.
    Tombstone(MessageRow),
    /// A message.
    There(MessageRow, Seq),
}

impl<S: RowSource> WriteScope<'_, S> {
    fn thread_ref(&mut self, thread: &ThreadId) -> Decided<Option<&ThreadRow>, S> {
        let key = self.thread_key(thread);
        let source = &mut *self.source;
        self.rows.threads.get_or_load(&key, || source.thread(&key))
    }

    /// Returns the thread, deleted or not.
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

    /// Returns the thread, for a write to it. `None` before its first write.
    pub(super) fn living(&mut self, thread: &ThreadId) -> Decided<Option<ThreadRow>, S> {
        match self.thread_ref(thread)? {
            Some(row) if row.deleted => Err(rules::thread_is_gone(thread).into()),
            found => Ok(found.cloned()),
        }
    }

    /// Returns the floor of the thread, for a write to it. `None` before its first write.
    pub(super) fn floor(&mut self, thread: &ThreadId) -> Decided<Option<Seq>, S> {
        match self.thread_ref(thread)? {
            Some(row) if row.deleted => Err(rules::thread_is_gone(thread).into()),
            found => Ok(found.map(|row| row.floor)),
        }
    }

    /// Returns whether the thread exists and has never had a message: then no row is under any id of it.
    pub(super) fn never_had_a_message(&mut self, thread: &ThreadId) -> Decided<bool, S> {
        let found = self.thread_ref(thread)?;
        Ok(found.is_some_and(|row| row.last_seq == Seq::ZERO && !row.order_is_damaged))
    }

    /// Returns the thread, for a write that requires it.
    pub(super) fn existing(&mut self, thread: &ThreadId) -> Decided<ThreadRow, S> {
        self.living(thread)?.ok_or_else(|| rules::no_such_thread(thread).into())
    }

    pub(super) fn put_thread(&mut self, thread: &ThreadId, row: ThreadRow) {
        let key = self.thread_key(thread);
        self.rows.threads.put(key, row);
    }

    /// Returns the row of the thread under this id. A cleared message counts as a tombstone.
    pub(super) fn named(&mut self, floor: Seq, thread: &ThreadId, id: &MessageId) -> Decided<Named, S> {
        let key = self.message_key(thread, id);
        let source = &mut *self.source;
        Ok(match self.rows.messages.get_or_load(&key, || source.message(&key))? {
            None => Named::Nothing,
            Some(row) => match row.seq {
                Some(seq) if seq > floor => Named::There(row.clone(), seq),
                _ => Named::Tombstone(row.clone()),
            },
        })
    }

    /// Returns the message, for a write to it.
    pub(super) fn message(&mut self, thread: &ThreadId, id: &MessageId) -> Decided<MessageRow, S> {
        let missing = || Halt::from(PersistError::not_found(thread, id));
        let floor = self.floor(thread)?.ok_or_else(missing)?;
        match self.named(floor, thread, id)? {
            Named::There(row, _) => Ok(row),
            Named::Nothing | Named::Tombstone(_) => Err(missing()),
        }
    }

    /// Returns the whole content of a message, including the appends of the transaction.
    pub(super) fn content(
        &mut self,
        thread: &ThreadId,
        id: &MessageId,
        is_open: bool,
    ) -> Decided<Content, S> {
        let key = self.message_key(thread, id);
        let source = &mut *self.source;
        let stored = self.rows.contents.get_or_load(&key, || source.content(&key))?.cloned();
        let Some(stored) = stored else { return Err(content_is_damaged(thread, id).into()) };
        Ok(if is_open { self.rows.chunks.fold(&key, stored) } else { stored })
    }

    /// Announces that the content of a message will be needed, unless it is known.
    pub(super) fn expect_content(&mut self, key: &MessageKey) {
        if self.rows.contents.known(key).is_none() {
            self.source.expect(RowKey::Content(key));
        }
    }

    /// Returns the message of a row, with its content.
    pub(super) fn with_content(
        &mut self,
        thread: &ThreadId,
        id: &MessageId,
        row: &MessageRow,
    ) -> Decided<Message, S> {
        let content = self.content(thread, id, row.state.is_open())?;
        Ok(row.message(self.tenant, thread, id, content))
    }

    /// Returns the messages of a range by sequence number, the oldest first: at least `count` of its first ones, and others that
    /// are known. A [`Purgeable`](RangeKind::Purgeable) range is up to the floor, all others are above it.
    pub(super) fn range(
        &mut self,
        thread: &ThreadId,
        kind: RangeKind,
        floor: Seq,
        count: u64,
    ) -> Decided<Vec<(&MessageId, Seq, &MessageRow)>, S> {
        self.load_range(thread, kind, floor, count)?;
        let key = self.thread_key(thread);
        Ok(self.rows.messages_in(&key, |seq| (seq > floor) != (kind == RangeKind::Purgeable)))
    }

    /// Loads `count` of the first messages of a range.
    pub(super) fn load_range(
        &mut self,
        thread: &ThreadId,
        kind: RangeKind,
        floor: Seq,
        count: u64,
    ) -> Decided<(), S> {
        let thread = self.thread_key(thread);
        // Some of the rows from the source can be out of date, so that this many more are requested.
        let needed = count.saturating_add(self.rows.updated_messages_in(&thread));
        let loaded = self.rows.message_ranges.get(&(thread.clone(), kind, floor)).copied();
        if loaded.is_some_and(|loaded| loaded.is_complete || loaded.limit >= needed) {
            return Ok(());
        }
        // Twice as many as before, so that a transaction that needs one more each time loads few times.
        let twice = loaded.map_or(0, |loaded| loaded.limit.saturating_mul(2));
        let mut range = MessageRange { thread, kind, floor, limit: needed.max(twice) };
        let found = match self.source.messages_in(&range) {
            // The damaged row can be after the needed ones.
            Err(halt) if range.limit > needed && halt.is_corrupt() => {
                range.limit = needed;
                self.source.messages_in(&range)?
            }
            found => found?,
        };
        let MessageRange { thread, limit, .. } = range;
        let is_complete = (found.len() as u64) < limit;
        for (id, row) in found {
            self.rows.messages.insert_loaded(MessageKey { thread: thread.clone(), id }, Some(row));
        }
        self.rows.message_ranges.insert((thread, kind, floor), LoadedRange { limit, is_complete });
        Ok(())
    }

    /// Returns the latest user message with readable content. A range of this kind contains every final user message.
    pub(super) fn latest_question(
        &mut self,
        thread: &ThreadId,
        kind: RangeKind,
        floor: Seq,
    ) -> Decided<Option<Message>, S> {
        let mut damaged = 0;
        loop {
            let questions = self.range(thread, kind, floor, damaged + 1)?;
            let questions = questions.into_iter().rev().filter(|(.., row)| row.is_question());
            let skip = usize::try_from(damaged).unwrap_or(usize::MAX);
            let found = questions.skip(skip).map(|(id, _, row)| (id.clone(), row.clone())).next();
            let Some((id, row)) = found else { return Ok(None) };
            self.expect_questions(thread, kind, floor, &id)?;
            match self.with_content(thread, &id, &row) {
                Ok(message) => return Ok(Some(message)),
                // The code that needs the damaged row reports it.
                Err(halt) if halt.is_corrupt() => damaged += 1,
                Err(halt) => return Err(halt),
            }
        }
    }

    /// Announces that the content of a user message will be needed, and of as many before it as the transaction has deleted. A
    /// transaction that deletes the latest user messages one by one therefore loads contents in few steps.
    fn expect_questions(
        &mut self,
        thread: &ThreadId,
        kind: RangeKind,
        floor: Seq,
        latest: &MessageId,
    ) -> Decided<(), S> {
        let key = self.message_key(thread, latest);
        if self.rows.contents.known(&key).is_some() {
            return Ok(());
        }
        let deleted = self.rows.messages.updated();
        let deleted =
            deleted.filter(|(of, row)| of.thread == key.thread && row.is_tombstone() && row.is_question());
        let deleted = deleted.count();
        let questions = self.range(thread, kind, floor, 1)?.into_iter().rev();
        let earlier = questions.skip_while(|(id, ..)| *id != latest).filter(|(.., row)| row.is_question());
        let expected: Vec<MessageId> = earlier.take(deleted.max(1)).map(|(id, ..)| id.clone()).collect();
        for id in expected {
            self.expect_content(&MessageKey { thread: key.thread.clone(), id });
        }
        Ok(())
    }

    /// Whether a thread has messages above a sequence number.
    pub(super) fn has_messages(&mut self, thread: &ThreadId, row: &ThreadRow) -> Decided<bool, S> {
        match row.live {
            Some(live) => Ok(live > 0),
            None => match self.range(thread, RangeKind::Latest, row.floor, 1) {
                Ok(found) => Ok(!found.is_empty()),
                // A damaged message counts.
                Err(Halt::Refused(error)) if error.kind() == ErrorKind::Corrupt => Ok(true),
                Err(halt) => Err(halt),
            },
        }
    }
}

/// Returns the stats of a thread, for a change.
///
/// # Errors
/// `Corrupt` if the summary is damaged.
pub(super) fn summary_mut<'r>(
    row: &'r mut ThreadRow,
    thread: &ThreadId,
) -> Result<&'r mut ThreadStats, PersistError> {
    row.summary.as_mut().ok_or_else(|| {
        let detail = format!("the summary of the thread `{thread}` is damaged: rebuild the thread");
        refusal(ErrorKind::Corrupt, detail)
    })
}

/// Returns the last sequence number that a thread has assigned.
///
/// # Errors
/// `Corrupt` if the order of its messages is damaged.
pub(super) fn last_seq(row: Option<&ThreadRow>, thread: &ThreadId) -> Result<Seq, PersistError> {
    match row {
        Some(row) if row.order_is_damaged => {
            let detail = format!("the order of the thread `{thread}` is damaged: rebuild the thread");
            Err(refusal(ErrorKind::Corrupt, detail))
        }
        Some(row) => Ok(row.last_seq),
        None => Ok(Seq::ZERO),
    }
}

fn content_is_damaged(thread: &ThreadId, id: &MessageId) -> PersistError {
    let detail = "the stored content of the message is damaged: \
        restore it by an import that restores damaged messages, or delete it as damaged";
    refusal(ErrorKind::Corrupt, detail).about(thread, id)
}
