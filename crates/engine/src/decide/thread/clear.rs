//! The clear of a thread.

use throughline_core::{ThreadId, changes::ChangeKind};

use crate::{
    RowSource,
    decide::{
        Decided, WriteScope,
        load::{last_seq, summary_mut},
    },
    rows::ThreadRow,
};

impl<S: RowSource> WriteScope<'_, S> {
    /// Starts the next generation. The rows of the messages remain until the thread is purged.
    pub(super) fn clear(&mut self, state: &mut ThreadRow, thread: &ThreadId) -> Decided<ChangeKind, S> {
        let through = last_seq(Some(state), thread)?;
        let has_rows = self.has_messages(thread, state)? || state.aliases > 0;
        let summary = summary_mut(state, thread)?;
        let active_at = summary.counters.active_at;
        summary.counters.cleared();
        state.removed_at = state.removed_at.max(active_at);
        state.generation = state.generation.next();
        state.purgeable |= has_rows;
        state.live = state.live.map(|_| 0);
        state.floor = through;
        Ok(ChangeKind::ThreadCleared { generation: state.generation, through })
    }
}
