//! Several writes as one.

use throughline_core::{Batch, Batched, ThreadId, backend::rules};

use super::{Decided, WriteScope, load::last_seq};
use crate::RowSource;

impl<S: RowSource> WriteScope<'_, S> {
    /// Applies the items in order, each seeing the ones before it. `thread` is that of the first item.
    pub(super) fn batch(&mut self, batch: &Batch, thread: &ThreadId) -> Decided<Batched, S> {
        if batch.after.is_some() {
            // Of a deleted thread too: what its first item may do then is the item's to say.
            let state = self.thread(thread)?;
            rules::expect_last(batch.after, last_seq(state.as_ref(), thread)?)?;
        }
        let mut outputs = Vec::with_capacity(batch.items.len());
        for (index, item) in batch.items.iter().enumerate() {
            outputs.push(self.item(item).map_err(|halt| halt.with_batch_index(index))?);
        }
        Ok(Batched { outputs, deduplicated: false })
    }
}
