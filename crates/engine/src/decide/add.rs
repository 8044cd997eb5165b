//! The addition and the reservation of a message.

use throughline_core::{
    ErrorKind, Message, MessageId, PersistError, Seq, ThreadId, Timestamp,
    backend::{ThreadStats, rules},
    changes::{ChangeKind, ChangedMessage},
    messages::{Add, Added, Reserve, Reserved},
    threads::Generation,
};

use super::{
    Decided, WriteScope,
    load::{Named, last_seq, summary_mut},
    refusal,
};
use crate::{
    RowSource,
    rows::{MessageRow, ThreadRow},
};

impl<S: RowSource> WriteScope<'_, S> {
    pub(super) fn add(&mut self, add: &Add) -> Decided<Added, S> {
        let (state, seq) = self.next_seq(&add.thread, &add.id, add.generation, add.after)?;
        self.check_length(add.content.byte_len() as u64, &add.thread, &add.id)?;
        let message = add.to_message(self.tenant, seq, self.now);
        self.insert(state, &message, ChangeKind::Added)?;
        Ok(Added { message, deduplicated: false })
    }

    pub(super) fn reserve(&mut self, reserve: &Reserve) -> Decided<Reserved, S> {
        let (state, seq) = self.next_seq(&reserve.thread, &reserve.id, reserve.generation, reserve.after)?;
        let message = reserve.to_message(self.tenant, seq, self.now);
        self.insert(state, &message, ChangeKind::Reserved)?;
        Ok(Reserved { message, deduplicated: false })
    }

    /// Returns the thread, and the sequence number of a new message. Fails if its id was used before.
    fn next_seq(
        &mut self,
        thread: &ThreadId,
        id: &MessageId,
        generation: Option<Generation>,
        after: Option<Seq>,
    ) -> Decided<(Option<ThreadRow>, Seq), S> {
        let state = self.living(thread)?;
        let (present, floor) =
            state.as_ref().map_or((Generation::FIRST, Seq::ZERO), |row| (row.generation, row.floor));
        let last = last_seq(state.as_ref(), thread)?;
        rules::expect_generation(generation, present)?;
        rules::expect_last(after, last)?;
        let refuse = |kind, detail: &'static str| Err(refusal(kind, detail).about(thread, id).into());
        match self.named(floor, thread, id)? {
            Named::Nothing => Ok((state, last.next())),
            Named::There(..) => refuse(ErrorKind::AlreadyExists, "the thread has a message with this id"),
            Named::Tombstone => {
                refuse(ErrorKind::Gone, "the thread had a message with this id, and it was deleted")
            }
        }
    }

    /// Stages a new message. The first message creates its thread.
    pub(super) fn insert(
        &mut self,
        state: Option<ThreadRow>,
        message: &Message,
        event: fn(ChangedMessage) -> ChangeKind,
    ) -> Decided<(), S> {
        let Message { thread, id, .. } = message;
        let mut state = state.unwrap_or_else(|| implied(message.created_at));
        state.last_seq = message.seq;
        state.add_live();
        let summary = summary_mut(&mut state, thread)?;
        if !message.state.is_open() {
            summary.count(message);
        }
        let row = MessageRow::new(message, self.next_change());
        self.emit(thread, event(row.changed(id)));
        let key = self.message_key(thread, id);
        self.rows.contents.put(key.clone(), message.content.clone());
        self.index_new(&key, &row);
        self.rows.messages.put(key, row);
        self.put_thread(thread, state);
        Ok(())
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
