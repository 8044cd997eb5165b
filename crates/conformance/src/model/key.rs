//! Idempotency keys as the model sees them: the whole call and the whole first answer are kept.

use throughline_core::{Batched, ErrorKind, PersistResult};

use super::{
    expect::Due,
    step::{IDS, Op, What, WriteCall},
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
    /// What the same key is answered for `call`.
    pub(super) fn again(&self, call: &WriteCall, rows: &Rows) -> Due {
        if *call != self.call {
            return Due::Refused(ErrorKind::Conflict);
        }
        match repeated(self.tenant, call.ops(), &self.answer, rows) {
            Ok(answer) => Due::Replayed(answer),
            Err(kind) => Due::Refused(kind),
        }
    }
}

fn repeated(
    tenant: usize,
    ops: &[Op],
    first: &PersistResult,
    rows: &Rows,
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
        // Only a patch is answered by the row as it stands.
        (PersistResult::Update(_), [op]) => {
            let What::Update { id, .. } = op.what else { unreachable!("a patch answers a patch") };
            let row = rows.find(tenant, op.thread, IDS[id]).filter(|row| !row.dead).ok_or(ErrorKind::Gone)?;
            let mut updated = updated(row, op);
            updated.deduplicated = true;
            updated.into()
        }
        (PersistResult::Batch(Batched { outputs, .. }), _) => {
            let items = ops.iter().zip(&outputs);
            let items = items.map(|(op, output)| repeated(tenant, std::slice::from_ref(op), output, rows));
            Batched { outputs: items.collect::<Result<_, _>>()?, deduplicated: true }.into()
        }
        (other, _) => unreachable!("a key of a {:?}", other.kind()),
    })
}
