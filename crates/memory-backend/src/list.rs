//! Reads of threads as a whole.

use throughline_core::{
    Generation, Keep, ListPurgeable, ListThreads, MessageState, PlanPrune, Position, PrunePlan,
    PurgeableThreads, Seq, TenantId, ThreadCursor, ThreadEntry, ThreadId, ThreadList, backend::AnswerBytes,
};

use crate::{store::Threads, thread::ThreadLog};

pub(crate) fn entry(threads: &Threads, tenant: &TenantId, thread: &ThreadId) -> Option<ThreadEntry> {
    threads.get(thread)?.entry(tenant, thread)
}

pub(crate) fn list(
    threads: &Threads,
    tenant: &TenantId,
    list: &ListThreads,
    position: Position,
) -> ThreadList {
    let limit = list.limit as usize;
    let mut entries: Vec<ThreadEntry> = threads
        .iter()
        .filter_map(|(thread, log)| log.entry(tenant, thread))
        .filter(|entry| list.shows(entry))
        .filter(|entry| list.after.as_ref().is_none_or(|after| after.is_before(&ThreadCursor::of(entry))))
        .collect();
    entries.sort_by(|a, b| b.active_at.cmp(&a.active_at).then_with(|| a.thread.cmp(&b.thread)));
    let mut more = entries.len() > limit;
    entries.truncate(limit);
    // What an entry holds that may be large is shared, and not copied.
    more |= AnswerBytes::new(list.max_bytes).cut(&mut entries);
    let next = if more { entries.last().map(ThreadCursor::of) } else { None };
    ThreadList { entries, damaged: Vec::new(), next, position }
}

/// The threads of which something is left to be asked for.
pub(crate) fn purgeable(threads: &Threads, list: &ListPurgeable) -> PurgeableThreads {
    let left = threads.iter().filter(|(_, log)| !log.left.is_empty()).map(|(thread, _)| thread);
    let after = left.filter(|thread| list.after.as_ref().is_none_or(|after| *thread > after));
    PurgeableThreads { threads: after.take(list.limit as usize).cloned().collect() }
}

pub(crate) fn plan_prune(thread: Option<&ThreadLog>, plan: &PlanPrune) -> PrunePlan {
    let nothing = ThreadLog::default();
    let log = thread.unwrap_or(&nothing);
    let generation = log.living().map_or(Generation::FIRST, |facts| facts.generation);
    let first_open = log.open.first().copied().unwrap_or(Seq::new(u64::MAX));
    let through = beyond(log, &plan.keep).map(|through| {
        log.rows.range(..first_open).map(|(seq, _)| *seq).take_while(|seq| *seq <= through).last()
    });
    let through = through.flatten();
    let gone = log.rows.iter().take_while(|(seq, _)| through.is_some_and(|through| **seq <= through));
    let (mut messages, mut bytes) = (0, 0);
    for (_, row) in gone {
        messages += 1;
        bytes += row.message.content.byte_len() as u64;
    }
    PrunePlan { thread: plan.thread.clone(), generation, through, messages, bytes }
}

/// The last place that is beyond a limit.
fn beyond(log: &ThreadLog, keep: &Keep) -> Option<Seq> {
    let (mut count, mut bytes) = (0_u64, 0_u64);
    let too_many = log.rows.iter().rev().find(|(_, row)| {
        if row.message.state == MessageState::Final {
            count += 1;
        }
        bytes += row.message().content.byte_len() as u64;
        keep.messages.is_some_and(|most| count > most) || keep.bytes.is_some_and(|most| bytes > most)
    });
    let too_old = keep.since.and_then(|since| {
        log.rows.iter().take_while(|(_, row)| row.message.created_at < since).map(|(seq, _)| *seq).last()
    });
    too_many.map(|(seq, _)| *seq).max(too_old)
}
