//! The rows of the engine in their tables: loaded in few round trips for all writes of a transaction, and written in one statement.
//!
//! A write is decided as if every row were in memory. Where it looks for one that was not loaded yet it is
//! [stopped](NotLoaded) and undone, the key is noted, and it is decided again once everything that was noted has been loaded. So
//! what is loaded follows from what is decided, and stands in no second list.

mod alias;
mod cache;
mod chunk;
mod consumer;
mod idempotency;
mod message;
mod range;
mod session;
mod source;
mod thread;
mod writing;

use throughline_engine::StagedRows;

pub(crate) use self::{
    alias::{alias_columns, alias_of},
    chunk::push_stored,
    message::{SELECTED, decode_message, message_columns},
    session::{decode, json, whose},
    source::{MintedIds, NotLoaded, Source},
    thread::{decode_thread, thread_columns},
    writing::Writing,
};

/// The parts of a statement that write everything that is staged but the change events.
pub(crate) fn writing(staged: &StagedRows) -> Writing {
    let mut writing = Writing::default();
    thread::write(staged, &mut writing);
    message::write(staged, &mut writing);
    chunk::write(staged, &mut writing);
    idempotency::write(staged, &mut writing);
    alias::write(staged, &mut writing);
    session::write(staged, &mut writing);
    consumer::write(staged, &mut writing);
    writing
}

/// A counter as a column holds it.
pub(crate) fn number(counter: u64) -> i64 {
    i64::try_from(counter).unwrap_or(i64::MAX)
}

/// A counter from a column; nothing where it is none.
pub(crate) fn counter(column: i64) -> Option<u64> {
    u64::try_from(column).ok()
}
