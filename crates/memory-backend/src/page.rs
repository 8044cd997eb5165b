//! Reads of more than one message.

use std::ops::Bound;

use throughline_core::{
    ListOpen, Message, OpenCursor, OpenReservations, Page, PageFrom, Position, ReadPage, Seq, Timestamp,
    Visibility,
    backend::{AnswerBytes, EstimatedSize as _, rules},
};

use crate::{store::Threads, thread::ThreadLog};

pub(crate) fn page(thread: Option<&ThreadLog>, read: &ReadPage, position: Position) -> Page {
    let nothing = ThreadLog::default();
    let thread = thread.unwrap_or(&nothing);
    let first_open = thread.open.first().copied();
    let last_seq = thread.living().map_or(Seq::ZERO, |_| thread.last_seq);
    let (low, high) = match read.from {
        PageFrom::After(seq) => (Bound::Excluded(seq), Bound::Unbounded),
        PageFrom::Before(seq) => (Bound::Unbounded, Bound::Excluded(seq)),
        PageFrom::Start | PageFrom::End => (Bound::Unbounded, Bound::Unbounded),
    };
    let ends_at = first_open.filter(|_| read.visibility == Visibility::Settled);
    let shown = |seq: &Seq| {
        let before_the_end = ends_at.is_none_or(|end| *seq < end);
        before_the_end && rules::is_visible(read.visibility, thread.rows[seq].message.state)
    };
    let limit = read.limit as usize;
    // `BTreeMap::range` refuses a range that ends before it begins, and no single bound can make one.
    let in_order = thread.rows.range((low, high)).map(|(seq, _)| seq).filter(|seq| shown(seq));
    let mut seqs: Vec<&Seq> = if read.from.is_forward() {
        in_order.take(limit + 1).collect()
    } else {
        in_order.rev().take(limit + 1).collect()
    };
    let mut has_more = seqs.len() > limit;
    seqs.truncate(limit);
    let mut bytes = AnswerBytes::new(read.max_bytes);
    let mut messages: Vec<Message> = seqs
        .into_iter()
        .map(|seq| thread.rows[seq].message())
        .take_while(|message| bytes.take(message.estimated_size()))
        .collect();
    has_more |= bytes.is_full();
    if !read.from.is_forward() {
        messages.reverse();
    }
    Page {
        thread: read.thread.clone(),
        messages,
        damaged: Vec::new(),
        has_more,
        first_open,
        last_seq,
        position,
    }
}

pub(crate) fn open(threads: &Threads, list: &ListOpen, now: Timestamp) -> OpenReservations {
    let limit = list.limit as usize;
    let wanted = |message: &Message| !list.expired_only || rules::is_expired(message, now);
    let mut bytes = AnswerBytes::new(list.max_bytes);
    let mut messages: Vec<Message> = threads
        .iter()
        .filter(|(id, _)| list.thread.as_ref().is_none_or(|only| only == *id))
        .flat_map(|(_, thread)| thread.open.iter().map(|seq| &thread.rows[seq]))
        .filter(|row| list.after.as_ref().is_none_or(|after| cursor(&row.message) > *after))
        .filter(|row| wanted(&row.message))
        .take(limit + 1)
        .map(|row| row.message())
        .take_while(|message| bytes.take(message.estimated_size()))
        .collect();
    let has_more = messages.len() > limit || bytes.is_full();
    messages.truncate(limit);
    let next = if has_more { messages.last().map(cursor) } else { None };
    OpenReservations { messages, damaged: Vec::new(), next }
}

fn cursor(message: &Message) -> OpenCursor {
    OpenCursor { thread: message.thread.clone(), seq: message.seq }
}
