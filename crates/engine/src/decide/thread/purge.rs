//! The purge of a cleared or deleted thread, step by step.

use throughline_core::{
    backend::rules,
    threads::{PurgeThread, Purged},
};

use crate::{
    RowSource,
    decide::{Decided, WriteScope, thread::end_at_bytes},
    rows::{LeftoverPurge, LeftoverQuery, RangeKind},
};

impl<S: RowSource> WriteScope<'_, S> {
    pub(super) fn purge(&mut self, purge: &PurgeThread) -> Decided<Purged, S> {
        let thread = &purge.thread;
        self.repair_order(thread)?;
        let Some(mut state) = self.thread(thread)? else { return Err(rules::no_such_thread(thread).into()) };
        let mut purged = Purged {
            thread: thread.clone(),
            messages: 0,
            attachments: Vec::new(),
            more: false,
            deduplicated: false,
        };
        if !state.purgeable {
            return Ok(purged);
        }
        let limit = u64::from(purge.limit);
        let rows = self.range(thread, RangeKind::Purgeable, state.floor, limit + 1)?;
        purged.more = rows.len() as u64 > limit;
        let removed = rows.into_iter().take(purge.limit as usize);
        let mut removed: Vec<_> = removed.map(|(id, seq, row)| (id.clone(), seq, row.clone())).collect();
        purged.more |= end_at_bytes(&mut removed);
        for (id, _, row) in &removed {
            purged.attachments.extend(row.attachments.iter().cloned());
            self.put_tombstone(thread, id, row);
        }
        purged.messages = removed.len() as u64;
        if !purged.more {
            // The aliases and sessions are removed last.
            let key = self.thread_key(thread);
            let below = (!state.deleted).then_some(state.generation);
            let query = LeftoverQuery { thread: key.clone(), below, limit: limit + 1 };
            purged.more = self.leftovers(&query)? > limit;
            self.rows.leftover_purges.push(LeftoverPurge { thread: key, limit });
            if !purged.more {
                state.purgeable = false;
            }
            // The removal of the leftovers reads the staged row.
            self.put_thread(thread, state);
        }
        Ok(purged)
    }
}
