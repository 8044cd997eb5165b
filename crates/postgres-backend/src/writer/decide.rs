//! Decides the writes of a transaction, in their order.

use sqlx::PgConnection;
use throughline_core::{PersistError, Result, messages::Batched};
use throughline_engine::{Halt, Outcome, Transaction};

use super::Locks;
use crate::{
    queue::Pending,
    rows::{MintedIds, Source},
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
    minted: MintedIds,
) -> sqlx::Result<Vec<Decided>> {
    let locks: Vec<Locks> = batch.iter().map(|pending| Locks::of(&pending.write)).collect();
    for pending in batch {
        transaction.source_mut().prefetch(&pending.write, minted);
    }
    let mut decided: Vec<Option<Decided>> = batch.iter().map(|_| None).collect();
    loop {
        transaction.source_mut().load(db).await?;
        // The locks of writes that wait for a row: a later write that needs one of them waits too.
        let mut waiting = Locks::default();
        let mut is_complete = true;
        for ((pending, locks), decided) in batch.iter().zip(&locks).zip(&mut decided) {
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
        if is_complete {
            return Ok(decided.into_iter().flatten().collect());
        }
    }
}

fn applied(transaction: &Transaction<Source>, outcome: Outcome) -> Decided {
    let events = outcome.changed.then(|| transaction.staged().events.len());
    Decided { outcome: Ok(outcome), events }
}
