//! A batch: several writes in one transaction.

use throughline_core::{
    ErrorKind, PersistError, ThreadId,
    backend::rules,
    messages::{Batch, Batched},
};

use super::{Decided, WriteScope, load::last_seq, refusal};
use crate::{Halt, RowSource};

impl<S: RowSource> WriteScope<'_, S> {
    /// Applies the items in order. Each item sees the changes of the items before it. `thread` is the thread of the first item.
    pub(super) fn batch(&mut self, batch: &Batch, thread: &ThreadId) -> Decided<Batched, S> {
        if batch.after.is_some() {
            // Also for a deleted thread: its first item decides what it may do.
            let state = self.thread(thread)?;
            rules::expect_last(batch.after, last_seq(state.as_ref(), thread)?)?;
        }
        let mut outputs = Vec::with_capacity(batch.items.len());
        let mut answered = 0_u64;
        for (index, item) in batch.items.iter().enumerate() {
            let output = self.item(item).map_err(|halt| halt.with_batch_index(index))?;
            answered = answered.saturating_add(output.answer_bytes() as u64);
            expect_answer(answered, batch.max_answer_bytes)
                .map_err(|error| Halt::from(error).with_batch_index(index))?;
            outputs.push(output);
        }
        Ok(Batched { outputs, deduplicated: false })
    }
}

/// Refuses a batch whose answers contain more stored data than the call allows.
fn expect_answer(bytes: u64, max: Option<u64>) -> Result<(), PersistError> {
    match max {
        Some(max) if bytes > max => {
            let detail = format!(
                "the answers of the batch would contain {bytes} bytes of stored data, and {max} are allowed"
            );
            Err(refusal(ErrorKind::TooLarge, detail))
        }
        _ => Ok(()),
    }
}
