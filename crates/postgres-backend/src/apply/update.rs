//! A patch of what surrounds the content, and the end of a message.

use throughline_core::{Delete, Deleted, Happened, Seq, Update, Updated, backend::rules};

use super::{Scope, message::changed};
use crate::rows::Found;

impl Scope<'_> {
    pub(super) fn update(&mut self, update: &Update) -> Found<Updated> {
        let (thread, id) = (&update.thread, &update.id);
        let (mut state, mut row) = self.message(thread, id)?;
        rules::expect_revision(update.expected, row.revision).map_err(|error| error.about(thread, id))?;
        row.metadata.apply(&update.metadata);
        if let Some(attachments) = &update.attachments {
            row.attachments.clone_from(attachments);
        }
        row.updated_at = rules::updated_at(row.updated_at, self.now);
        // The tally asks a message when it was changed, and not what it says.
        let message = row.message(self.tenant, thread, id, throughline_core::Content::empty());
        Self::facts(&mut state, thread)?.tally.touched(&message);
        self.put_thread(thread, state);
        self.tell(thread, Happened::Patched(changed(id, &row)));
        let key = self.message_key(thread, id);
        self.rows.messages.put(key, row);
        Ok(Updated {
            thread: message.thread,
            id: message.id,
            metadata: message.metadata,
            attachments: message.attachments,
            revision: message.revision,
            deduplicated: false,
        })
    }

    pub(super) fn delete(&mut self, delete: &Delete) -> Found<Deleted> {
        let (thread, id) = (&delete.thread, &delete.id);
        let (mut state, row) = self.message(thread, id)?;
        rules::expect_damaged(delete)?;
        rules::expect_revision(delete.expected, row.revision)
            .and_then(|()| rules::expect_last(delete.after, state.last_seq))
            .map_err(|error| error.about(thread, id))?;
        let seq = row.seq.unwrap_or(Seq::ZERO);
        self.erase(thread, id, &row);
        self.uncount(&mut state, thread, &row, seq)?;
        Self::facts(&mut state, thread)?.changed(self.now);
        self.put_thread(thread, state);
        self.tell(thread, Happened::Deleted(changed(id, &row)));
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
