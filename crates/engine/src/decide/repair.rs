//! The repair of one damaged message: its deletion, or its replacement by a copy.

use throughline_core::{
    Content, ErrorKind, Message, MessageId, MessageState, Metadata, PersistError, Role, Seq, ThreadId,
    Timestamp,
    backend::{ThreadCounters, rules},
    changes::{ChangeKind, ChangedMessage},
    messages::{Delete, Deleted, ImportRow, ImportedRow},
};

use super::{
    Decided, WriteScope,
    load::{Named, last_seq, summary_mut},
    refusal,
};
use crate::{
    Halt, RowSource,
    rows::{DamagedRow, MessageRow, RangeKind, ThreadRow},
};

/// The row of a thread under a message id, read with its content.
pub(super) enum Readable {
    Missing,
    Tombstone(MessageRow),
    Message(Message),
    /// The row is damaged.
    Damaged(DamagedRow),
}

/// A number above every chunk of a message.
pub(super) const ALL_CHUNKS: u64 = i64::MAX as u64;

impl<S: RowSource> WriteScope<'_, S> {
    /// Reads a message with its content. A damaged message is an error, unless it is being repaired.
    pub(super) fn readable(
        &mut self,
        thread: &ThreadId,
        id: &MessageId,
        is_repair: bool,
    ) -> Decided<Readable, S> {
        // An import reads many messages of one thread, so that its row is not cloned for each.
        let Some(floor) = self.floor(thread)? else { return Ok(Readable::Missing) };
        let read = match self.named(floor, thread, id) {
            Ok(Named::Nothing) if is_repair => return self.missing(thread, id),
            Ok(Named::Nothing) => return Ok(Readable::Missing),
            Ok(Named::Tombstone(row)) => return Ok(Readable::Tombstone(row)),
            Ok(Named::There(row, _)) => self.with_content(thread, id, &row),
            Err(halt) => Err(halt),
        };
        match read {
            Ok(message) => Ok(Readable::Message(message)),
            // An error without a message is damage of the thread, which is not repaired here.
            Err(Halt::Refused(error))
                if is_repair && error.kind() == ErrorKind::Corrupt && error.message() == Some(id) =>
            {
                let key = self.message_key(thread, id);
                let damaged = self.source.damaged_message(&key)?;
                let last = self.existing(thread)?.last_seq;
                // With another sequence number, the message would move or the thread would skip numbers.
                let is_given = |damaged: &DamagedRow| damaged.seq > floor && damaged.seq <= last;
                damaged.filter(is_given).map(Readable::Damaged).ok_or_else(|| error.into())
            }
            Err(halt) => Err(halt),
        }
    }

    /// Refuses a message that is missing only because its index is damaged.
    fn missing(&mut self, thread: &ThreadId, id: &MessageId) -> Decided<Readable, S> {
        let key = self.message_key(thread, id);
        if self.source.is_hidden(&key)? {
            let detail =
                "the index of the ids does not lead to the stored message: rebuild the indexes of the store";
            return Err(refusal(ErrorKind::Corrupt, detail).about(thread, id).into());
        }
        Ok(Readable::Missing)
    }

    /// Deletes a damaged message and leaves a tombstone.
    pub(super) fn delete_damaged(&mut self, delete: &Delete) -> Decided<Deleted, S> {
        let (thread, id) = (&delete.thread, &delete.id);
        let damaged = match self.readable(thread, id, true)? {
            Readable::Damaged(damaged) => damaged,
            Readable::Message(_) => {
                rules::expect_damaged(delete)?;
                return Err(PersistError::not_found(thread, id).into());
            }
            Readable::Missing | Readable::Tombstone(_) => {
                return Err(PersistError::not_found(thread, id).into());
            }
        };
        let mut state = self.existing(thread)?;
        if delete.after.is_some() {
            rules::expect_last(delete.after, last_seq(Some(&state), thread)?)
                .map_err(|error| error.about(thread, id))?;
        }
        let DamagedRow { seq, revision, .. } = damaged;
        let summary = summary_mut(&mut state, thread)?;
        summary.changed(self.now);
        let active_at = summary.counters.active_at;
        // The time and the role of the message are unknown: the thread keeps its own time, and no earlier user message becomes
        // the latest.
        state.removed_at = state.removed_at.max(active_at);
        state.removed_question = state.removed_question.max((seq > Seq::ZERO).then_some(seq));
        state.remove_live();
        self.put_thread(thread, state);
        let row = self.drop_damaged(thread, id, &damaged);
        let key = self.message_key(thread, id);
        self.rows.contents.remove(key.clone());
        let tombstone = row.tombstone(self.next_change());
        self.index_again(&key, &tombstone);
        self.rows.messages.put_over_stored(key, tombstone);
        self.recount(thread)?;
        self.emit(thread, ChangeKind::Deleted(ChangedMessage { id: id.clone(), seq, revision }));
        Ok(Deleted {
            thread: thread.clone(),
            id: id.clone(),
            seq,
            revision,
            state: damaged.state.unwrap_or(MessageState::Final),
            attachments: Vec::new(),
            deduplicated: false,
        })
    }

    /// Overwrites a damaged message with a copy. The caller must count the thread again.
    pub(super) fn restore(
        &mut self,
        thread: &ThreadId,
        copy: &ImportRow,
        damaged: &DamagedRow,
    ) -> ImportedRow {
        let message = copy.to_message(self.tenant, thread, damaged.seq);
        self.drop_damaged(thread, &copy.id, damaged);
        let mut row = MessageRow::new(&message, self.next_change());
        // The copy has the first revision, as every imported message. The cursors of the damaged content are of another replacement.
        row.replaced = damaged.replaced.max(damaged.revision).next();
        self.emit(thread, ChangeKind::Edited(row.changed(&copy.id)));
        let key = self.message_key(thread, &copy.id);
        self.rows.contents.put(key.clone(), message.content);
        self.index_again(&key, &row);
        self.rows.messages.put_over_stored(key, row);
        ImportedRow::Restored(message.seq)
    }

    /// Deletes the chunks of a damaged message, and returns a row with only its readable fields.
    fn drop_damaged(&mut self, thread: &ThreadId, id: &MessageId, damaged: &DamagedRow) -> MessageRow {
        let key = self.message_key(thread, id);
        self.rows.chunks.delete_below(&key, ALL_CHUNKS);
        let message = Message {
            tenant: self.tenant.clone(),
            thread: thread.clone(),
            id: id.clone(),
            seq: damaged.seq,
            role: Role::User,
            state: MessageState::Abandoned,
            revision: damaged.revision,
            content: Content::empty(),
            metadata: Metadata::new(),
            attachments: Vec::new(),
            abandon_reason: None,
            lease: None,
            created_at: self.now,
            updated_at: self.now,
        };
        let mut row = MessageRow::new(&message, self.next_change());
        row.replaced = damaged.replaced;
        row
    }

    /// Counts the readable settled messages of a thread again.
    pub(super) fn recount(&mut self, thread: &ThreadId) -> Decided<(), S> {
        let mut state = self.existing(thread)?;
        let created_at = summary_mut(&mut state, thread)?.created_at;
        let counters = self.count_messages(thread, &state, created_at)?.counters;
        summary_mut(&mut state, thread)?.counters = counters;
        self.put_thread(thread, state);
        Ok(())
    }

    /// Counts the settled messages of a thread with readable rows. A message with damaged content counts while its row is
    /// readable; its deletion subtracts it.
    pub(super) fn count_messages(
        &mut self,
        thread: &ThreadId,
        state: &ThreadRow,
        created_at: Timestamp,
    ) -> Decided<Counted, S> {
        let rows = self.range(thread, RangeKind::All, state.floor, u64::MAX)?;
        let settled = rows.iter().filter(|(.., row)| !row.state.is_open());
        let mut counters = ThreadCounters::new(created_at.max(state.removed_at));
        for (.., row) in settled.clone() {
            counters.counted(row.role, row.state, row.length.bytes, row.updated_at);
        }
        let first = settled.map(|(.., row)| row.created_at).next();
        let messages = rows.len() as u64;
        if let Some(question) = self.latest_question(thread, RangeKind::All, state.floor)? {
            counters.show(&question);
        }
        Ok(Counted { counters, first, messages })
    }
}

/// The counters of the messages of a thread.
pub(super) struct Counted {
    pub(super) counters: ThreadCounters,
    /// The time of the first settled message.
    pub(super) first: Option<Timestamp>,
    /// The number of messages, including open ones.
    pub(super) messages: u64,
}
