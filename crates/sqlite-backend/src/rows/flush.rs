use std::collections::HashMap;

use throughline_engine::{
    StagedRows,
    rows::{LastChange, ThreadKey},
};

use super::{
    Source, alias, consumer, content, event, idempotency, indexed, label, leftover, message, session, thread,
};
use crate::failure::Applied;

/// The positions of a flush among all changes of the store.
#[derive(Debug)]
pub(crate) struct Positions {
    /// The last position that was taken before.
    base: i64,
    /// The number of positions in a segment of the order.
    segment_positions: i64,
    /// Whether every added id was looked up. If so, an index that refuses one is damaged.
    pub(super) ids_are_known: bool,
    /// The sequence number up to which another store has removed messages, by thread.
    removed_elsewhere: HashMap<ThreadKey, i64>,
}

impl Positions {
    pub(crate) fn new(base: i64, segment_positions: i64) -> Self {
        Self { base, segment_positions, ids_are_known: false, removed_elsewhere: HashMap::new() }
    }

    /// Sets whether every added id was looked up.
    pub(crate) fn with_known_ids(mut self, are_known: bool) -> Self {
        self.ids_are_known = are_known;
        self
    }

    /// Sets the sequence number up to which another store has removed messages of a thread.
    pub(crate) fn raise_removed(&mut self, thread: ThreadKey, up_to: i64) {
        let known = self.removed_elsewhere.entry(thread).or_default();
        *known = (*known).max(up_to);
    }

    /// Returns the position of a change event.
    pub(super) fn event(&self, index: usize) -> i64 {
        self.base + 1 + i64::try_from(index).unwrap_or(i64::MAX - self.base - 1)
    }

    /// Returns the position of the last change of a row. For a row from another store it is the position of this one.
    pub(super) fn of(&self, change: LastChange) -> i64 {
        match change {
            LastChange::Staged(index) => self.event(index),
            LastChange::Stored(0) => self.base,
            LastChange::Stored(position) => i64::try_from(position).unwrap_or(i64::MAX),
        }
    }

    /// Returns the segment of a message that is added at a position.
    pub(super) const fn segment(&self, position: i64) -> i64 {
        position / self.segment_positions
    }
}

/// Writes all changes of a transaction.
pub(crate) fn flush(source: &mut Source<'_>, staged: &StagedRows, at: &Positions) -> Applied<()> {
    // Parents are written before the rows that refer to them.
    thread::begin(source, staged)?;
    let mut removed = message::erase(source, staged, at)?;
    message::free_seqs(source, staged)?;
    message::insert(source, staged, at, &mut removed)?;
    content::insert_chunks(source, staged)?;
    message::update(source, staged, at)?;
    indexed::write(source, staged)?;
    removed.forget_segments(source)?;
    let elsewhere = |key: &ThreadKey| at.removed_elsewhere.get(key).copied().unwrap_or_default();
    thread::write(source, staged, |key| removed.up_to(key).max(elsewhere(key)))?;
    label::write(source, staged)?;
    idempotency::write(source, staged)?;
    alias::write(source, staged)?;
    session::write(source, staged)?;
    consumer::write(source, staged)?;
    event::write(source, staged, at)?;
    // Last, so that no row of a deleted thread stays.
    leftover::delete(source, staged)
}
