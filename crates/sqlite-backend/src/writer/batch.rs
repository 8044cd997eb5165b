//! The writes of one transaction, with their outcomes.

use throughline_core::{
    Effect, PersistError, PersistResult, Position, Result, TenantId, ThreadId, backend::rules,
};

use crate::{
    error::{EngineError, Phase},
    obsolete_chunks::Amount,
    queue::{Committed, Pending, Stage, Work},
};

/// The outcome of a write.
#[derive(Debug)]
pub(super) struct Outcome {
    /// `None` for other work than a write.
    pub(super) result: Option<PersistResult>,
    /// Whether the write takes a position. A replay takes none.
    pub(super) changed: bool,
}

/// The writes that were applied and not yet answered. When it is dropped, each write in it answers with its known
/// effect.
#[derive(Default)]
pub(super) struct Batch {
    writes: Vec<(Pending, Result<Committed>)>,
    bytes: usize,
    /// Whether there is anything to commit.
    pub(super) changed: bool,
    /// The position of the store at the beginning of the transaction.
    pub(super) begun_at: i64,
    /// The chunks that the transaction made obsolete without deleting them.
    pub(super) obsolete_chunks: Amount,
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

    /// Adds the write with which the transaction failed; [`fail`](Self::fail) answers with the reason.
    pub(super) fn failed(&mut self, pending: Pending) {
        self.push(pending, Err(EngineError::RolledBack.to_persist(Phase::Statement)));
    }

    fn push(&mut self, pending: Pending, answer: Result<Committed>) {
        self.bytes += pending.bytes;
        self.writes.push((pending, answer));
    }

    /// Records that the writer is about to send `COMMIT`: from here on the outcome is unknown until SQLite answers.
    pub(super) fn committing(&mut self) {
        for (pending, _) in &mut self.writes {
            pending.stage = Stage::Committing;
        }
    }

    /// Returns the threads in which the applied writes have changes; `None` if one of them does not say that.
    pub(super) fn changed_threads(&self) -> Option<Vec<(TenantId, ThreadId)>> {
        let mut all = Vec::new();
        for (pending, answer) in &self.writes {
            if answer.as_ref().is_ok_and(|committed| committed.position.is_some()) {
                let write = match &pending.work {
                    Work::Write(write) => write,
                    Work::Compact { .. } => continue,
                    Work::RejectedCalls(_) => return None,
                };
                let threads = rules::changed_threads(&write.args)?;
                all.extend(threads.into_iter().map(|thread| (write.tenant.clone(), thread.clone())));
            }
        }
        Some(all)
    }

    /// Returns whether it is a step that gives free pages back.
    pub(super) fn compacts(&self) -> bool {
        self.writes.iter().any(|(pending, _)| matches!(pending.work, Work::Compact { .. }))
    }

    /// Answers every write with its result, after the commit.
    pub(super) fn deliver(self) {
        for (pending, answer) in self.writes {
            pending.answer(answer);
        }
    }

    /// Answers every write with the failure of the transaction. A refusal or a replay may depend on a change of another
    /// write that is gone with the transaction, so no write keeps its own answer.
    pub(super) fn fail(self, error: &EngineError, phase: Phase) {
        for (pending, _) in self.writes {
            pending.answer(Err(error.to_persist(phase)));
        }
    }

    /// Returns whether every write looked up the ids that were minted for it.
    pub(super) fn ids_are_known(&self) -> bool {
        self.writes.iter().all(|(pending, _)| pending.looks_up_ids)
    }

    /// Returns the writes as they came. They are applied again together, after a look-up of the ids that were minted
    /// for them.
    pub(super) fn into_with_id_look_up(self) -> Vec<Pending> {
        let looking_up = |(mut pending, _): (Pending, _)| {
            pending.looks_up_ids = true;
            pending
        };
        self.writes.into_iter().map(looking_up).collect()
    }

    /// Returns the writes as they came. They are applied again one by one.
    pub(super) fn into_separate(self) -> Vec<Pending> {
        let alone = |(mut pending, _): (Pending, _)| {
            (pending.alone, pending.looks_up_ids) = (true, true);
            pending
        };
        self.writes.into_iter().map(alone).collect()
    }
}
