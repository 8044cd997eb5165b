//! The removal of the oldest messages of a thread.

use throughline_core::{
    Seq,
    backend::rules,
    changes::ChangeKind,
    threads::{PruneThread, Pruned},
};

use crate::{
    RowSource,
    decide::{
        Decided, WriteScope,
        load::{last_seq, summary_mut},
        thread::end_at_bytes,
    },
    rows::RangeKind,
};

impl<S: RowSource> WriteScope<'_, S> {
    /// Deletes the oldest messages, up to a sequence number and before the first open message.
    pub(super) fn prune(&mut self, prune: &PruneThread) -> Decided<Pruned, S> {
        let thread = &prune.thread;
        let mut state = self.existing(thread)?;
        rules::expect_generation(Some(prune.generation), state.generation)?;
        summary_mut(&mut state, thread)?;
        last_seq(Some(&state), thread)?;
        let (limit, floor) = (u64::from(prune.limit), state.floor);
        let open = self.range(thread, RangeKind::Open, floor, 1)?;
        let first_open = open.into_iter().find(|(.., row)| row.state.is_open()).map(|(_, seq, _)| seq);
        let within = |seq: Seq| seq <= prune.through && first_open.is_none_or(|open| seq < open);
        // The row after the limit shows whether there are more. The prune that deletes it reports its damage.
        let looks_ahead = match self.load_range(thread, RangeKind::Oldest, floor, limit + 1) {
            Err(halt) if halt.is_corrupt() => false,
            loaded => loaded.map(|()| true)?,
        };
        let count = if looks_ahead { limit + 1 } else { limit };
        let rows = self.range(thread, RangeKind::Oldest, floor, count)?;
        let rows: Vec<_> = rows.into_iter().take_while(|(_, seq, _)| within(*seq)).collect();
        let is_full =
            rows.len() as u64 == limit && rows.last().is_some_and(|(_, seq, _)| *seq < prune.through);
        let more = rows.len() as u64 > limit || (is_full && !looks_ahead);
        let removed = rows.into_iter().take(prune.limit as usize);
        let mut removed: Vec<_> = removed.map(|(id, seq, row)| (id.clone(), seq, row.clone())).collect();
        let more = end_at_bytes(&mut removed) || more;
        let mut pruned = Pruned {
            thread: thread.clone(),
            messages: 0,
            bytes: 0,
            attachments: Vec::new(),
            more,
            deduplicated: false,
        };
        let Some((_, through, _)) = removed.last() else { return Ok(pruned) };
        let through = *through;
        pruned.messages = removed.len() as u64;
        for (id, _, row) in &removed {
            pruned.bytes += row.length.bytes;
            pruned.attachments.extend(row.attachments.iter().cloned());
            self.put_tombstone(thread, id, row);
        }
        for (_, seq, row) in &removed {
            self.remove_from_counters(&mut state, thread, row, *seq)?;
        }
        summary_mut(&mut state, thread)?.changed(self.now);
        self.put_thread(thread, state);
        self.emit(thread, ChangeKind::ThreadPruned { through });
        Ok(pruned)
    }
}
