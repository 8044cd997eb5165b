//! The deletion of a thread.

use throughline_core::{ThreadId, backend::rules, changes::ChangeKind, threads::ThreadDeleted};

use crate::{
    RowSource,
    decide::{Decided, WriteScope},
    rows::{LeftoverQuery, ThreadRow},
};

impl<S: RowSource> WriteScope<'_, S> {
    /// Deletes a thread, even with a damaged summary. Its rows remain until it is purged.
    pub(super) fn delete_thread(&mut self, thread: &ThreadId) -> Decided<ThreadDeleted, S> {
        self.repair_order(thread)?;
        let Some(mut state) = self.thread(thread)? else { return Err(rules::no_such_thread(thread).into()) };
        let already = state.deleted;
        if !already {
            state.purgeable |= self.has_rows(thread, &state)?;
            state.live = state.live.map(|_| 0);
            (state.deleted, state.floor, state.summary) = (true, state.last_seq, None);
            self.put_thread(thread, state);
            self.relabel(thread);
            self.emit(thread, ChangeKind::ThreadDeleted);
        }
        Ok(ThreadDeleted { thread: thread.clone(), already, deduplicated: false })
    }

    /// Whether a purge has rows to remove after the deletion of the thread.
    fn has_rows(&mut self, thread: &ThreadId, state: &ThreadRow) -> Decided<bool, S> {
        if state.purgeable || state.aliases > 0 || self.has_messages(thread, state)? {
            return Ok(true);
        }
        let key = self.thread_key(thread);
        if self.rows.session_heads.changed().any(|(head, _)| head.thread == key) {
            return Ok(true);
        }
        let query = LeftoverQuery { thread: key, below: None, limit: 1 };
        Ok(self.leftovers(&query)? > 0)
    }

    /// Returns the number of leftover rows in the store.
    pub(super) fn leftovers(&mut self, query: &LeftoverQuery) -> Decided<u64, S> {
        let source = &mut *self.source;
        let count = self.rows.leftovers.get_or_load(query, || source.leftovers(query).map(Some))?;
        Ok(count.copied().unwrap_or_default())
    }

    /// Repairs the order of the messages of a thread. Loaded rows of the thread can be out of date afterwards.
    pub(super) fn repair_order(&mut self, thread: &ThreadId) -> Decided<(), S> {
        let key = self.thread_key(thread);
        if self.source.repair_order(&key)? {
            self.rows.threads.forget_loaded(&key);
            self.rows.message_ranges.retain(|(thread, ..), _| *thread != key);
        }
        Ok(())
    }
}
