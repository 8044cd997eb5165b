//! Decides the operations of a transaction, in their order.

use sqlx::PgConnection;
use throughline_core::{PersistArgs, PersistError, Result};

use super::Locks;
use crate::{
    apply::{self, MintedIds, Outcome},
    queue::Pending,
    rows::{Halt, Rows, Told},
};

/// What an operation came to.
#[derive(Debug)]
pub(super) struct Decided {
    pub(super) outcome: Result<Outcome, PersistError>,
    /// How many places among the commits were taken when it was done; nothing where it has changed nothing.
    pub(super) told: Option<usize>,
}

/// Decides all of them, and reads what they need.
pub(super) async fn decide(
    rows: &mut Rows,
    db: &mut PgConnection,
    batch: &[Pending],
    max_content_bytes: u64,
    minted: MintedIds,
) -> sqlx::Result<Vec<Decided>> {
    let locks: Vec<Locks> = batch.iter().map(|pending| Locks::of(&pending.write)).collect();
    for pending in batch {
        apply::foresee(rows, &pending.write, minted);
    }
    let mut decided: Vec<Option<Decided>> = batch.iter().map(|_| None).collect();
    loop {
        rows.read(db).await?;
        // What waits for something to be read, and so what comes after it and is about the same.
        let mut waiting = Locks::default();
        let mut is_complete = true;
        for ((pending, locks), decided) in batch.iter().zip(&locks).zip(&mut decided) {
            if decided.is_some() {
                continue;
            }
            let is_due = !waiting.exclude(locks);
            if let PersistArgs::Consumer(args) = &pending.write.args {
                let outcome = apply::apply_consumer(db, &pending.write, args).await?;
                *decided = Some(told(rows, pending, outcome));
                continue;
            }
            if pending.write.brings_notes() {
                *decided = Some(told(rows, pending, Ok(apply::noted())));
                continue;
            }
            match apply::apply(rows, &pending.write, max_content_bytes) {
                Ok(outcome) if is_due => {
                    rows.keep();
                    *decided = Some(told(rows, pending, Ok(outcome)));
                }
                Err(Halt::Refused(error)) if is_due => {
                    rows.undo();
                    *decided = Some(Decided { outcome: Err(error), told: None });
                }
                _ => {
                    rows.undo();
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

fn told(rows: &mut Rows, pending: &Pending, outcome: Result<Outcome, PersistError>) -> Decided {
    let has_changed = outcome.as_ref().is_ok_and(|outcome| outcome.changed);
    let write = &pending.write;
    if has_changed && (matches!(write.args, PersistArgs::Consumer(_)) || write.brings_notes()) {
        rows.told.push(Told { tenant: write.tenant.clone(), at: write.now, what: None });
        rows.keep();
    }
    Decided { outcome, told: has_changed.then(|| rows.told.items().len()) }
}
