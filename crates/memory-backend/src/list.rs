//! Reads of threads as a whole.

use throughline_core::{
    Generation, Keep, ListPurgeable, ListThreads, MessageState, PlanPrune, Position, PrunePlan,
    PurgeableThreads, Seq, TenantId, ThreadCursor, ThreadEntry, ThreadList, backend::AnswerBytes,
};

use crate::{store::Threads, thread::Thread};

pub(crate) fn list(
    threads: &Threads,
    tenant: &TenantId,
    list: &ListThreads,
    position: Position,
) -> ThreadList {
    let limit = list.limit as usize;
    let mut entries: Vec<ThreadEntry> = threads
        .iter()
        .filter_map(|(id, thread)| thread.entry(tenant, id))
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

/// The threads that a purge has rows to remove of.
pub(crate) fn purgeable(threads: &Threads, list: &ListPurgeable) -> PurgeableThreads {
    let purgeable = threads.iter().filter(|(_, thread)| thread.row.purgeable).map(|(id, _)| id);
    let after = purgeable.filter(|id| list.after.as_ref().is_none_or(|after| *id > after));
    PurgeableThreads { threads: after.take(list.limit as usize).cloned().collect() }
}

pub(crate) fn plan_prune(thread: Option<&Thread>, plan: &PlanPrune) -> PrunePlan {
    let mut answer = PrunePlan {
        thread: plan.thread.clone(),
        generation: Generation::FIRST,
        through: None,
        messages: 0,
        bytes: 0,
    };
    let Some(thread) = thread.filter(|thread| !thread.row.deleted) else { return answer };
    answer.generation = thread.row.generation;
    let Some(beyond) = beyond(thread, &plan.keep) else { return answer };
    let first_open = thread.open().next().map(|(seq, ..)| seq);
    let is_beyond = |seq: Seq| seq <= beyond && first_open.is_none_or(|open| seq < open);
    for (seq, _, stored) in thread.visible().take_while(|(seq, ..)| is_beyond(*seq)) {
        answer.through = Some(seq);
        answer.messages += 1;
        answer.bytes += stored.row.length.bytes;
    }
    answer
}

/// The last sequence number that is beyond a limit.
fn beyond(thread: &Thread, keep: &Keep) -> Option<Seq> {
    let (mut count, mut bytes) = (0_u64, 0_u64);
    let too_many = thread.visible().rev().find(|(.., stored)| {
        if stored.row.state == MessageState::Final {
            count += 1;
        }
        bytes += stored.row.length.bytes;
        keep.messages.is_some_and(|most| count > most) || keep.bytes.is_some_and(|most| bytes > most)
    });
    let too_old = keep.since.and_then(|since| {
        let older = thread.visible().take_while(|(.., stored)| stored.row.created_at < since);
        older.map(|(seq, ..)| seq).last()
    });
    too_many.map(|(seq, ..)| seq).max(too_old)
}
