//! The deletion of the last message of a thread.

use throughline_core::{
    backend::rules,
    messages::{Delete, TakeLastMessage, TakenMessage},
};

use crate::{
    RowSource,
    decide::{Decided, WriteScope, load::last_seq},
    rows::RangeKind,
};

impl<S: RowSource> WriteScope<'_, S> {
    /// Deletes the last message, and returns it.
    pub(super) fn take_last(&mut self, take: &TakeLastMessage) -> Decided<TakenMessage, S> {
        let thread = take.thread.clone();
        let state = self.existing(&thread)?;
        last_seq(Some(&state), &thread)?;
        let last = self.range(&thread, RangeKind::Latest, state.floor, 1)?.pop();
        let last = last.map(|(id, seq, row)| (id.clone(), seq, row.clone()));
        rules::expect_last_message(take.expected, last.as_ref().map(|(_, seq, _)| *seq))?;
        let Some((id, _, row)) = last else {
            return Ok(TakenMessage { thread, deleted: None, message: None, deduplicated: false });
        };
        let message = self.with_content(&thread, &id, &row)?;
        let deleted = self.delete(&Delete::new(thread.clone(), id))?;
        Ok(TakenMessage {
            thread,
            deleted: Some(deleted),
            message: Some(Box::new(message)),
            deduplicated: false,
        })
    }
}
