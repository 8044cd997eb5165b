//! Decides the writes of a transaction, in their order.

use sqlx::PgConnection;
use throughline_core::{PersistError, Result, messages::Batched};
use throughline_engine::{Halt, Outcome, Transaction};

use super::Locks;
use crate::{
    queue::Pending,
    rows::{MintedIds, Source, ThreadCache},
};

/// The decision on a write.
#[derive(Debug)]
pub(super) struct Decided {
    pub(super) outcome: Result<Outcome, PersistError>,
    /// How many change events the transaction had staged after it; `None` if it changes nothing.
    pub(super) events: Option<usize>,
}

/// Decides all writes and loads the rows that they need.
pub(super) async fn decide(
    transaction: &mut Transaction<Source>,
    db: &mut PgConnection,
    batch: &[Pending],
) -> sqlx::Result<Vec<Decided>> {
    let mut deciding = Deciding::of(batch);
    loop {
        transaction.source_mut().load(db).await?;
        if deciding.pass(transaction) {
            return Ok(deciding.finish());
        }
    }
}

/// Decides all writes on the threads of the cache, as if no idempotency key was used before. `None` if a write needs another row.
pub(super) fn decide_on_cached_threads(
    transaction: &mut Transaction<Source>,
    cache: &mut ThreadCache,
    batch: &[Pending],
) -> Option<Vec<Decided>> {
    let source = transaction.source_mut();
    for pending in batch {
        source.prefetch(&pending.write, MintedIds::AreNew);
    }
    source.assume_new_keys();
    if !source.load_threads_from(cache) {
        return None;
    }
    let mut deciding = Deciding::of(batch);
    deciding.pass(transaction).then(|| deciding.finish())
}

/// The writes of a transaction, and the decisions so far.
struct Deciding<'b> {
    batch: &'b [Pending],
    locks: Vec<Locks>,
    decided: Vec<Option<Decided>>,
}

impl<'b> Deciding<'b> {
    fn of(batch: &'b [Pending]) -> Self {
        let locks = batch.iter().map(|pending| Locks::of(&pending.write)).collect();
        Self { batch, locks, decided: batch.iter().map(|_| None).collect() }
    }

    /// Decides the writes whose rows are loaded. Returns whether all are decided.
    fn pass(&mut self, transaction: &mut Transaction<Source>) -> bool {
        // The locks of writes that wait for a row: a later write that needs one of them waits too.
        let mut waiting = Locks::default();
        let mut is_complete = true;
        for ((pending, locks), decided) in self.batch.iter().zip(&self.locks).zip(&mut self.decided) {
            if decided.is_some() {
                continue;
            }
            if pending.write.has_rejected_calls() {
                // Rejected-call records are written last, and take a position.
                transaction.take_position(&pending.write.tenant, pending.write.now);
                let result = Batched { outputs: Vec::new(), deduplicated: false }.into();
                *decided = Some(applied(transaction, Outcome { result, changed: true }));
                continue;
            }
            let is_due = !waiting.exclude(locks);
            match transaction.apply(&pending.write.decided()) {
                Ok(outcome) if is_due => *decided = Some(applied(transaction, outcome)),
                Err(Halt::Refused(error)) if is_due => {
                    *decided = Some(Decided { outcome: Err(error), events: None });
                }
                answer => {
                    if answer.is_ok() {
                        transaction.undo();
                    }
                    waiting.extend(locks);
                    is_complete = false;
                }
            }
        }
        is_complete
    }

    fn finish(self) -> Vec<Decided> {
        self.decided.into_iter().flatten().collect()
    }
}

fn applied(transaction: &Transaction<Source>, outcome: Outcome) -> Decided {
    let events = outcome.changed.then(|| transaction.staged().events.len());
    Decided { outcome: Ok(outcome), events }
}
