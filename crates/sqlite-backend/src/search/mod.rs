//! The full-text index.
//!
//! The writer updates the index from the change feed, in transactions of its own. It does so in small steps while it is
//! idle, and occasionally while it is busy. The progress of the index is in the same transaction, so any process can
//! continue it. The index can be rebuilt from the messages: the writer does that if changes are missing.

/// The condition of SQL for a message `m` in a thread `t` that a search can return.
macro_rules! searchable {
    () => {
        "m.state = 'final' AND m.seq > t.floor AND t.deleted = 0"
    };
}
pub(crate) use searchable;

mod indexed_terms;
mod refresh;
mod shards;
mod state;
mod step;
mod vocabulary;

use std::time::Duration;

use rusqlite::Connection;
use throughline_core::backend::search::Tokenizer;

#[cfg(test)]
pub(crate) use self::indexed_terms::IndexedTerms;
use self::step::Step;
pub(crate) use self::{
    indexed_terms::BY_COUNT,
    shards::{prefix, term_of_thread},
    state::State,
    vocabulary::Lookup,
};
use crate::step_timer::StepTimer;

/// How long the writer must be idle before it updates the index.
const IDLE: Duration = Duration::from_millis(5);

/// The longest time that it waits to be idle.
const MAX_DELAY: Duration = Duration::from_millis(500);

/// The writer's state of the index.
#[derive(Debug)]
pub(crate) struct Index {
    /// Whether terms are added to it. Removed messages are removed from an existing index in any case.
    is_kept: bool,
    /// There is no index, and none is kept.
    is_absent: bool,
    /// The tokenizer with which the first step rebuilds an index of another tokenizer: the process that opened the
    /// store last decides. `None` after that step.
    makes: Option<Tokenizer>,
    is_behind: bool,
    /// Whether shards may be missing in their vocabularies.
    lacks_vocabularies: bool,
    /// Whether the last step left work, and no write was committed since: the writer is still idle.
    is_idle: bool,
    /// Whether the index was dropped once. A second damage is not one of the index.
    has_restarted: bool,
    steps: StepTimer,
}

impl Index {
    pub(crate) fn new(is_kept: bool, tokenizer: Tokenizer) -> Self {
        Self {
            is_kept,
            is_absent: false,
            makes: Some(tokenizer),
            is_behind: true,
            lacks_vocabularies: false,
            is_idle: false,
            has_restarted: false,
            steps: StepTimer::new(),
        }
    }

    /// Returns whether terms are added to it.
    pub(crate) const fn is_kept(&self) -> bool {
        self.is_kept && !self.is_absent
    }

    /// Records a commit.
    pub(crate) const fn committed(&mut self) {
        self.is_behind = !self.is_absent;
        self.is_idle = false;
        self.steps.committed();
    }

    /// Makes the writer wait before the next step, unless a step runs first and leaves work.
    pub(crate) const fn pause(&mut self) {
        self.is_idle = false;
    }

    /// Records that a step could not begin: another process writes.
    pub(crate) fn failed(&mut self) {
        self.steps.failed();
    }

    /// Returns whether it may lack committed changes.
    pub(crate) const fn is_behind(&self) -> bool {
        self.is_behind
    }

    /// Returns how long the writer waits for a write before it [continues](Self::run_step) with the index: not at all while it
    /// goes from step to step. It takes a write that has arrived before the next step.
    pub(crate) fn timeout(&self) -> Option<Duration> {
        (self.is_behind || self.lacks_vocabularies)
            .then(|| self.steps.wait(if self.is_idle { Duration::ZERO } else { IDLE }))
    }

    /// Returns whether the index has waited long enough, although the writer is busy.
    pub(crate) fn is_due(&self) -> bool {
        self.is_behind && self.steps.is_due(MAX_DELAY)
    }

    /// Drops the index for a rebuild, in the open transaction, because it could not be written. Returns whether it did;
    /// it does so only once.
    pub(crate) fn restart(&mut self, connection: &Connection) -> rusqlite::Result<bool> {
        if self.has_restarted {
            return Ok(false);
        }
        (self.is_behind, self.has_restarted) = (true, true);
        let tokenizer = State::read(connection)?.tokenizer;
        state::clear(connection, tokenizer)?;
        Ok(true)
    }

    /// Disables an index that could not even be dropped, until the store is opened again.
    pub(crate) const fn disable(&mut self) {
        (self.is_absent, self.is_behind, self.lacks_vocabularies) = (true, false, false);
    }

    /// Records that the transaction of a step was committed.
    pub(crate) const fn stepped(&mut self) {
        self.makes = None;
    }

    /// Indexes some changes, in the open transaction. Returns whether it wrote anything.
    pub(crate) fn run_step(&mut self, connection: &Connection) -> rusqlite::Result<bool> {
        self.steps.begun();
        let step = Step::take(connection, self.is_kept, self.makes)?;
        (self.is_behind, self.lacks_vocabularies) = (step.more, step.lacks_vocabularies);
        self.is_idle = step.more || step.lacks_vocabularies;
        self.is_absent = step.is_absent;
        Ok(step.wrote)
    }
}

/// Updates the index for a message that was written from a row image, in the same transaction: the feed may no longer
/// hold its changes. Does nothing without an index.
pub(crate) fn put_message(db: &Connection, message_pk: i64) -> rusqlite::Result<()> {
    put(db, |state| refresh::refresh(db, message_pk, state.tokenizer, true))
}

/// Updates the index for a thread from which messages may have been removed.
pub(crate) fn put_thread(db: &Connection, thread_pk: i64) -> rusqlite::Result<()> {
    put(db, |state| {
        for message_pk in step::gone(db, thread_pk, i64::MAX)? {
            refresh::refresh(db, message_pk, state.tokenizer, false)?;
        }
        Ok(())
    })
}

/// A damaged index does not fail a copy: it is dropped, and a process that keeps an index rebuilds it.
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::open::create_tables;

    #[test]
    fn the_writer_waits_after_a_step_that_could_not_begin() {
        let db = Connection::open_in_memory().unwrap();
        create_tables(&db).unwrap();
        let mut index = Index::new(true, Tokenizer::default());
        assert_eq!(index.timeout(), Some(IDLE));
        index.failed();
        assert!(index.timeout().unwrap() > IDLE);
        index.run_step(&db).unwrap();
        index.committed();
        assert_eq!(index.timeout(), Some(IDLE));
    }
}
