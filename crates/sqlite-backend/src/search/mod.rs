//! The full-text index.
//!
//! It follows the changes, in transactions of its own on the connection of the writer, a little at a time while nobody
//! writes, and now and then while somebody does. How far it is stands in the same transaction, so whichever process goes on
//! with it goes on from there. What it holds can be made again from the messages: where changes are missing, it is.

mod refresh;
mod shards;
mod state;
mod step;

use std::time::{Duration, Instant};

use rusqlite::Connection;
use throughline_core::backend::search::Tokenizer;

use self::step::Step;
pub(crate) use self::{
    shards::{of_tenant, prefix, term_of_thread},
    state::State,
};

/// How long nobody must have written before the index goes on.
const IDLE: Duration = Duration::from_millis(5);

/// How long it waits for that at most.
const AT_THE_LATEST: Duration = Duration::from_millis(500);

/// What the writer knows of the index.
#[derive(Debug)]
pub(crate) struct Index {
    /// Whether words are added to it. What goes from the store goes from it all the same.
    is_kept: bool,
    /// There is none, and none is kept.
    is_absent: bool,
    /// By which tokenizer it is made again if it was made by another, until that was looked at: the process that opened the store last
    /// decides.
    makes: Option<Tokenizer>,
    is_behind: bool,
    /// It was thrown away once. What is damaged again is not the index.
    has_restarted: bool,
    stepped: Instant,
}

impl Index {
    pub(crate) fn new(is_kept: bool, tokenizer: Tokenizer) -> Self {
        Self {
            is_kept,
            is_absent: false,
            makes: Some(tokenizer),
            is_behind: true,
            has_restarted: false,
            stepped: Instant::now(),
        }
    }

    /// Whether words are added to it.
    pub(crate) const fn is_kept(&self) -> bool {
        self.is_kept && !self.is_absent
    }

    /// Something was committed.
    pub(crate) const fn committed(&mut self) {
        self.is_behind = !self.is_absent;
    }

    /// How long the writer waits for a write before it goes [on](Self::go_on) with the index.
    pub(crate) fn timeout(&self) -> Option<Duration> {
        self.is_behind.then_some(IDLE)
    }

    /// Whether it has waited for long enough, although somebody writes.
    pub(crate) fn is_due(&self) -> bool {
        self.is_behind && self.stepped.elapsed() >= AT_THE_LATEST
    }

    /// Throws the index away, in the transaction that was begun, so that it is made again: it could not be written. Says
    /// whether it did; a second time it does not.
    pub(crate) fn restart(&mut self, connection: &Connection) -> rusqlite::Result<bool> {
        if self.has_restarted {
            return Ok(false);
        }
        (self.is_behind, self.has_restarted) = (true, true);
        let tokenizer = State::read(connection)?.tokenizer;
        state::clear(connection, tokenizer)?;
        Ok(true)
    }

    /// It could not even be thrown away, and is left alone until the store is opened again.
    pub(crate) const fn disable(&mut self) {
        (self.is_absent, self.is_behind) = (true, false);
    }

    /// The transaction of a step was committed.
    pub(crate) const fn stepped(&mut self) {
        self.makes = None;
    }

    /// Takes some changes into the index, in the transaction that was begun. Says whether anything was written.
    pub(crate) fn go_on(&mut self, connection: &Connection) -> rusqlite::Result<bool> {
        self.stepped = Instant::now();
        let step = Step::take(connection, self.is_kept, self.makes)?;
        self.is_behind = step.more;
        self.is_absent = step.is_absent;
        Ok(step.wrote)
    }
}

/// Brings the index up to date with a message that was put in its place as an image, in the same transaction: its changes may not be
/// kept any more. Where no index is kept, nothing is done.
pub(crate) fn put_message(db: &Connection, message_pk: i64) -> rusqlite::Result<()> {
    put(db, |state| refresh::refresh(db, message_pk, state.tokenizer))
}

/// The same of a thread of which messages may have gone.
pub(crate) fn put_thread(db: &Connection, thread_pk: i64) -> rusqlite::Result<()> {
    put(db, |_| {
        for message_pk in step::gone(db, thread_pk, i64::MAX)? {
            refresh::refresh(db, message_pk, None)?;
        }
        Ok(())
    })
}

/// A damaged index stops no copy: it is thrown away, and a process that keeps one makes it again.
fn put(db: &Connection, work: impl FnOnce(&State) -> rusqlite::Result<()>) -> rusqlite::Result<()> {
    let state = State::read(db)?;
    if state.is_empty() {
        return Ok(());
    }
    match work(&state) {
        Err(error) if error.sqlite_error_code() == Some(rusqlite::ErrorCode::DatabaseCorrupt) => {
            state::clear(db, state.tokenizer)
        }
        put => put,
    }
}
