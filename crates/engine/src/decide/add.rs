//! The addition and the reservation of a message.

use throughline_core::{
    Effect, ErrorKind, Message, MessageId, PersistError, Revision, Seq, ThreadId, Timestamp,
    backend::{ThreadStats, rules},
    changes::{ChangeKind, ChangedMessage},
    messages::{Add, Added, Reserve, Reserved},
    threads::Generation,
};

use super::{
    Decided, WriteScope,
    load::{Named, last_seq, summary_mut},
    refusal,
    repair::ALL_CHUNKS,
};
use crate::{
    RowSource,
    rows::{MessageRow, ThreadRow},
};

impl<S: RowSource> WriteScope<'_, S> {
    pub(super) fn add(&mut self, add: &Add) -> Decided<Added, S> {
        let (state, begin) = self.begin(&add.thread, &add.id, add.generation, add.after)?;
        expect_first_revision(add.revision, &begin, &add.thread, &add.id)?;
        self.check_length(add.content.byte_len() as u64, &add.thread, &add.id)?;
        let message = add.to_message(self.tenant, begin.seq, self.now);
        let message = self.insert(state, message, &begin, ChangeKind::Added)?;
        Ok(Added { message, deduplicated: false })
    }

    pub(super) fn reserve(&mut self, reserve: &Reserve) -> Decided<Reserved, S> {
        let (state, begin) = self.begin(&reserve.thread, &reserve.id, reserve.generation, reserve.after)?;
        expect_first_revision(reserve.revision, &begin, &reserve.thread, &reserve.id)?;
        let message = reserve.to_message(self.tenant, begin.seq, self.now);
        let message = self.insert(state, message, &begin, ChangeKind::Reserved)?;
        Ok(Reserved { message, deduplicated: false })
    }

    /// Returns the thread, and the beginning of a new message. Fails if its id was used before and cannot be used again.
    fn begin(
        &mut self,
        thread: &ThreadId,
        id: &MessageId,
        generation: Option<Generation>,
        after: Option<Seq>,
    ) -> Decided<(Option<ThreadRow>, Begin), S> {
        let state = self.living(thread)?;
        let (present, floor) =
            state.as_ref().map_or((Generation::FIRST, Seq::ZERO), |row| (row.generation, row.floor));
        let last = last_seq(state.as_ref(), thread)?;
        rules::expect_generation(generation, present)?;
        rules::expect_last(after, last)?;
        let refuse = |kind, detail: &'static str| Err(refusal(kind, detail).about(thread, id).into());
        let begin = match self.named(floor, thread, id)? {
            Named::Nothing => Some(Begin::new(last.next())),
            Named::There(..) => {
                return refuse(ErrorKind::AlreadyExists, "the thread has a message with this id");
            }
            Named::Tombstone(deleted) => self.begin_again(state.as_ref(), thread, id, &deleted)?,
        };
        match begin {
            Some(begin) => Ok((state, begin)),
            None => refuse(ErrorKind::Gone, "the thread had a message with this id, and it was deleted"),
        }
    }

    /// Returns the beginning of a new message under the id of a deleted one. `None` if the thread does not reuse ids.
    pub(super) fn begin_again(
        &mut self,
        state: Option<&ThreadRow>,
        thread: &ThreadId,
        id: &MessageId,
        deleted: &MessageRow,
    ) -> Decided<Option<Begin>, S> {
        let reuses_ids =
            state.and_then(|state| state.summary.as_ref()).is_some_and(|summary| summary.reuses_ids);
        if !reuses_ids {
            return Ok(None);
        }
        if !deleted.is_tombstone() && !deleted.attachments.is_empty() {
            let detail = "the message with this id was cleared, and its attachments are not purged: purge the thread first";
            return Err(refusal(ErrorKind::Gone, detail).about(thread, id).into());
        }
        let key = self.message_key(thread, id);
        if deleted.chunks > 0 {
            self.rows.chunks.delete_below(&key, deleted.chunks + 1);
        }
        let chunks = self.rows.chunks.begin_again(&key);
        if chunks >= ALL_CHUNKS - 1 {
            let detail =
                "the deletion of the damaged message with this id is not committed yet: repeat the call";
            return Err(refusal(ErrorKind::Busy, detail).about(thread, id).into());
        }
        let seq = last_seq(state, thread)?.next();
        let revision = rules::first_revision_after(deleted.revision.max(deleted.replaced));
        Ok(Some(Begin { seq, revision, again: Some(chunks) }))
    }

    /// Stages a new message. The first message creates its thread.
    pub(super) fn insert(
        &mut self,
        state: Option<ThreadRow>,
        message: Message,
        begin: &Begin,
        event: fn(ChangedMessage) -> ChangeKind,
    ) -> Decided<Message, S> {
        let message = Message { revision: begin.revision, ..message };
        let Message { thread, id, .. } = &message;
        let mut state = state.unwrap_or_else(|| implied(message.created_at));
        state.last_seq = message.seq;
        state.add_live();
        let summary = summary_mut(&mut state, thread)?;
        if !message.state.is_open() {
            summary.count(&message);
        }
        let mut row = MessageRow::new(&message, self.next_change());
        if let Some(chunks) = begin.again {
            row.begin_again(chunks);
        }
        self.emit(thread, event(row.changed(id)));
        let key = self.message_key(thread, id);
        self.rows.contents.put(key.clone(), message.content.clone());
        self.index_new(&key, &row);
        self.rows.messages.put(key, row);
        self.put_thread(thread, state);
        Ok(message)
    }

    /// Refuses content above the limit of the store.
    pub(super) fn check_length(
        &self,
        bytes: u64,
        thread: &ThreadId,
        id: &MessageId,
    ) -> Result<(), PersistError> {
        expect_length(bytes, self.limits.max_content_bytes, thread, id)
    }
}

/// The beginning of a new message.
#[derive(Debug)]
pub(super) struct Begin {
    pub(super) seq: Seq,
    pub(super) revision: Revision,
    /// For the id of a deleted message: the last number of a chunk that the transaction has staged or deleted under the id.
    again: Option<u64>,
}

impl Begin {
    /// Returns the beginning of a message whose id no message of the thread had.
    pub(super) const fn new(seq: Seq) -> Self {
        Self { seq, revision: Revision::FIRST, again: None }
    }
}

/// Refuses a new message that would get another first revision than the call requires.
pub(super) fn expect_first_revision(
    required: Option<Revision>,
    begin: &Begin,
    thread: &ThreadId,
    id: &MessageId,
) -> Result<(), PersistError> {
    rules::expect_first_revision(required, begin.revision)
        .map_err(|error| error.with_effect(Effect::NotApplied).about(thread, id))
}

/// Refuses content above a limit.
pub(super) fn expect_length(
    bytes: u64,
    max: u64,
    thread: &ThreadId,
    id: &MessageId,
) -> Result<(), PersistError> {
    if bytes <= max {
        return Ok(());
    }
    let detail = format!("the content would have {bytes} bytes, and {max} are allowed");
    Err(refusal(ErrorKind::TooLarge, detail).about(thread, id))
}

/// Returns a thread that its first write creates.
pub(super) fn implied(created_at: Timestamp) -> ThreadRow {
    ThreadRow::new(ThreadStats::implied(created_at))
}
