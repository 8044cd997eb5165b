//! Change events, and the removal of messages.

use throughline_core::{MessageId, Seq, ThreadId, backend::Removed, changes::ChangeKind};

use super::{Decided, WriteScope, load::summary_mut};
use crate::{
    RowSource,
    rows::{ChangeEvent, LastChange, MessageRow, RangeKind, ThreadRow},
};

impl<S: RowSource> WriteScope<'_, S> {
    /// Emits a change event.
    pub(super) fn emit(&mut self, thread: &ThreadId, kind: ChangeKind) {
        let change = Some((thread.clone(), kind));
        self.rows.events.push(ChangeEvent { tenant: self.tenant.clone(), at: self.now, change });
    }

    /// The index of the change event that is emitted next, for the row that it changes.
    pub(super) const fn next_change(&self) -> LastChange {
        LastChange::Staged(self.rows.events.len())
    }

    /// Replaces a message with its tombstone, and removes its content.
    pub(super) fn put_tombstone(&mut self, thread: &ThreadId, id: &MessageId, row: &MessageRow) {
        let key = self.message_key(thread, id);
        if row.chunks > 0 {
            self.rows.chunks.delete_below(&key, row.chunks + 1);
        }
        let tombstone = row.tombstone(self.next_change());
        self.rows.contents.remove(key.clone());
        self.index_again(&key, &tombstone);
        self.rows.messages.put(key, tombstone);
    }

    /// Removes a deleted message from the counters of its thread. Its tombstone is already staged.
    pub(super) fn remove_from_counters(
        &mut self,
        state: &mut ThreadRow,
        thread: &ThreadId,
        removed: &MessageRow,
        seq: Seq,
    ) -> Decided<(), S> {
        state.remove_live();
        if !removed.state.is_open() {
            state.removed_at = state.removed_at.max(removed.updated_at);
        }
        if removed.is_question() {
            state.removed_question = state.removed_question.max(Some(seq));
        }
        let floor = state.floor;
        let counters = &mut summary_mut(state, thread)?.counters;
        let MessageRow { role, state: was, length, updated_at, .. } = removed;
        if counters.removed(seq, *role, *was, length.bytes, *updated_at) == Removed::PreviewIsDue {
            match self.latest_question(thread, RangeKind::Questions, floor)? {
                Some(question) => counters.show(&question),
                None => counters.show_none(),
            }
        }
        Ok(())
    }
}
