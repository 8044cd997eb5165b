//! Reads of the messages of a thread, and of the open messages of all threads.

use std::ops::Bound;

use throughline_core::{
    Position, TenantId, Timestamp,
    messages::{ListOpen, OpenCursor, OpenReservations, Page, PageFrom, ReadPage},
};
use throughline_engine::read;

use crate::{store::Threads, thread::Thread};

pub(crate) fn page(tenant: &TenantId, thread: Option<&Thread>, read: &ReadPage, position: Position) -> Page {
    let (low, high) = match read.from {
        PageFrom::After(seq) => (Bound::Excluded(seq), Bound::Unbounded),
        PageFrom::Before(seq) => (Bound::Unbounded, Bound::Excluded(seq)),
        PageFrom::Start | PageFrom::End => (Bound::Unbounded, Bound::Unbounded),
    };
    let first_open = thread.and_then(|thread| thread.open().next()).map(|(seq, ..)| seq);
    let visible = thread.into_iter().flat_map(|thread| thread.visible_in(low, high));
    let rows = visible.map(|(seq, id, stored)| (seq, stored.row.state, (id, stored)));
    let whole = |(id, stored): (_, &crate::thread::Stored)| Ok(stored.message(tenant, &read.thread, id));
    let row = thread.map(|thread| &thread.row);
    if read.from.is_forward() {
        read::page(read, row, first_open, position, rows, whole)
    } else {
        read::page(read, row, first_open, position, rows.rev(), whole)
    }
}

pub(crate) fn open(
    tenant: &TenantId,
    threads: &Threads,
    list: &ListOpen,
    now: Timestamp,
) -> OpenReservations {
    let rows = threads
        .iter()
        .filter(|(id, _)| list.thread.as_ref().is_none_or(|only| only == *id))
        .flat_map(|(id, thread)| thread.open().map(move |(seq, message, stored)| (id, seq, message, stored)))
        .filter(|(id, seq, ..)| {
            let at = || OpenCursor { thread: (*id).clone(), seq: *seq };
            list.after.as_ref().is_none_or(|after| at() > *after)
        })
        .map(|(thread, _, id, stored)| (stored.row.lease, (thread, id, stored)));
    read::open_messages(list, now, rows, |(thread, id, stored)| Ok(stored.message(tenant, thread, id)))
}
