//! Merges of answers from two stores.

use crate::{
    ErrorKind, PersistError, PersistResponse, PersistResult, Position, ReadArgs, ReadResult, Result,
    ThreadId,
    backend::{AnswerBytes, EstimatedSize as _},
    operation::{
        FindCursor, FindMessages, FoundMessages, ListOpen, ListPurgeable, ListThreads, OpenCursor,
        OpenReservations, PurgeableThreads, SearchHits, SearchMessages, ThreadList,
    },
    thread::ThreadCursor,
};

/// Merges the answers of two stores to the same read. Each answer has the first `limit` entries after the cursor, so that the
/// first `limit` of both together are complete.
pub(super) fn merge(
    mut here: PersistResponse,
    there: PersistResponse,
    read: &ReadArgs,
) -> Result<PersistResponse> {
    let (PersistResult::Read(merged), PersistResult::Read(there)) = (&mut here.result, there.result) else {
        return Err(misfit());
    };
    match (read, merged, there) {
        (
            ReadArgs::OpenReservations(list),
            ReadResult::OpenReservations(here),
            ReadResult::OpenReservations(there),
        ) => {
            open(here, there, list);
        }
        (ReadArgs::Threads(list), ReadResult::Threads(here), ReadResult::Threads(there)) => {
            threads(here, there, list);
        }
        (ReadArgs::Search(search), ReadResult::Search(here), ReadResult::Search(there)) => {
            found(here, there, search);
        }
        (ReadArgs::Find(find), ReadResult::Find(here), ReadResult::Find(there)) => matched(here, there, find),
        (ReadArgs::Purgeable(list), ReadResult::Purgeable(here), ReadResult::Purgeable(there)) => {
            purgeable(here, there, list);
        }
        (ReadArgs::Tenants(list), ReadResult::Tenants(here), ReadResult::Tenants(there)) => {
            here.tenants.extend(there.tenants);
            here.tenants.sort_unstable();
            here.tenants.dedup();
            cut(&mut here.tenants, list.limit);
        }
        _ => return Err(misfit()),
    }
    Ok(here)
}

fn misfit() -> PersistError {
    PersistError::new(ErrorKind::ContractViolation, "a list got an answer of another kind")
}

fn open(here: &mut OpenReservations, there: OpenReservations, list: &ListOpen) {
    here.messages.extend(there.messages);
    here.messages.sort_by(|a, b| (&a.thread, a.seq).cmp(&(&b.thread, b.seq)));
    here.damaged.extend(there.damaged);
    here.damaged.sort_unstable();
    // Each side reports damaged messages up to its own end, and a damaged message counts for the page like any other.
    let cursor = |thread: &ThreadId, seq| OpenCursor { thread: thread.clone(), seq };
    let sound = here.messages.iter().map(|message| cursor(&message.thread, message.seq));
    let damaged = here.damaged.iter().filter_map(|damaged| Some(cursor(&damaged.thread, damaged.seq?)));
    let mut content_fields: Vec<OpenCursor> = sound.chain(damaged).collect();
    content_fields.sort_unstable();
    let full = if cut(&mut content_fields, list.limit) { content_fields.pop() } else { None };
    let mut bytes = AnswerBytes::new(list.max_bytes);
    let fitting = here.messages.iter().take_while(|message| bytes.take(message.estimated_size())).last();
    let last = fitting.filter(|_| bytes.is_full()).map(|last| cursor(&last.thread, last.seq));
    let full = full.into_iter().chain(last).min();
    here.next = [here.next.take(), there.next, full].into_iter().flatten().min();
    if let Some(end) = &here.next {
        let is_shown = |thread: &ThreadId, seq| (thread, seq) <= (&end.thread, end.seq);
        here.messages.retain(|message| is_shown(&message.thread, message.seq));
        // A damaged message without a sequence number can be on two pages, and is omitted from none.
        here.damaged.retain(|damaged| damaged.seq.is_none_or(|seq| is_shown(&damaged.thread, seq)));
    }
}

fn threads(here: &mut ThreadList, there: ThreadList, list: &ListThreads) {
    // A damaged thread counts for the page of its side, which can therefore end before it is full.
    let end = [here.next.take(), there.next].into_iter().flatten().min_by(ThreadCursor::compare);
    here.threads.extend(there.threads);
    here.threads.sort_by(|a, b| {
        list.order.compare((list.order.time_of(a), &a.thread), (list.order.time_of(b), &b.thread))
    });
    if let Some(end) = &end {
        here.threads.retain(|entry| !end.is_before(entry));
    }
    let is_short = cut(&mut here.threads, list.limit);
    let cut = AnswerBytes::new(list.max_bytes).cut(&mut here.threads) || is_short;
    here.next = match here.threads.last() {
        Some(last) if cut => Some(ThreadCursor::of(list.order, last)),
        _ => end,
    };
    // Damaged threads have no known position: a repeated read from an earlier end reports them again.
    here.damaged.extend(there.damaged);
    // The positions of the two stores are unrelated.
    here.position = Position::ZERO;
}

fn found(here: &mut SearchHits, there: SearchHits, search: &SearchMessages) {
    // The ranks of the two stores cannot be compared: take hits from both in rotation.
    let mut merged = Vec::with_capacity(here.hits.len() + there.hits.len());
    let (mut ours, mut theirs) = (std::mem::take(&mut here.hits).into_iter(), there.hits.into_iter());
    loop {
        let pair = [ours.next(), theirs.next()];
        if pair.iter().all(Option::is_none) {
            break;
        }
        merged.extend(pair.into_iter().flatten());
    }
    cut(&mut merged, search.limit);
    here.hits = merged;
    here.damaged.extend(there.damaged);
    here.indexed = Position::ZERO;
    here.terminated_early |= there.terminated_early;
}

fn matched(here: &mut FoundMessages, there: FoundMessages, find: &FindMessages) {
    let earlier = |a: &FindCursor, b: &FindCursor| find.compare(a, b);
    // Each side can end before it has filled its page: what lies behind the earlier end is for the next page.
    let mut end = [here.next.take(), there.next].into_iter().flatten().min_by(earlier);
    here.messages.extend(there.messages);
    here.messages.sort_by(|a, b| earlier(&FindCursor::of(a), &FindCursor::of(b)));
    if let Some(end) = &end {
        here.messages.retain(|message| earlier(&FindCursor::of(message), end).is_le());
    }
    let is_short = cut(&mut here.messages, find.limit);
    if AnswerBytes::new(find.max_bytes).cut(&mut here.messages) || is_short {
        end = here.messages.last().map(FindCursor::of).or(end);
    }
    here.next = end;
    // Damaged messages have no known time of creation: a page that repeats a range reports them again.
    here.damaged.extend(there.damaged);
    here.damaged.sort_unstable();
}

pub(super) fn purgeable(here: &mut PurgeableThreads, there: PurgeableThreads, list: &ListPurgeable) {
    here.threads.extend(there.threads);
    here.threads.sort_unstable();
    here.threads.dedup();
    cut(&mut here.threads, list.limit);
}

/// Truncates the list to `limit` entries, and returns whether there were more.
fn cut<T>(list: &mut Vec<T>, limit: u32) -> bool {
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let cut = list.len() > limit;
    list.truncate(limit);
    cut
}
