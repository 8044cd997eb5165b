//! The end of a thread, of everything in it, or of the oldest of it.

use throughline_core::{
    Delete, Happened, PruneThread, Pruned, PurgeThread, Purged, Seq, TakeLastMessage, TakenMessage,
    ThreadDeleted, ThreadId, backend::rules,
};

use super::super::Scope;
use crate::rows::{Found, Range, ThreadRow};

impl Scope<'_> {
    /// Takes every message away. Their rows stay until the thread is purged, and their ids stay dead.
    pub(super) fn clear(&mut self, state: &mut ThreadRow, thread: &ThreadId) -> Found<Happened> {
        let facts = Self::facts(state, thread)?;
        let active_at = facts.tally.active_at;
        facts.tally.cleared();
        state.gone_at = state.gone_at.max(active_at);
        state.generation = state.generation.next();
        state.purgeable |= state.live > 0 || state.names > 0;
        state.live = 0;
        state.floor = state.last_seq;
        Ok(Happened::ThreadCleared { generation: state.generation, through: state.last_seq })
    }

    pub(super) fn delete_thread(&mut self, thread: &ThreadId) -> Found<ThreadDeleted> {
        let Some(mut state) = self.thread(thread)? else { return Err(rules::no_such_thread(thread).into()) };
        let already = state.deleted;
        if !already {
            state.purgeable |= state.live > 0 || state.names > 0;
            (state.deleted, state.live, state.floor, state.facts) = (true, 0, state.last_seq, None);
            self.put_thread(thread, state);
            self.relabel(thread);
            self.tell(thread, Happened::ThreadDeleted);
        }
        Ok(ThreadDeleted { thread: thread.clone(), already, deduplicated: false })
    }

    pub(super) fn purge(&mut self, purge: &PurgeThread) -> Found<Purged> {
        let thread = &purge.thread;
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
        let (key, limit) = (self.key(thread), purge.limit as usize);
        self.range(&key, Range::Purgeable, state.floor, u64::from(purge.limit) + 1)?;
        let mut gone = self.rows.messages_of(&key);
        gone.retain(|(_, seq, _)| *seq <= state.floor);
        purged.more = gone.len() > limit;
        gone.truncate(limit);
        for (id, _, row) in &gone {
            purged.attachments.extend(row.attachments.iter().cloned());
            self.erase(thread, id, row);
        }
        purged.messages = gone.len() as u64;
        if !purged.more {
            state.purgeable = false;
            self.rows.swept.push(key);
            self.put_thread(thread, state);
        }
        Ok(purged)
    }

    /// Deletes the last message, and answers it as it was.
    pub(super) fn take_last(&mut self, take: &TakeLastMessage) -> Found<TakenMessage> {
        let thread = take.thread.clone();
        let floor = self.existing(&thread)?.floor;
        let key = self.key(&thread);
        self.range(&key, Range::Latest, floor, 1)?;
        let mut rows = self.rows.messages_of(&key);
        let last = rows.pop().filter(|(_, seq, _)| *seq > floor);
        rules::expect_last_message(take.expected, last.as_ref().map(|(_, seq, _)| *seq))?;
        let Some((id, _, row)) = last else {
            return Ok(TakenMessage { thread, deleted: None, message: None, deduplicated: false });
        };
        let message = self.whole(&thread, &id, &row)?;
        let deleted = self.delete(&Delete::new(thread.clone(), id))?;
        Ok(TakenMessage { thread, deleted: Some(deleted), message: Some(message), deduplicated: false })
    }

    /// Takes the oldest messages away, up to a place and not beyond the first open one.
    pub(super) fn prune(&mut self, prune: &PruneThread) -> Found<Pruned> {
        let thread = &prune.thread;
        let mut state = self.existing(thread)?;
        rules::expect_generation(Some(prune.generation), state.generation)?;
        let (key, limit, floor) = (self.key(thread), prune.limit as usize, state.floor);
        self.range(&key, Range::Open, floor, 1)?;
        self.range(&key, Range::Oldest, floor, u64::from(prune.limit) + 1)?;
        let mut rows = self.rows.messages_of(&key);
        rows.retain(|(_, seq, _)| *seq > floor);
        let first_open = rows.iter().find(|(.., row)| row.state.is_open()).map(|(_, seq, _)| *seq);
        let within = |seq: Seq| seq <= prune.through && first_open.is_none_or(|open| seq < open);
        let mut gone: Vec<_> = rows.into_iter().take_while(|(_, seq, _)| within(*seq)).collect();
        let mut pruned = Pruned {
            thread: thread.clone(),
            messages: 0,
            bytes: 0,
            attachments: Vec::new(),
            more: gone.len() > limit,
            deduplicated: false,
        };
        gone.truncate(limit);
        let Some((_, through, _)) = gone.last() else { return Ok(pruned) };
        let through = *through;
        pruned.messages = gone.len() as u64;
        for (id, _, row) in &gone {
            pruned.bytes += row.length.bytes;
            pruned.attachments.extend(row.attachments.iter().cloned());
            self.erase(thread, id, row);
        }
        for (_, seq, row) in &gone {
            self.uncount(&mut state, thread, row, *seq)?;
        }
        Self::facts(&mut state, thread)?.changed(self.now);
        self.put_thread(thread, state);
        self.tell(thread, Happened::ThreadPruned { through });
        Ok(pruned)
    }
}
