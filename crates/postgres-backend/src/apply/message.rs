//! Messages, and what their threads count of them.

use throughline_core::{
    ChangedMessage, Content, ErrorKind, Message, MessageId, MessageState, PersistError, Role, Seq, ThreadId,
    Timestamp,
    backend::{Removed, ThreadFacts},
};

use super::{Scope, refusal};
use crate::rows::{Found, Halt, MessageRow, Range, RangeKey, ThreadKey, ThreadRow};

/// What a thread has under an id.
pub(super) enum Named {
    Nothing,
    /// A message that was deleted, alone or with all others.
    Dead,
    There(MessageRow, Seq),
}

impl Scope<'_> {
    /// What the thread has under this id. A message that went with all others is as dead as one that was deleted.
    pub(super) fn named(&mut self, floor: Seq, thread: &ThreadId, id: &MessageId) -> Found<Named> {
        let key = self.message_key(thread, id);
        Ok(match self.rows.messages.get(&key)? {
            None => Named::Nothing,
            Some(row) => match row.seq {
                Some(seq) if seq > floor => Named::There(row.clone(), seq),
                _ => Named::Dead,
            },
        })
    }

    /// The thread and the message, for a write to the message.
    pub(super) fn message(&mut self, thread: &ThreadId, id: &MessageId) -> Found<(ThreadRow, MessageRow)> {
        let missing = || Halt::from(PersistError::not_found(thread, id));
        let state = self.living(thread)?.ok_or_else(missing)?;
        match self.named(state.floor, thread, id)? {
            Named::There(row, _) => Ok((state, row)),
            Named::Nothing | Named::Dead => Err(missing()),
        }
    }

    /// What a message says, whole.
    pub(super) fn content(&mut self, thread: &ThreadId, id: &MessageId, row: &MessageRow) -> Found<Content> {
        let key = self.message_key(thread, id);
        let damaged = || {
            let detail = "the stored content of the message is damaged";
            Halt::from(refusal(ErrorKind::Corrupt, detail).about(thread, id))
        };
        let content = self.rows.contents.get(&key)?.cloned().ok_or_else(damaged)?;
        if row.state.is_open() { self.rows.grown(&key, content).ok_or_else(damaged) } else { Ok(content) }
    }

    /// The message as it stands.
    pub(super) fn whole(&mut self, thread: &ThreadId, id: &MessageId, row: &MessageRow) -> Found<Message> {
        let content = self.content(thread, id, row)?;
        Ok(row.message(self.tenant, thread, id, content))
    }

    /// What lists show of a thread, to be changed.
    ///
    /// # Errors
    /// `Corrupt` where it cannot be read.
    pub(super) fn facts<'r>(row: &'r mut ThreadRow, thread: &ThreadId) -> Found<&'r mut ThreadFacts> {
        row.facts.as_mut().ok_or_else(|| {
            let detail = format!("what lists show of the thread `{thread}` is damaged");
            refusal(ErrorKind::Corrupt, detail).into()
        })
    }

    /// Takes a message that goes out of the counts of its thread. Its row says that it is gone already.
    pub(super) fn uncount(
        &mut self,
        state: &mut ThreadRow,
        thread: &ThreadId,
        gone: &MessageRow,
        seq: Seq,
    ) -> Found<()> {
        state.live = state.live.saturating_sub(1);
        if !gone.state.is_open() {
            state.gone_at = state.gone_at.max(gone.updated_at);
        }
        if is_question(gone) {
            state.gone_question = state.gone_question.max(Some(seq));
        }
        let floor = state.floor;
        let facts = Self::facts(state, thread)?;
        let removed = facts.tally.removed(seq, gone.role, gone.state, gone.length.bytes, gone.updated_at);
        if removed == Removed::PreviewIsDue {
            match self.latest_question(floor, thread)? {
                Some(message) => facts.tally.show(&message),
                None => facts.tally.show_none(),
            }
        }
        Ok(())
    }

    fn latest_question(&mut self, floor: Seq, thread: &ThreadId) -> Found<Option<Message>> {
        let key = self.key(thread);
        self.range(&key, Range::Questions, floor, 1)?;
        let mut found = self.rows.messages_of(&key);
        found.retain(|(_, seq, row)| *seq > floor && is_question(row));
        match found.pop() {
            Some((id, _, row)) => self.whole(thread, &id, &row).map(Some),
            None => Ok(None),
        }
    }

    /// Makes sure that so many messages of a range are known.
    pub(super) fn range(&mut self, thread: &ThreadKey, range: Range, floor: Seq, count: u64) -> Found<()> {
        let limit = count + self.rows.changed_in(thread);
        self.rows.ranges.get(&RangeKey { thread: thread.clone(), range, floor, limit }).map(drop)
    }

    /// Takes a message away. Its id stays dead.
    pub(super) fn erase(&mut self, thread: &ThreadId, id: &MessageId, row: &MessageRow) {
        let key = self.message_key(thread, id);
        if row.pieces > 0 {
            self.rows.spent.push((key.clone(), row.pieces + 1));
        }
        self.rows.messages.put(key, row.dead());
    }
}

pub(super) fn is_question(row: &MessageRow) -> bool {
    (row.role, row.state) == (Role::User, MessageState::Final)
}

/// What a change says of the message that it is about.
pub(super) fn changed(id: &MessageId, row: &MessageRow) -> ChangedMessage {
    ChangedMessage { id: id.clone(), seq: row.seq.unwrap_or(Seq::ZERO), revision: row.revision }
}

/// When a thread began that begins with this message.
pub(super) fn implied(created_at: Timestamp) -> ThreadRow {
    ThreadRow::new(ThreadFacts::implied(created_at))
}
