//! The writes of one transaction, with what each came to.

use throughline_core::{Effect, PersistError, PersistResult, Position, Result};

use crate::{
    error::{EngineError, Phase},
    queue::{Committed, Pending, Stage},
};

/// What a write came to.
#[derive(Debug)]
pub(super) struct Outcome {
    /// None of audit notes.
    pub(super) result: Option<PersistResult>,
    /// Whether it takes a position. A replay takes none.
    pub(super) changed: bool,
}

/// What was applied and not yet answered. Dropped, every write in it answers what is known.
#[derive(Default)]
pub(super) struct Batch {
    writes: Vec<(Pending, Result<Committed>)>,
    bytes: usize,
    /// Whether there is anything to commit.
    pub(super) changed: bool,
}

impl Batch {
    pub(super) fn len(&self) -> usize {
        self.writes.len()
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(super) fn applied(&mut self, pending: Pending, outcome: Outcome, position: i64) {
        let Outcome { result, changed } = outcome;
        let position = if changed { u64::try_from(position).ok().map(Position::new) } else { None };
        self.changed |= changed;
        self.push(pending, Ok(Committed { result, position }));
    }

    pub(super) fn refused(&mut self, pending: Pending, error: PersistError) {
        self.push(pending, Err(error.with_effect(Effect::NotApplied)));
    }

    /// Takes a write that the transaction ended with; [`fail`](Self::fail) says why.
    pub(super) fn failed(&mut self, pending: Pending) {
        self.push(pending, Err(EngineError::RolledBack.to_persist(Phase::Statement)));
    }

    fn push(&mut self, pending: Pending, answer: Result<Committed>) {
        self.bytes += pending.bytes;
        self.writes.push((pending, answer));
    }

    /// `COMMIT` is about to be sent: from here on the outcome is not known by itself.
    pub(super) fn committing(&mut self) {
        for (pending, _) in &mut self.writes {
            pending.stage = Stage::Committing;
        }
    }

    /// Answers everyone what was found, now that it is so.
    pub(super) fn deliver(self) {
        for (pending, answer) in self.writes {
            pending.answer(answer);
        }
    }

    /// Answers everyone that the transaction failed. What one was refused for, or answered from, may have been
    /// another's change that is gone with it, so nobody keeps an answer of their own.
    pub(super) fn fail(self, error: &EngineError, phase: Phase) {
        for (pending, _) in self.writes {
            pending.answer(Err(error.to_persist(phase)));
        }
    }

    /// Whether every write looked up the ids that were minted for it.
    pub(super) fn ids_are_known(&self) -> bool {
        self.writes.iter().all(|(pending, _)| pending.looks_up_ids)
    }

    /// The writes as they came, to be applied again together, after a look-up of the ids that were minted for them.
    pub(super) fn into_looking_up_ids(self) -> Vec<Pending> {
        let looking_up = |(mut pending, _): (Pending, _)| {
            pending.looks_up_ids = true;
            pending
        };
        self.writes.into_iter().map(looking_up).collect()
    }

    /// The writes as they came, to be applied again one by one.
    pub(super) fn into_alone(self) -> Vec<Pending> {
        let alone = |(mut pending, _): (Pending, _)| {
            (pending.alone, pending.looks_up_ids) = (true, true);
            pending
        };
        self.writes.into_iter().map(alone).collect()
    }
}
