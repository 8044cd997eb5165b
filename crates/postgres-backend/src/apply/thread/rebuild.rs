//! An entry made of the messages.

use throughline_core::{
    ThreadId,
    backend::{Tally, ThreadFacts},
};

use super::super::Scope;
use crate::rows::{Found, Range, ThreadRow};

/// More messages than a thread has.
const ALL: u64 = 1 << 40;

impl Scope<'_> {
    /// Counts a thread anew. Where its entry cannot be read, what the host said of it is lost.
    pub(super) fn rebuild(&mut self, thread: &ThreadId, mut state: ThreadRow) -> Found<()> {
        let key = self.key(thread);
        self.range(&key, Range::Oldest, state.floor, ALL)?;
        let mut rows = self.rows.messages_of(&key);
        rows.retain(|(_, seq, row)| *seq > state.floor && !row.state.is_open());
        for (id, ..) in &rows {
            let key = self.message_key(thread, id);
            self.rows.contents.want(&key);
        }
        let is_damaged = state.facts.is_none();
        let mut facts = state.facts.take().unwrap_or_else(|| ThreadFacts::implied(state.gone_at));
        if is_damaged {
            facts.has_begun = state.last_seq.get() > 0;
            if let Some((.., first)) = rows.first() {
                facts.created_at = facts.created_at.min(first.created_at);
            }
            facts.changed(self.now);
            self.relabel(thread);
        }
        let mut tally = Tally::new(facts.created_at.max(state.gone_at));
        for (id, _, row) in &rows {
            tally.settled(&self.whole(thread, id, row)?);
        }
        facts.tally = tally;
        state.facts = Some(facts);
        self.put_thread(thread, state);
        Ok(())
    }
}
