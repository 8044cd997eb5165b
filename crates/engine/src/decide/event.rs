//! Change events, and the removal of messages.

use throughline_core::{Happened, MessageId, Seq, ThreadId, backend::Removed};

use super::{Decided, WriteScope, load::summary_mut};
use crate::{
    RowSource,
    rows::{ChangeEvent, LastChange, MessageRow, RangeKind, ThreadRow},
};

impl<S: RowSource> WriteScope<'_, S> {
    /// Emits a change event.
    pub(super) fn emit(&mut self, thread: &ThreadId, what: Happened) {
        let change = Some((thread.clone(), what));
        self.rows.events.push(ChangeEvent { tenant: self.tenant.clone(), at: self.now, change });
    }

    /// What a row says that is changed by the event that is emitted next.
    pub(super) const fn next_change(&self) -> LastChange {
        LastChange::Staged(self.rows.events.len())
    }

    /// Removes a message, and leaves a tombstone.
    pub(super) fn bury(&mut self, thread: &ThreadId, id: &MessageId, row: &MessageRow) {
        let key = self.message_key(thread, id);
        if row.chunks > 0 {
            self.rows.chunks.delete_below(&key, row.chunks + 1);
        }
        let tombstone = row.tombstone(self.next_change());
        self.rows.messages.put(key, tombstone);
    }

    /// Takes a removed message out of the counters of its thread. Its tombstone is staged already.
    pub(super) fn uncount(
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
        let tally = &mut summary_mut(state, thread)?.tally;
        let MessageRow { role, state: was, length, updated_at, .. } = removed;
        if tally.removed(seq, *role, *was, length.bytes, *updated_at) == Removed::PreviewIsDue {
            let mut questions = self.range(thread, RangeKind::Questions, floor, 1)?;
            questions.retain(|(.., row)| row.is_question());
            match questions.pop() {
                Some((id, _, row)) => {
                    let message = self.whole(thread, &id, &row)?;
                    tally.show(&message);
                }
                None => tally.show_none(),
            }
        }
        Ok(())
    }
}
