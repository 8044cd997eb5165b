//! The rows of the engine in their tables: loaded in few round trips for all writes of a transaction, and written in one statement.
//!
//! A write is decided as if every row were in memory. Where it looks up a row that was not loaded yet, the source records the key and
//! [stops](NotLoaded) the write. The engine undoes the write, the writer loads every recorded row, and the engine decides the write again.
//! So the rows to load follow from the decisions alone.

mod alias;
mod apart;
mod cache;
mod chunk;
mod consumer;
mod idempotency;
mod indexed;
mod message;
mod range;
mod session;
mod source;
mod thread;
mod thread_cache;
mod writing;

use throughline_engine::StagedRows;

use crate::metadata_index::MetadataNames;

pub(crate) use self::{
    alias::{alias_columns, alias_of},
    apart::Loading,
    chunk::push_stored,
    message::{SELECTED, decode_message, message_columns},
    session::{decode, json, whose},
    source::{MintedIds, NotLoaded, Source},
    thread::{decode_thread, thread_columns},
    thread_cache::ThreadCache,
    writing::Writing,
};

/// Returns the parts of a statement that write all staged rows except the change events.
pub(crate) fn writing(staged: &StagedRows, names: &MetadataNames) -> Writing {
    let mut writing = Writing::default();
    thread::write(staged, &mut writing);
    message::write(staged, &mut writing);
    indexed::write(staged, names, &mut writing);
    chunk::write(staged, &mut writing);
    idempotency::write(staged, &mut writing);
    alias::write(staged, &mut writing);
    session::write(staged, &mut writing);
    consumer::write(staged, &mut writing);
    writing
}

/// Returns the parts of a statement that adds messages to threads, if these are still as the cache has them and the advisory locks with
/// these numbers are free. The idempotency keys must be new. `None` if the rows have other changes.
pub(crate) fn writing_to_unchanged_threads(
    staged: &StagedRows,
    names: &MetadataNames,
    cache: &ThreadCache,
    locks: Vec<i64>,
) -> Option<Writing> {
    let mut writing = Writing::default();
    thread::write_unchanged(staged, cache, locks, &mut writing)?;
    if staged.messages.updated().next().is_some() {
        return None;
    }
    message::write(staged, &mut writing);
    indexed::write(staged, names, &mut writing);
    idempotency::write_new(staged, &mut writing);
    Some(writing)
}

/// Converts a counter to a column value.
pub(crate) fn number(counter: u64) -> i64 {
    i64::try_from(counter).unwrap_or(i64::MAX)
}

/// Converts a column value to a counter; `None` if it is negative.
pub(crate) fn counter(column: i64) -> Option<u64> {
    u64::try_from(column).ok()
}
