//! The rows of the store for the write engine: loaded when a decision needs them, and written in the flush of the
//! transaction.
//!
//! Each file handles one table: it finds, reads and writes its rows. [`Staging`] decides the writes of a transaction
//! and flushes their changes.

mod alias;
mod consumer;
mod content;
mod event;
mod flush;
mod hidden;
mod idempotency;
mod indexed;
mod label;
mod leftover;
mod message;
mod order;
mod range;
mod session;
mod source;
mod staging;
mod thread;
mod thread_cache;

#[cfg(test)]
pub(crate) use self::{
    alias::{BY_EVENT, BY_ITEM, BY_TURN, OF_MESSAGE},
    content::DELETE_CHUNKS,
    leftover::FORGET_ALIASES,
    message::FIND,
    range::{LATEST, OLDEST, OPEN, PURGEABLE, QUESTIONS},
    thread::FIND_THREAD,
};
pub(crate) use self::{
    consumer::damaged as damaged_consumer,
    content::CHUNKS,
    flush::{Positions, flush},
    idempotency::checksum as key_checksum,
    session::damaged_rows as damaged_sessions,
    source::Source,
    staging::Staging,
    thread_cache::ThreadCache,
};
use throughline_core::{Effect, ErrorKind, PersistError};

/// Returns a `Corrupt` error with the effect `NotApplied`.
fn corrupt(detail: String) -> PersistError {
    PersistError::new(ErrorKind::Corrupt, detail).with_effect(Effect::NotApplied)
}
