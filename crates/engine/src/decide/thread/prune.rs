//! The removal of the oldest messages of a thread.

use throughline_core::{Happened, PruneThread, Pruned, Seq, backend::rules};

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
    /// Removes the oldest messages, up to a sequence number and not beyond the first open one.
    pub(super) fn prune(&mut self, prune: &PruneThread) -> Decided<Pruned, S> {
        let thread = &prune.thread;
        let mut state = self.existing(thread)?;
        rules::expect_generation(Some(prune.generation), state.generation)?;
        summary_mut(&mut state, thread)?;
        last_seq(Some(&state), thread)?;
        let (limit, floor) = (u64::from(prune.limit), state.floor);
        let open = self.range(thread, RangeKind::Open, floor, 1)?;
        let first_open = open.iter().find(|(.., row)| row.state.is_open()).map(|(_, seq, _)| *seq);
        let within = |seq: Seq| seq <= prune.through && first_open.is_none_or(|open| seq < open);
        let mut removed = self.range(thread, RangeKind::Oldest, floor, limit + 1)?;
        let count = removed.iter().take_while(|(_, seq, _)| within(*seq)).count();
        let mut pruned = Pruned {
            thread: thread.clone(),
            messages: 0,
            bytes: 0,
            attachments: Vec::new(),
            more: count as u64 > limit,
            deduplicated: false,
        };
        removed.truncate(count.min(prune.limit as usize));
        pruned.more |= end_at_bytes(&mut removed);
        let Some((_, through, _)) = removed.last() else { return Ok(pruned) };
        let through = *through;
        pruned.messages = removed.len() as u64;
        for (id, _, row) in &removed {
            pruned.bytes += row.length.bytes;
            pruned.attachments.extend(row.attachments.iter().cloned());
            self.bury(thread, id, row);
        }
        for (_, seq, row) in &removed {
            self.uncount(&mut state, thread, row, *seq)?;
        }
        summary_mut(&mut state, thread)?.changed(self.now);
        self.put_thread(thread, state);
        self.emit(thread, Happened::ThreadPruned { through });
        Ok(pruned)
    }
}
