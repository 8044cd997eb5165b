//! Reads of more than one message.

use std::ops::Bound;

use throughline_core::{
    ListOpen, Message, MessageId, OpenCursor, OpenReservations, Page, PageFrom, Position, ReadPage, Seq,
    TenantId, ThreadId, Timestamp, Visibility,
    backend::{AnswerBytes, EstimatedSize as _, rules},
};

use crate::{
    store::Threads,
    thread::{Stored, Thread},
};

pub(crate) fn page(tenant: &TenantId, thread: Option<&Thread>, read: &ReadPage, position: Position) -> Page {
    let first_open = thread.and_then(|thread| thread.open().next()).map(|(seq, ..)| seq);
    let mut page = Page {
        thread: read.thread.clone(),
        messages: Vec::new(),
        damaged: Vec::new(),
        has_more: false,
        first_open,
        last_seq: Seq::ZERO,
        position,
    };
    let Some(thread) = thread.filter(|thread| !thread.row.deleted) else { return page };
    page.last_seq = thread.row.last_seq;
    let (low, high) = match read.from {
        PageFrom::After(seq) => (Bound::Excluded(seq), Bound::Unbounded),
        PageFrom::Before(seq) => (Bound::Unbounded, Bound::Excluded(seq)),
        PageFrom::Start | PageFrom::End => (Bound::Unbounded, Bound::Unbounded),
    };
    let ends_at = first_open.filter(|_| read.visibility == Visibility::Settled);
    let shown = |(seq, _, stored): &(Seq, &MessageId, &Stored)| {
        let is_before_the_end = ends_at.is_none_or(|end| *seq < end);
        is_before_the_end && rules::is_visible(read.visibility, stored.row.state)
    };
    let limit = read.limit as usize;
    let in_order = thread.visible_in(low, high).filter(shown);
    let mut found: Vec<_> = if read.from.is_forward() {
        in_order.take(limit + 1).collect()
    } else {
        in_order.rev().take(limit + 1).collect()
    };
    page.has_more = found.len() > limit;
    found.truncate(limit);
    let mut bytes = AnswerBytes::new(read.max_bytes);
    page.messages = found
        .into_iter()
        .map(|(_, id, stored)| stored.message(tenant, &read.thread, id))
        .take_while(|message| bytes.take(message.estimated_size()))
        .collect();
    page.has_more |= bytes.is_full();
    if !read.from.is_forward() {
        page.messages.reverse();
    }
    page
}

pub(crate) fn open(
    tenant: &TenantId,
    threads: &Threads,
    list: &ListOpen,
    now: Timestamp,
) -> OpenReservations {
    let limit = list.limit as usize;
    let cursor = |thread: &ThreadId, seq: Seq| OpenCursor { thread: thread.clone(), seq };
    let mut bytes = AnswerBytes::new(list.max_bytes);
    let mut messages: Vec<Message> = threads
        .iter()
        .filter(|(id, _)| list.thread.as_ref().is_none_or(|only| only == *id))
        .flat_map(|(id, thread)| thread.open().map(move |(seq, message, stored)| (id, seq, message, stored)))
        .filter(|(thread, seq, ..)| list.after.as_ref().is_none_or(|after| cursor(thread, *seq) > *after))
        .filter(|(.., stored)| {
            !list.expired_only || stored.row.lease.is_none_or(|lease| lease.is_expired(now))
        })
        .take(limit + 1)
        .map(|(thread, _, id, stored)| stored.message(tenant, thread, id))
        .take_while(|message| bytes.take(message.estimated_size()))
        .collect();
    let has_more = messages.len() > limit || bytes.is_full();
    messages.truncate(limit);
    let last = messages.last().filter(|_| has_more);
    let next = last.map(|message| cursor(&message.thread, message.seq));
    OpenReservations { messages, damaged: Vec::new(), next }
}
