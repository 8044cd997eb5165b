//! The rebuild of a thread summary from its messages.

use throughline_core::{ThreadId, backend::ThreadStats};

use crate::{
    RowSource,
    decide::{Decided, WriteScope},
};

impl<S: RowSource> WriteScope<'_, S> {
    /// Counts the messages of a thread again. For a damaged summary, only the labels and the owner can be recovered.
    pub(super) fn rebuild(&mut self, thread: &ThreadId) -> Decided<(), S> {
        self.check_alive(thread)?;
        self.repair_order(thread)?;
        let mut state = self.existing(thread)?;
        let is_damaged = state.summary.is_none();
        let count_before = state.summary.as_ref().map(|summary| summary.counters.messages);
        let mut summary = match state.summary.take() {
            Some(summary) => summary,
            None => {
                let key = self.thread_key(thread);
                let source = &mut *self.source;
                let load = || source.recovered_labels(&key).map(Some);
                let recovered = self.rows.recovered_labels.get_or_load(&key, load)?;
                let (labels, owner) = recovered.cloned().unwrap_or_default();
                ThreadStats { labels, owner, ..ThreadStats::implied(state.removed_at) }
            }
        };
        let mut counted = self.count_messages(thread, &state, summary.created_at)?;
        let key = self.thread_key(thread);
        if count_before != Some(counted.counters.messages) && self.source.rebuild_order(&key)? {
            self.rows.message_ranges.retain(|(thread, ..), _| *thread != key);
            counted = self.count_messages(thread, &state, summary.created_at)?;
        }
        if is_damaged {
            // A sequence number without a message belonged to a removed message.
            summary.has_begun = counted.first.is_some() || state.last_seq.get() > counted.messages;
            summary.created_at =
                counted.first.map_or(summary.created_at, |first| first.min(summary.created_at));
            summary.changed(self.now);
            self.relabel(thread);
        }
        summary.counters = counted.counters;
        state.summary = Some(summary);
        self.put_thread(thread, state);
        Ok(())
    }
}
