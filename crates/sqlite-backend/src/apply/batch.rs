//! Several writes as one.

use throughline_core::{Addressed, Batch, Batched, PersistResult, Seq, backend::rules};

use super::{Applied, Failure, Scope, item};

/// Applies the items in order, each seeing the ones before it, and then what belongs to the batch as a whole. Refused,
/// it is undone as if it had never begun.
pub(super) fn apply(
    scope: Scope<'_>,
    batch: &Batch,
    finish: impl FnOnce(&PersistResult) -> Applied<()>,
) -> Applied<PersistResult> {
    undone_if_refused(scope, || {
        let result = items(scope, batch)?;
        finish(&result)?;
        Ok(result)
    })
}

/// Applies something that may be refused after it has written, and then undoes what it wrote.
pub(super) fn undone_if_refused<T>(scope: Scope<'_>, apply: impl FnOnce() -> Applied<T>) -> Applied<T> {
    // What was counted before stays, whatever becomes of it.
    scope.threads.flush(scope.db)?;
    let position = scope.position.get();
    run(scope, "SAVEPOINT batch")?;
    match apply() {
        Ok(result) => {
            run(scope, "RELEASE batch")?;
            Ok(result)
        }
        Err(Failure::Refused(error)) => {
            // Rolled back to, a savepoint still stands.
            run(scope, "ROLLBACK TO batch")?;
            run(scope, "RELEASE batch")?;
            scope.threads.forget();
            scope.position.set(position);
            Err(Failure::Refused(error))
        }
        // The whole transaction goes.
        Err(Failure::Engine(error)) => Err(Failure::Engine(error)),
    }
}

fn items(scope: Scope<'_>, batch: &Batch) -> Applied<PersistResult> {
    if let (Some(_), Some(thread)) = (batch.after, batch.items.first().and_then(Addressed::thread)) {
        // Of a thread that was deleted, too: what its first item may do then is the item's to say.
        match scope.thread(thread)? {
            Some(state) => state.expect_last(thread, batch.after)?,
            None => rules::expect_last(batch.after, Seq::ZERO)?,
        }
    }
    let mut outputs = Vec::with_capacity(batch.items.len());
    for (index, args) in batch.items.iter().enumerate() {
        match item(scope, args) {
            Ok(output) => outputs.push(output),
            Err(Failure::Refused(error)) => return Err(error.with_batch_index(index).into()),
            Err(Failure::Engine(error)) => return Err(Failure::Engine(error)),
        }
    }
    Ok(Batched { outputs, deduplicated: false }.into())
}

fn run(scope: Scope<'_>, sql: &'static str) -> Applied<()> {
    scope.db.prepare_cached(sql)?.execute([])?;
    Ok(())
}
