//! Idempotency keys as the model sees them: the whole call and the whole first answer are kept.

use throughline_core::{
    ErrorKind, PersistResult, TenantId,
    messages::{Batched, TakenMessage},
    threads::{ThreadResult, ThreadSummary},
};

use super::{
    expect::Expected,
    row::Row,
    step::{Action, IDS, Op, WriteCall},
    thread::answered,
    write::{Rows, updated},
};

#[derive(Debug, Clone)]
pub(super) struct Used {
    pub(super) tenant: usize,
    /// Of the first item, where it is a batch.
    pub(super) thread: usize,
    pub(super) key: usize,
    pub(super) call: WriteCall,
    pub(super) answer: PersistResult,
}

impl Used {
    /// The expected answer to `call` with the same key.
    pub(super) fn again(
        &self,
        call: &WriteCall,
        rows: &Rows,
        name: &TenantId,
        seen: &[ThreadSummary],
    ) -> Expected {
        if *call != self.call {
            return Expected::Refused(ErrorKind::Conflict);
        }
        match repeated((self.tenant, name), call.ops(), &self.answer, rows, seen) {
            Ok(answer) => Expected::Replayed(answer),
            Err(kind) => Expected::Refused(kind),
        }
    }
}

fn repeated(
    (tenant, name): (usize, &TenantId),
    ops: &[Op],
    first: &PersistResult,
    rows: &Rows,
    seen: &[ThreadSummary],
) -> Result<PersistResult, ErrorKind> {
    Ok(match (first.clone(), ops) {
        (PersistResult::Add(mut added), _) => {
            added.deduplicated = true;
            added.into()
        }
        (PersistResult::Reserve(mut reserved), _) => {
            reserved.deduplicated = true;
            reserved.into()
        }
        (PersistResult::UpdateContent(mut updated), _) => {
            updated.deduplicated = true;
            updated.into()
        }
        (PersistResult::Delete(mut deleted), _) => {
            deleted.deduplicated = true;
            deleted.into()
        }
        // Only the replay of a patch answers the current row.
        (PersistResult::Update(first), [op]) => {
            let Action::Update { id, .. } = op.action else { unreachable!("a patch answers a patch") };
            let is_same = |row: &&Row| !row.dead && row.seq == first.seq.get();
            let row = rows.find(tenant, op.thread, IDS[id]).filter(is_same).ok_or(ErrorKind::Gone)?;
            let mut updated = updated(row, op);
            updated.deduplicated = true;
            // The names that were kept are part of the first answer.
            updated.kept = first.kept;
            updated.into()
        }
        (PersistResult::Thread(ThreadResult::Prune(mut pruned)), _) => {
            pruned.deduplicated = true;
            ThreadResult::Prune(pruned).into()
        }
        (PersistResult::Thread(ThreadResult::TakeLast(taken)), _) => {
            ThreadResult::TakeLast(TakenMessage { message: None, deduplicated: true, ..taken }).into()
        }
        (PersistResult::Thread(ThreadResult::Delete(mut deleted)), _) => {
            deleted.deduplicated = true;
            ThreadResult::Delete(deleted).into()
        }
        // The replay of a thread operation answers the current state of the thread.
        (PersistResult::Thread(_), [op]) => {
            let Action::Thread(thread_op) = op.action else {
                unreachable!("a thread operation answers a thread operation")
            };
            let entry = rows.entry((tenant, name), op.thread, seen).ok_or(ErrorKind::Gone)?;
            answered(thread_op, entry, true)
        }
        (PersistResult::Batch(Batched { outputs, .. }), _) => {
            let items = ops.iter().zip(&outputs);
            let items = items
                .map(|(op, output)| repeated((tenant, name), std::slice::from_ref(op), output, rows, seen));
            Batched { outputs: items.collect::<Result<_, _>>()?, deduplicated: true }.into()
        }
        (other, _) => unreachable!("a key of a {:?}", other.kind()),
    })
}
