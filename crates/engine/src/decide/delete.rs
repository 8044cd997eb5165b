//! The deletion of one message.

use throughline_core::{
    Seq,
    backend::rules,
    changes::ChangeKind,
    messages::{Delete, Deleted},
};

use super::{
    Decided, WriteScope,
    load::{last_seq, summary_mut},
};
use crate::RowSource;

impl<S: RowSource> WriteScope<'_, S> {
    pub(super) fn delete(&mut self, delete: &Delete) -> Decided<Deleted, S> {
        if delete.only_damaged {
            return self.delete_damaged(delete);
        }
        let (thread, id) = (&delete.thread, &delete.id);
        let row = self.message(thread, id)?;
        let mut state = self.existing(thread)?;
        rules::expect_revision(delete.expected, row.revision).map_err(|error| error.about(thread, id))?;
        if delete.after.is_some() {
            rules::expect_last(delete.after, last_seq(Some(&state), thread)?)
                .map_err(|error| error.about(thread, id))?;
        }
        let seq = row.seq.unwrap_or(Seq::ZERO);
        self.put_tombstone(thread, id, &row);
        self.remove_from_counters(&mut state, thread, &row, seq)?;
        summary_mut(&mut state, thread)?.changed(self.now);
        self.put_thread(thread, state);
        self.emit(thread, ChangeKind::Deleted(row.changed(id)));
        Ok(Deleted {
            thread: thread.clone(),
            id: id.clone(),
            seq,
            revision: row.revision,
            state: row.state,
            attachments: row.attachments,
            deduplicated: false,
        })
    }
}
